"""Every backward pass agrees with differences of its forward pass, in float64.

All sizes are distinct, so that swapped axes cannot pass.
"""

import numpy as np
import pytest

from charlm.config import ACTIVATION_NAMES, PLAIN_CELLS
from charlm.nn import products, time_blocks
from charlm.nn.bidirectional import Bidirectional, Reverse
from charlm.nn.cells import CELLS
from charlm.nn.cells.gru import GRU
from charlm.nn.cells.lstm import LSTM
from charlm.nn.cells.protocol import Cell
from charlm.nn.cells.rnn import RNN
from charlm.nn.cells.sru import SRU
from charlm.nn.elementwise import softmax_
from charlm.nn.layers import Dense, Dropout, Embedding
from charlm.nn.stack import Residual, Stack
from charlm.system import kernels
from charlm.system.arrays import Array
from charlm.system.kernels import Blocks
from tests.gradients import CellCheck
from tests.helpers import make_cell
from tests.reliability import only_full

I, H = 3, 5  # noqa: E741
SHAPES = [(4, 2), (1, 2), (4, 1), (1, 1)]  # T, B

shapes = pytest.mark.parametrize(("T", "B"), SHAPES)
few_shapes = pytest.mark.parametrize(("T", "B"), [(4, 2), (1, 1), *only_full((1, 2), (4, 1))])


def vectors(features: int, T: int, B: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(T, B, features))


def ids(V: int, T: int, B: int) -> np.ndarray:
    return np.random.default_rng(0).integers(V, size=(T, B))


@shapes
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_on_vectors(name: str, T: int, B: int) -> None:
    CellCheck(make_cell(name, I, H), vectors(I, T, B)).run()


@pytest.mark.parametrize("cached", [1, 90, 250])
@pytest.mark.parametrize("blocks", [Blocks(70, 0, 2), Blocks(20, 3, 2, is_split=True)])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_whose_step_and_sequence_go_piece_by_piece(
    name: str, blocks: Blocks, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_blocks, "CACHED", cached)  # runs of one step and of some
    monkeypatch.setattr(kernels, "_chosen", [blocks])
    monkeypatch.setattr(products, "NARROWEST", 1)
    monkeypatch.setattr(products, "SHORTEST_SUM", 1)
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


# The plain cells with each activation


KINK = 1e-3  # how far from it a relu has to stay: a hundred steps of the differences


def assert_far_from_the_kink(check: CellCheck, x: Array) -> None:
    """No unit is where the slope of relu jumps, and units lie on both sides of that."""
    z = before_activation(check, x)
    assert np.abs(z).min() > KINK
    assert z.min() < 0 < z.max()


def before_activation(check: CellCheck, x: Array) -> Array:
    """What f is applied to, `(T, B, H)`, given the input as vectors."""
    y, _, _ = check.cell.forward(check.p, check.x, check.state, check.work)
    before = np.concatenate([np.zeros_like(y[:1]), y[:-1]])
    if "O" in check.p:  # of Jordan's layer the outputs are logits
        for y_t in before:
            softmax_(y_t)
    before[0] = check.state[0]
    return np.concatenate([before, np.ones((*y.shape[:2], 1)), x], axis=2) @ check.p["W"]


@shapes
@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@pytest.mark.parametrize("name", PLAIN_CELLS)
def test_a_plain_cell_with_each_activation(name: str, activation: str, T: int, B: int) -> None:
    check = CellCheck(make_cell(name, I, H, activation=activation), vectors(I, T, B))
    if activation == "relu":
        assert_far_from_the_kink(check, check.x)
    check.run()


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@pytest.mark.parametrize("name", PLAIN_CELLS)
def test_a_plain_cell_on_ids_with_each_activation(name: str, activation: str) -> None:
    cell = make_cell(name, 9, H, reads_ids=True, activation=activation)
    check = CellCheck(cell, ids(9, 6, 4) // 2)
    if activation == "relu":
        assert_far_from_the_kink(check, np.eye(9)[check.x])
    check.run()


# Layers without a memory, shortcuts, and layers that read from the end


@shapes
def test_a_layer_of_plain_units(T: int, B: int) -> None:
    CellCheck(Dense(I, H), vectors(I, T, B)).run()


@few_shapes
@pytest.mark.parametrize("name", CELLS)
def test_a_shortcut_past_a_cell(name: str, T: int, B: int) -> None:
    cell = make_cell(name, H + 2, H) if name == "jordan" else make_cell(name, H, H)
    CellCheck(Residual(cell), vectors(cell.width, T, B)).run()


@pytest.mark.parametrize("cached", [1, 90, time_blocks.CACHED])
@pytest.mark.parametrize(("T", "B"), [*SHAPES, (7, 2)])
def test_sru_as_wide_as_its_input(
    T: int, B: int, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_blocks, "CACHED", cached)
    CellCheck(SRU(H, H), vectors(H, T, B)).run()


@few_shapes
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_from_the_end(name: str, T: int, B: int) -> None:
    CellCheck(Reverse(make_cell(name, I, H)), vectors(I, T, B)).run()


def both_ends(name: str, inputs: int, **options: bool) -> Cell:
    """One cell from each end, of different widths."""
    return Bidirectional(
        make_cell(name, inputs, H, **options), make_cell(name, inputs, H - 1, **options)
    )


@few_shapes
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_from_both_ends(name: str, T: int, B: int) -> None:
    CellCheck(both_ends(name, I), vectors(I, T, B)).run()


@pytest.mark.parametrize(("T", "B"), [(6, 4), (1, 1)])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_on_ids_from_both_ends(name: str, T: int, B: int) -> None:
    check = CellCheck(both_ends(name, 9, reads_ids=True), ids(9, T, B) // 2)
    assert check.analytic()[1] is None
    check.run()


NESTED: dict[str, Cell] = {
    "a stack of readers from both ends": Stack(
        {
            "0": (low := Bidirectional(LSTM(I, 2), GRU(I, 4))),
            "drop": Dropout(low.width, 0.3),
            "1": Bidirectional(SRU(low.width, 5), RNN(low.width, low.width)),
        }
    ),
    "stacks from both ends": Bidirectional(
        Stack({"0": LSTM(I, 4), "drop": Dropout(4, 0.3), "1": GRU(4, 5)}),
        Stack({"0": RNN(I, 2), "1": SRU(2, 2)}),
    ),
    "both ends of both ends": Bidirectional(
        Bidirectional(RNN(I, 2), GRU(I, 4)), Reverse(SRU(I, I))
    ),
    "shortcuts in a stack from both ends": Bidirectional(
        Stack({"0": GRU(I, 5), "1": Residual(SRU(5, 5))}),
        Stack({"0": Residual(LSTM(I, I)), "1": Dense(I, 2)}),
    ),
    "a shortcut past both ends": Residual(Bidirectional(SRU(I, I - 1), LSTM(I, 1))),
    "a shortcut past a shortcut": Residual(Residual(Reverse(SRU(I, I)))),
}


@few_shapes
@pytest.mark.parametrize("cell", NESTED.values(), ids=NESTED)
def test_combinations_of_combinations(cell: Cell, T: int, B: int) -> None:
    CellCheck(cell, vectors(I, T, B)).run()


def test_stacks_on_ids_from_both_ends() -> None:
    halves = (
        Stack({"e": Embedding(7, I), "0": GRU(I, H)}),
        Stack({"0": SRU(7, 4, reads_ids=True), "1": Residual(SRU(4, 4))}),
    )
    CellCheck(Bidirectional(*halves), ids(7, 6, 4)).run()


# What a backward pass promises


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
