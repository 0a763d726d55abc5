"""Every backward pass agrees with differences of its forward pass, in float64.

All sizes are distinct, so that swapped axes cannot pass.
"""

import numpy as np
import pytest

from charlm import ops
from charlm.cells import CELLS, Cell, Dropout, Embedding, Stack
from tests.gradients import CellCheck
from tests.helpers import make_cell

I, H = 3, 5  # noqa: E741
SHAPES = [(4, 2), (1, 2), (4, 1), (1, 1)]  # T, B


def vectors(features: int, T: int, B: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(T, B, features))


def ids(V: int, T: int, B: int) -> np.ndarray:
    return np.random.default_rng(0).integers(V, size=(T, B))


@pytest.mark.parametrize(("T", "B"), SHAPES)
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_on_vectors(name: str, T: int, B: int) -> None:
    CellCheck(make_cell(name, I, H), vectors(I, T, B)).run()


@pytest.mark.parametrize("cached", [1, 90, 250])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_whose_step_and_sequence_go_piece_by_piece(
    name: str, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "CACHED", cached)  # runs of one step and of some
    monkeypatch.setattr(ops, "NARROWEST", 1)
    monkeypatch.setattr(ops, "SMALL_PRODUCT", 70)
    CellCheck(make_cell(name, I, 6), vectors(I, 7, 2)).run()


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_on_ids(name: str) -> None:
    check = CellCheck(make_cell(name, 9, H, reads_ids=True), ids(9, 6, 4) // 2)
    assert np.unique(check.x).size < 9, "some characters do not occur"
    assert check.analytic()[1] is None
    check.run()


def deep(name: str) -> Cell:
    low = make_cell(name, I, H)
    high = make_cell(name, low.width, 6)
    return Stack({"0": low, "drop": Dropout(low.width, 0.3), "1": high})


@pytest.mark.parametrize("name", CELLS)
def test_a_stack_with_dropout(name: str) -> None:
    CellCheck(deep(name), vectors(I, 4, 2)).run()


def test_an_embedding_below_a_cell() -> None:
    CellCheck(Stack({"e": Embedding(7, I), "0": CELLS["rnn"](I, H)}), ids(7, 6, 4)).run()


@pytest.mark.parametrize("name", CELLS)
def test_backward_overwrites_the_gradients(name: str) -> None:
    check = CellCheck(deep(name), vectors(I, 4, 2))
    once, _, _ = check.analytic()
    _, _, backward = check.cell.forward(
        check.p, check.x, check.state, check.work, check.generator()
    )
    again = check.p.zeros_like()
    again.flat.fill(np.nan)
    backward(again, check.ry.copy(), check.rs)
    np.testing.assert_array_equal(again.flat, once.flat)


@pytest.mark.parametrize("name", CELLS)
def test_no_gradient_from_later_chunks_means_zeros(name: str) -> None:
    check = CellCheck(make_cell(name, I, H), vectors(I, 4, 2))
    check.rs = tuple(np.zeros_like(r) for r in check.rs)
    zeros = check.analytic()
    _, _, backward = check.cell.forward(check.p, check.x, check.state, check.work)
    g = check.p.zeros_like()
    backward(g, check.ry.copy(), None)
    np.testing.assert_array_equal(g.flat, zeros[0].flat)


@pytest.mark.parametrize("what", ["parameter", "x", "state"])
@pytest.mark.parametrize("name", CELLS)
def test_a_gradient_that_is_a_twentieth_of_a_percent_off_is_caught(name: str, what: str) -> None:
    check = CellCheck(make_cell(name, I, H), vectors(I, 4, 2))
    parameter = list(check.p)[-1]
    honest = check.analytic

    def off() -> tuple:
        g, dx, dstate = honest()
        array = {"parameter": g[parameter], "x": dx, "state": dstate[-1]}[what]
        array *= 1.0005
        return g, dx, dstate

    check.analytic = off
    with pytest.raises(AssertionError, match=rf"{what.replace('parameter', parameter)}.* off"):
        check.run()
