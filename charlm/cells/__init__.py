"""The recurrent layers, one file each with its equations at the top, in the table `CELLS`."""

from collections.abc import Callable

from charlm.cells.bidirectional import Bidirectional, Reverse
from charlm.cells.gru import GRU
from charlm.cells.gru_cho import ChoGRU
from charlm.cells.gru_minimal import MinimalGRU
from charlm.cells.jordan import Jordan
from charlm.cells.layers import Dense, Dropout, Embedding
from charlm.cells.lstm import LSTM
from charlm.cells.lstm_coupled import CoupledLSTM
from charlm.cells.lstm_peephole import PeepholeLSTM
from charlm.cells.protocol import Backward, Cell, State, zero_state
from charlm.cells.rnn import RNN
from charlm.cells.sru import SRU
from charlm.cells.stack import Residual, Stack

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
