"""The recurrent layers, one file each with its equations at the top, in the table `CELLS`."""

from collections.abc import Callable

from charlm.cells.gru import GRU
from charlm.cells.lstm import LSTM
from charlm.cells.protocol import Backward, Cell, State, zero_state
from charlm.cells.rnn import RNN
from charlm.cells.stack import Dropout, Embedding, Stack

# Each is made as `CELLS[name](inputs, hidden)`.
CELLS: dict[str, Callable[[int, int], Cell]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}

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
