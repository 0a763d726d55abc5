"""What a cell costs: parameters, and the time of a step.

Claimed: an LSTM has four times the parameters of a plain recurrent layer, a GRU a quarter fewer
than the LSTM; and an SRU, none of whose products waits for the step before, takes less time than
either.

Measured: for H inputs and H units, the numbers in a layer's arrays; and the time of its forward
and backward pass alone, over T steps of B streams on one thread. The cells take turns, round
after round, so that a slow moment of the machine meets all of them; the median counts. Jordan's
layer owns its output layer, here of H outputs as well, and both are in its figures. The
parameters come out the same everywhere, the times do not.
"""

import math
import time
from statistics import median

import numpy as np

from charlm.config import PLAIN_CELLS
from charlm.experiments.report import Entry, Line, Picture, Report
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import Cell, zero_state
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.blas import one_blas_thread

T, B = 64, 32

CLAIM = (
    "An LSTM has four times the parameters of a plain RNN, a GRU a quarter fewer than the LSTM, "
    "and an SRU takes less time than either."
)


def run(*, quick: bool = False) -> Report:
    """Count and time every cell; quick: at small sizes."""
    sizes, rounds = ((8, 16), 5) if quick else ((64, 256, 512), 9)
    counts = {name: parameters(_make(name, sizes[-1])) for name in CELLS}
    with one_blas_thread():
        seconds = {H: seconds_a_step(H, rounds) for H in sizes}
    times = {name: [seconds[H][name] / seconds[H]["rnn"] for H in sizes] for name in CELLS}
    rows: list[tuple[Entry, ...]] = [
        (name, counts[name], counts[name] / counts["rnn"], *times[name], _micro(seconds, name))
        for name in CELLS
    ]
    columns = [
        "cell",
        f"parameters, H={sizes[-1]}",
        "× rnn",
        *(f"time × rnn, H={H}" for H in sizes),
        f"µs a character, H={sizes[-1]}",
    ]
    picture = Picture(
        "units H",
        "time of a step, × rnn",
        [Line(name, sizes, times[name]) for name in CELLS],
        log=True,
    )
    return Report(CLAIM, columns, rows, picture, finding(counts, times, sizes))


def parameters(cell: Cell) -> int:
    """How many numbers a cell learns."""
    return sum(math.prod(shape) for shape in cell.shapes().values())


def seconds_a_step(H: int, rounds: int) -> dict[str, float]:
    """The median time of a forward and backward pass of each cell, over T·B characters."""
    steps = {name: _Step(_make(name, H), H) for name in CELLS}
    for step in steps.values():
        step.seconds()  # the first one makes the arrays
    taken = [{name: step.seconds() for name, step in steps.items()} for _ in range(rounds)]
    return {name: median(round_[name] for round_ in taken) for name in CELLS}


class _Step:
    """A cell with all that a training step of it needs."""

    def __init__(self, cell: Cell, inputs: int) -> None:
        rng = np.random.default_rng(0)
        self.cell, self.work = cell, Workspace()
        self.p = Params(cell.shapes())
        cell.init(self.p, rng)
        self.g = self.p.zeros_like()
        self.x = rng.standard_normal((T, B, inputs), np.float32)
        self.dy = rng.standard_normal((T, B, cell.width), np.float32)

    def seconds(self) -> float:
        """The time of a step."""
        dy = self.dy.copy()
        started = time.perf_counter()
        _, _, backward = self.cell.forward(self.p, self.x, zero_state(self.cell, B), self.work)
        backward(self.g, dy, None)
        return time.perf_counter() - started


def _make(name: str, H: int) -> Cell:
    return CELLS[name](H, H, width=H) if name == "jordan" else CELLS[name](H, H)


def _micro(seconds: dict[int, dict[str, float]], name: str) -> float:
    return 1e6 * seconds[max(seconds)][name] / (T * B)


def finding(counts: dict[str, int], times: dict[str, list[float]], sizes: tuple[int, ...]) -> str:
    lstm_ratio, gru_ratio = counts["lstm"] / counts["rnn"], counts["gru"] / counts["lstm"]
    gated = [name for name in CELLS if name not in PLAIN_CELLS]
    fastest = min(gated, key=lambda name: times[name][-1])
    rows = zip(times["sru"], times["lstm"], times["gru"], strict=True)
    is_least = all(sru < min(lstm, gru) for sru, lstm, gru in rows)
    listed = "; ".join(
        f"{times['sru'][i]:.2f} at H={H} (LSTM {times['lstm'][i]:.2f}, GRU {times['gru'][i]:.2f})"
        for i, H in enumerate(sizes)
    )
    is_quarter = abs(gru_ratio - 3 / 4) < abs(gru_ratio - 2 / 3)
    nearer = "a quarter, and not a third" if is_quarter else "a third, and not a quarter"
    return (
        f"The LSTM has {lstm_ratio:.2f} times the parameters of the RNN: "
        f"{_verdict(math.isclose(lstm_ratio, 4))}. "
        f"The GRU has {1 - gru_ratio:.1%} fewer than the LSTM: {_verdict(is_quarter)}. "
        f"That is {nearer}; what is missing to it are the GRU's second biases. "
        f"A step of the SRU takes so many times the RNN's: {listed}: {_verdict(is_least)}. "
        f"Of all cells with gates, the fastest at H={sizes[-1]} is the {fastest}."
    )


def _verdict(holds: bool) -> str:
    return "as claimed" if holds else "not as claimed"
