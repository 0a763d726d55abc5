"""The cost of each cell: parameters and step time.

Claim: an LSTM has four times the parameters of a plain recurrent layer, and a GRU a quarter fewer
than the LSTM. An SRU, none of whose matrix products depends on the previous step, takes less time
than either.

The table has the number of parameters of a layer with H inputs and H units, and the time of its
forward and backward pass over T steps of B streams on one thread. The cells take turns, so that
the load of the machine affects all of them; times are medians over the rounds. A Jordan layer
includes its output layer, here with H outputs, and both are counted. The numbers of parameters are
the same on every machine; the times are not.
"""

import math
import time
from statistics import median

import numpy as np

from charlm.config import PLAIN_CELLS
from charlm.experiments.report import Line, Picture, Report
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import Cell, zero_state
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.blas import one_blas_thread

T, B = 64, 32


def run(*, quick: bool = False) -> Report:
    """Count the parameters and time the steps of every cell."""
    sizes, rounds = ((8, 16), 5) if quick else ((64, 256, 512), 9)
    counts = {name: parameters(_make(name, sizes[-1])) for name in CELLS}
    with one_blas_thread():
        seconds = {H: seconds_a_step(H, rounds) for H in sizes}
    times = {name: [seconds[H][name] / seconds[H]["rnn"] for H in sizes] for name in CELLS}
    micro = {name: 1e6 * each / (T * B) for name, each in seconds[sizes[-1]].items()}
    at = f"H={sizes[-1]}"
    return Report(
        claim="An LSTM has four times the parameters of a plain RNN, a GRU a quarter fewer than "
        "the LSTM, and an SRU takes less time than either.",
        columns=[
            *("cell", f"parameters, {at}", "× rnn"),
            *(f"time × rnn, H={H}" for H in sizes),
            f"µs per character, {at}",
        ],
        rows=[
            [name, counts[name], counts[name] / counts["rnn"], *times[name], micro[name]]
            for name in CELLS
        ],
        picture=Picture(
            x="units H",
            y="step time, × rnn",
            lines=[Line(name, sizes, times[name]) for name in CELLS],
            log=True,
        ),
        finding=finding(counts, times, sizes),
    )


def parameters(cell: Cell) -> int:
    """The number of parameters of a cell."""
    return sum(math.prod(shape) for shape in cell.shapes().values())


def seconds_a_step(H: int, rounds: int) -> dict[str, float]:
    """The median seconds of a forward and backward pass of each cell over T·B characters."""
    steps = {name: _Step(_make(name, H), H) for name in CELLS}
    for step in steps.values():
        step.seconds()  # the first call allocates the arrays
    taken = [{name: step.seconds() for name, step in steps.items()} for _ in range(rounds)]
    return {name: median(round_[name] for round_ in taken) for name in CELLS}


class _Step:
    """A cell with everything a training step needs."""

    def __init__(self, cell: Cell, inputs: int) -> None:
        rng = np.random.default_rng(0)
        self.cell, self.work = cell, Workspace()
        self.p = Params(cell.shapes())
        cell.init(self.p, rng)
        self.g = self.p.zeros_like()
        self.x = rng.standard_normal((T, B, inputs), np.float32)
        self.dy = rng.standard_normal((T, B, cell.width), np.float32)

    def seconds(self) -> float:
        """Run a step and return its time."""
        dy = self.dy.copy()
        started = time.perf_counter()
        _, _, backward = self.cell.forward(self.p, self.x, zero_state(self.cell, B), self.work)
        backward(self.g, dy, None)
        return time.perf_counter() - started


def _make(name: str, H: int) -> Cell:
    return CELLS[name](H, H, width=H) if name == "jordan" else CELLS[name](H, H)


def finding(counts: dict[str, int], times: dict[str, list[float]], sizes: tuple[int, ...]) -> str:
    """Whether parameters and step times are as claimed."""
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
    return (
        f"The LSTM has {lstm_ratio:.2f} times the parameters of the RNN: "
        f"{_verdict(math.isclose(lstm_ratio, 4))}. "
        f"The GRU has {1 - gru_ratio:.1%} fewer than the LSTM: {_verdict(is_quarter)}. "
        "The difference from a quarter is due to the second biases of the GRU. "
        f"The step time of the SRU relative to the RNN is {listed}: {_verdict(is_least)}. "
        f"The fastest gated cell at H={sizes[-1]} is the {fastest}."
    )


def _verdict(holds: bool) -> str:
    return "as claimed" if holds else "not as claimed"
