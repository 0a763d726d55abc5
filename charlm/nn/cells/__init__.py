"""The recurrent layers, one file each with its equations at the top, in the table `CELLS`."""

from collections.abc import Callable

from charlm.nn.bidirectional import Bidirectional, Reverse
from charlm.nn.cells.gru import GRU
from charlm.nn.cells.gru_cho import ChoGRU
from charlm.nn.cells.gru_minimal import MinimalGRU
from charlm.nn.cells.jordan import Jordan
from charlm.nn.cells.lstm import LSTM
from charlm.nn.cells.lstm_coupled import CoupledLSTM
from charlm.nn.cells.lstm_peephole import PeepholeLSTM
from charlm.nn.cells.protocol import Backward, Cell, State, zero_state
from charlm.nn.cells.rnn import RNN
from charlm.nn.cells.sru import SRU
from charlm.nn.layers import Dense, Dropout, Embedding
from charlm.nn.stack import Residual, Stack

# Each is made as `CELLS[name](inputs, hidden, reads_ids=...)`; the initial weights of a layer
# that reads ids differ from those of one that reads vectors. `rnn` and `jordan` also take an
# `activation`, and `jordan`, which owns its output layer, the `width` of that.
CELLS: dict[str, Callable[..., Cell]] = {
    "rnn": RNN,
    "jordan": Jordan,
    "lstm": LSTM,
    "lstm-peephole": PeepholeLSTM,
    "lstm-coupled": CoupledLSTM,
    "gru": GRU,
    "gru-cho": ChoGRU,
    "gru-minimal": MinimalGRU,
    "sru": SRU,
}

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "RNN",
    "SRU",
    "Backward",
    "Bidirectional",
    "Cell",
    "ChoGRU",
    "CoupledLSTM",
    "Dense",
    "Dropout",
    "Embedding",
    "Jordan",
    "MinimalGRU",
    "PeepholeLSTM",
    "Residual",
    "Reverse",
    "Stack",
    "State",
    "zero_state",
]
