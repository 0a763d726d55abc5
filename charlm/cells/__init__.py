"""The recurrent layers, one file each with its equations at the top, in the table `CELLS`."""

from collections.abc import Callable

from charlm.cells.gru import GRU
from charlm.cells.lstm import LSTM
from charlm.cells.protocol import Backward, Cell, State, zero_state
from charlm.cells.rnn import RNN
from charlm.cells.stack import Dropout, Embedding, Stack

# Each is made as `CELLS[name](inputs, hidden, reads_ids=...)`; the initial weights of a layer
# that reads ids differ from those of one that reads vectors.
CELLS: dict[str, Callable[..., Cell]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "RNN",
    "Backward",
    "Cell",
    "Dropout",
    "Embedding",
    "Stack",
    "State",
    "zero_state",
]
