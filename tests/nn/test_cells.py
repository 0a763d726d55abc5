"""Laws that every cell obeys, and that the initial weights do."""

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.nn.bidirectional import Bidirectional, Reverse
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import Cell, State, zero_state
from charlm.nn.cells.sru import SRU
from charlm.nn.layers import Dropout
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.stack import Residual, Stack
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from tests.gradients import CellCheck
from tests.helpers import make_cell

I, H, T, B = 3, 5, 9, 4  # noqa: E741


def made(cell: Cell, random_seed: int = 0) -> Params:
    p = Params(cell.shapes(), dtype=np.float64)
    cell.init(p, np.random.default_rng(random_seed))
    return p


def run(cell: Cell, p: Params, x: Array, state: State) -> tuple[Array, State]:
    y, final, _ = cell.forward(p, x, state, Workspace(np.float64))
    return y.copy(), final


def inputs() -> Array:
    return np.random.default_rng(1).normal(size=(T, B, I))


def cells() -> dict[str, Cell]:
    """Cells and what can be made of them, all of which read from the start."""
    stacks = {
        f"two {name}s": Stack(
            {"0": (low := make_cell(name, I, H)), "1": make_cell(name, low.width, H + 1)}
        )
        for name in CELLS
    }
    activated = {
        f"{name} with {f}": make_cell(name, I, H, activation=f)
        for name in ("rnn", "jordan")
        for f in ("relu", "sigmoid")
    }
    past = {"shortcut": Residual(CELLS["gru"](I, I)), "sru with inputs of its width": SRU(I, I)}
    return {name: make_cell(name, I, H) for name in CELLS} | stacks | activated | past


def readers_from_the_end() -> dict[str, Cell]:
    """The same cells turned round, and both ways at once."""
    reverse = {f"{name} from the end": Reverse(cell) for name, cell in cells().items()}
    both = {
        f"{name} from both ends": Bidirectional(make_cell(name, I, H), make_cell(name, I, H + 1))
        for name in CELLS
    }
    return reverse | both


@pytest.mark.parametrize("cell", cells().values(), ids=cells())
def test_a_sequence_equals_its_chunks_with_the_state_carried(cell: Cell) -> None:
    p, x = made(cell), inputs()
    whole, final = run(cell, p, x, zero_state(cell, B, np.float64))
    state, parts = zero_state(cell, B, np.float64), []
    for chunk in np.split(x, [1, 4]):
        y, state = run(cell, p, chunk, state)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-14)
    for got, expected in zip(state, final, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "cell",
    [*cells().values(), *readers_from_the_end().values()],
    ids=[*cells(), *readers_from_the_end()],
)
def test_a_batch_equals_its_sequences_one_by_one(cell: Cell) -> None:
    p, x = made(cell), inputs()
    rng = np.random.default_rng(2)
    state = tuple(rng.normal(size=part.shape) for part in zero_state(cell, B))
    whole, final = run(cell, p, x, state)
    for b in range(B):
        one = slice(b, b + 1)
        y, after = run(cell, p, x[:, one], tuple(part[one] for part in state))
        np.testing.assert_allclose(y, whole[:, one], rtol=0, atol=1e-14)
        for got, expected in zip(after, final, strict=True):
            np.testing.assert_allclose(got, expected[one], rtol=0, atol=1e-14)


@pytest.mark.parametrize("V", [7, 300])
@pytest.mark.parametrize("name", CELLS)
def test_ids_equal_one_hot_vectors(name: str, V: int) -> None:
    cell = make_cell(name, V, H)
    p, ids = made(cell), np.random.default_rng(3).integers(V, size=(T, B))
    one_hot = np.eye(V)[ids]  # (T, B, V)
    state = zero_state(cell, B, np.float64)
    by_ids, by_vectors = run(cell, p, ids, state)[0], run(cell, p, one_hot, state)[0]
    np.testing.assert_allclose(by_ids, by_vectors, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_a_stack_of_one_is_the_cell(name: str) -> None:
    cell, x = make_cell(name, I, H), inputs()
    p, state = made(cell), zero_state(cell, B, np.float64)
    stack = Stack({"only": cell})
    stacked = Params(stack.shapes(), flat=p.flat)
    np.testing.assert_array_equal(run(stack, stacked, x, state)[0], run(cell, p, x, state)[0])


@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_of_a_stack_of_one_is_the_cells(name: str) -> None:
    cell, x = make_cell(name, I, H), inputs()
    g, dx, dstate = CellCheck(cell, x).analytic()  # of the same random numbers
    stacked, stacked_dx, stacked_dstate = CellCheck(Stack({"only": cell}), x).analytic()
    for got, expected in zip(
        (stacked.flat, stacked_dx, *stacked_dstate), (g.flat, dx, *dstate), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", CELLS)
def test_a_returned_state_outlives_the_next_pass(name: str) -> None:
    cell, work = make_cell(name, I, H), Workspace(np.float64)
    p, state = made(cell), zero_state(cell, B, np.float64)
    _, final, _ = cell.forward(p, inputs(), state, work)
    kept = [part.copy() for part in final]
    cell.forward(p, -inputs(), state, work)
    for got, expected in zip(final, kept, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", CELLS)
def test_a_step_depends_on_no_later_character(name: str) -> None:
    cell, x = make_cell(name, I, H), inputs()
    p, state = made(cell), zero_state(cell, B, np.float64)
    before = run(cell, p, x, state)[0]
    x[5] += 1
    after = run(cell, p, x, state)[0]
    np.testing.assert_array_equal(after[:5], before[:5])
    assert (after[5] != before[5]).all()


@pytest.mark.parametrize("name", sorted(CELLS.keys() - {"jordan", "sru"}))
def test_recurrent_weights_start_orthogonal(name: str) -> None:
    p = made(make_cell(name, I, H))
    recurrent = p["U"] if "U" in p else p["W"]
    for block in np.split(recurrent[:H], recurrent.shape[1] // H, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-14)


@pytest.mark.parametrize("reads_ids", [False, True])
def test_relu_starts_with_a_part_of_the_identity(reads_ids: bool) -> None:
    W = made(CELLS["rnn"](I, H, reads_ids, "relu"))["W"]
    kept = W[0, 0]
    assert 0.5 <= kept <= 1
    np.testing.assert_array_equal(W[:H], kept * np.eye(H))
    assert not W[H].any()
    assert W[H + 1 :].all()


@pytest.mark.parametrize(
    ("name", "gates"),
    [("lstm", [0, 0, 1, 0]), ("lstm-peephole", [0, 0, 1, 0]), ("lstm-coupled", [0, 1, 0])],
)
def test_the_forget_gate_starts_open_by_a_bias_of_one(name: str, gates: list[int]) -> None:
    bias = made(CELLS[name](I, H))["W"][H]
    np.testing.assert_array_equal(bias, np.repeat(gates, H))


def test_dropout_keeps_the_mean_and_does_nothing_without_a_generator() -> None:
    cell, x = Dropout(I, 0.25), np.ones((500, 40, I))
    p, work = Params({}, dtype=np.float64), Workspace(np.float64)
    y, _, _ = cell.forward(p, x, (), work, np.random.default_rng(0))
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    kept = np.count_nonzero(y) / y.size
    assert abs(kept - 0.75) < 5 * np.sqrt(0.75 * 0.25 / y.size)
    np.testing.assert_array_equal(cell.forward(p, x, (), work)[0], x)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_relu_is_stable_before_any_training(layers: int) -> None:
    model = CharLM(ModelConfig("rnn", 64, layers, activation="relu"), 50)
    p = model.init_params(np.random.default_rng(0), np.float64)
    ids = np.random.default_rng(1).integers(50, size=(400, 4))
    x, y, state = ids[:-1], ids[1:], model.zero_state(4, np.float64)
    nats, state = model.nats(p, x, y, state, Workspace(np.float64))
    assert nats.mean() < 3 * np.log(50)
    assert max(part.max() for part in state) < 50
