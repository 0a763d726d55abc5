"""Within a sequence, a state can become zeros: what follows knows nothing of what was before."""

import numpy as np
import pytest

from charlm.nn import time_blocks
from charlm.nn.bidirectional import Bidirectional, Reverse
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import Cell, zero_state
from charlm.nn.cells.resets import resets_where
from charlm.nn.layers import Dropout
from charlm.nn.stack import Residual, Stack
from charlm.nn.workspace import Workspace
from tests.gradients import CellCheck
from tests.helpers import make_cell

I, H, T, B = 3, 5, 6, 4  # noqa: E741

# Where the state becomes zeros: at the first, a middle and the last step, in one stream, in some
# and in all; of two steps in a row; nowhere.
MASK = np.array(
    [
        [1, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 1, 0],
        [0, 0, 1, 0],
        [1, 1, 1, 1],
        [0, 0, 1, 0],
    ],
    bool,
)


def deep(name: str) -> Cell:
    low = make_cell(name, I, H)
    middle = Residual(CELLS["gru"](low.width, low.width))
    return Stack({"0": low, "drop": Dropout(low.width, 0.3), "1": middle})


def both_ways(name: str) -> Cell:
    return Bidirectional(make_cell(name, I, H), make_cell(name, I, H + 1))


KINDS = {
    "cell": lambda name: make_cell(name, I, H),
    "reverse": lambda name: Reverse(make_cell(name, I, H)),
    "both ways": both_ways,
    "deep": deep,
}


def check_of(kind: str, name: str) -> CellCheck:
    x = np.random.default_rng(0).normal(size=(T, B, I))
    return CellCheck(KINDS[kind](name), x, resets=resets_where(MASK))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CELLS)
def test_gradients(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_blocks, "CACHED", 200)  # blocks of one step and of some
    check_of(kind, name).run()


def test_gradients_on_ids() -> None:
    x = np.random.default_rng(0).integers(9, size=(T, B))
    for name in CELLS:
        cell = make_cell(name, 9, H, reads_ids=True)
        CellCheck(cell, x, resets=resets_where(MASK)).run()


def segments(b: int, *, from_the_end: bool) -> list[slice]:
    """The steps of a stream between two resets."""
    cuts = np.flatnonzero(MASK[:, b]) + from_the_end
    return [slice(a, z) for a, z in zip([0, *cuts], [*cuts, T], strict=True) if a < z]


@pytest.mark.parametrize("kind", ["cell", "reverse"])
@pytest.mark.parametrize("name", CELLS)
def test_each_segment_is_as_if_it_were_alone(name: str, kind: str) -> None:
    check = check_of(kind, name)
    from_the_end = kind == "reverse"
    y, final, _ = check.forward()
    for b in range(B):
        nothing = zero_state(check.cell, 1, np.float64)
        given = tuple(part[b : b + 1] for part in check.state)
        for steps in segments(b, from_the_end=from_the_end):
            first = T - 1 if from_the_end else 0
            begins = steps.stop - 1 if from_the_end else steps.start
            state = given if begins == first and not MASK[first, b] else nothing
            x = check.x[steps, b : b + 1]
            alone, end, _ = check.cell.forward(check.p, x, state, Workspace(np.float64))
            np.testing.assert_allclose(y[steps, b], alone[:, 0], rtol=0, atol=1e-14)
            ends = steps.start == 0 if from_the_end else steps.stop == T
            if ends:
                for part, expected in zip(final, end, strict=True):
                    np.testing.assert_allclose(part[b], expected[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_without_resets_nothing_is_copied(name: str) -> None:
    check = CellCheck(make_cell(name, I, H), np.ones((T, B, I)))
    check.forward()
    assert not any("after" in work._arrays for work in (check.work, check.work.scope("c")))
