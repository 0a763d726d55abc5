"""The LSTM that the lecture notes work through by hand, through the unchanged cell.

One unit and three inputs: x1 is what to remember, x2 = 1 writes it, x2 = -1 wipes the memory,
x3 = 1 lets it out. The example has no tanh; so near zero, where tanh is linear, the candidate
is a thousandth of x1, and memory and output are read off a thousand times as large.
"""

import numpy as np

from charlm.nn.cells.lstm import LSTM
from charlm.nn.cells.protocol import zero_state
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace

INPUTS = [(3, 1, 0), (4, 1, 0), (2, 0, 0), (1, 0, 1), (3, -1, 0)]
OUTPUTS = [0, 0, 0, 7, 0]
MEMORY = [3, 7, 7, 7, 0]


def test_the_hand_worked_example() -> None:
    cell = LSTM(3, 1)
    p = Params(cell.shapes(), dtype=np.float64)
    by_gate = [  # of h, bias, x1, x2, x3
        [0, 0, 0.001, 0, 0],  # candidate
        [0, -10, 0, 100, 0],  # input gate
        [0, 10, 0, 100, 0],  # forget gate
        [0, -10, 0, 0, 100],  # output gate
    ]
    p["W"][...] = np.transpose(by_gate)
    work, state = Workspace(np.float64), zero_state(cell, 1, np.float64)
    for x, output, memory in zip(INPUTS, OUTPUTS, MEMORY, strict=True):
        y, state, _ = cell.forward(p, np.reshape(x, (1, 1, 3)).astype(float), state, work)
        assert abs(1000 * y.item() - output) < 1e-3
        assert abs(1000 * state[1].item() - memory) < 1e-3
