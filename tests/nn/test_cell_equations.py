"""Every cell is its reference step, no two are the same, and laws tie one to another."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest

from charlm.config import ACTIVATION_NAMES, PLAIN_CELLS, ModelConfig
from charlm.nn import time_blocks
from charlm.nn.cells import CELLS
from charlm.nn.cells.gru_minimal import MinimalGRU
from charlm.nn.cells.lstm import LSTM
from charlm.nn.cells.protocol import Cell, zero_state
from charlm.nn.cells.reference import ACTIVATIONS, STEPS, Step, jordan, rnn, row, softmax
from charlm.nn.cells.sru import SRU
from charlm.nn.layers import Dense
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.stack import Residual
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from tests.gradients import CellCheck
from tests.helpers import make_cell, random_ids

I, H, T, B = 3, 5, 7, 2  # noqa: E741

ACTIVATED = [(cell, name) for cell in PLAIN_CELLS for name in ACTIVATION_NAMES]


def inputs() -> Array:
    return np.random.default_rng(0).normal(size=(T, B, I))


def check_equations(cell: Cell, step: Step, x: Array, vectors: Array) -> None:
    """Hold the outputs and the final state against the equations.

    Args:
        cell: the cell.
        step: its equations.
        x: what the cell reads.
        vectors: what the equations read.
    """
    check = CellCheck(cell, x)
    y, final, _ = cell.forward(check.p, x, check.state, check.work)
    state = check.state
    for t in range(T):
        y_t, state = step(check.p, vectors[t], state)
        np.testing.assert_allclose(y[t], y_t, rtol=0, atol=1e-13)
    for got, expected in zip(final, state, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cached", [1, 90, time_blocks.CACHED])
@pytest.mark.parametrize("name", STEPS)
def test_a_cell_is_its_equations(name: str, cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_blocks, "CACHED", cached)  # runs of one step, of some and of all
    check_equations(make_cell(name, I, H), STEPS[name], inputs(), inputs())


@pytest.mark.parametrize("V", [4, H])
@pytest.mark.parametrize("name", STEPS)
def test_a_cell_on_ids_is_its_equations_on_one_hot_vectors(name: str, V: int) -> None:
    ids = random_ids(T, B, below=V)
    check_equations(make_cell(name, V, H, reads_ids=True), STEPS[name], ids, np.eye(V)[ids])


@pytest.mark.parametrize(("name", "activation"), ACTIVATED)
def test_a_plain_cell_is_its_equations_with_each_activation(name: str, activation: str) -> None:
    step = partial({"rnn": rnn, "jordan": jordan}[name], f=ACTIVATIONS[activation])
    check_equations(make_cell(name, I, H, activation=activation), step, inputs(), inputs())


def test_sru_as_wide_as_its_input_lets_it_pass_as_it_is() -> None:
    x = np.random.default_rng(0).normal(size=(T, B, H))
    check_equations(SRU(H, H), STEPS["sru"], x, x)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_jordan_remembers_the_softmax_of_its_logits_and_nothing_at_first(activation: str) -> None:
    cell = make_cell("jordan", I, H, activation=activation)
    check = CellCheck(cell, inputs())
    (nothing,) = zero_state(cell, B, np.float64)
    o, (y,), _ = cell.forward(check.p, check.x, (nothing,), check.work)
    first = ACTIVATIONS[activation](row(nothing, 1, check.x[0]) @ check.p["W"])
    assert not nothing.any()
    np.testing.assert_allclose(o[0], row(first, 1) @ check.p["O"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(y, softmax(o[-1]), rtol=0, atol=1e-13)


def test_dense_is_tanh_of_a_product_and_a_bias() -> None:
    check = CellCheck(Dense(I, H), inputs())
    y, final, _ = check.cell.forward(check.p, check.x, (), check.work)
    W, b = check.p["W"], check.p["b"]
    np.testing.assert_allclose(y, np.tanh(check.x @ W + b), rtol=0, atol=1e-13)
    assert final == ()


def test_every_cell_has_a_reference() -> None:
    assert STEPS.keys() == CELLS.keys()


# No two are the same


def prediction(config: ModelConfig) -> Array:
    """The logits of the next character, by an untrained model: `(B, V)`."""
    model = CharLM(config, 7)
    p = model.init_params(np.random.default_rng(0), np.float64)
    ids, state = random_ids(T, B), model.zero_state(B, np.float64)
    return model.next_logits(p, ids, state, Workspace(np.float64))[0]


def differ(one: ModelConfig, other: ModelConfig) -> bool:
    return bool(np.abs(prediction(one) - prediction(other)).max() > 1e-3)


def test_no_model_differs_from_itself() -> None:
    assert not any(differ(config, config) for config in map(ModelConfig, CELLS))


@pytest.mark.parametrize(("one", "other"), list(combinations(CELLS, 2)))
def test_two_cells_predict_different_things_at_equal_seeds(one: str, other: str) -> None:
    assert differ(ModelConfig(one, H, 2), ModelConfig(other, H, 2))


@pytest.mark.parametrize(("one", "other"), list(combinations(ACTIVATED, 2)))
def test_two_activations_predict_different_things_at_equal_seeds(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert differ(*(ModelConfig(cell, H, activation=f) for cell, f in (one, other)))


@pytest.mark.parametrize("cell", PLAIN_CELLS)
def test_activation_is_tanh_where_nothing_is_said(cell: str) -> None:
    assert not differ(ModelConfig(cell, H), ModelConfig(cell, H, activation="tanh"))


# Laws that tie one to another


def twin(check: CellCheck, cell: Cell) -> CellCheck:
    """Another cell, for the same input, state and gradients of its results."""
    other = CellCheck(cell, check.x)
    other.state, other.ry, other.rs = check.state, check.ry, check.rs
    return other


def near(got: Array, expected: Array) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def assert_twins(one: CellCheck, other: CellCheck) -> tuple[Params, Params]:
    """Outputs, final states and the gradients of x and of the first state are the same.

    Returns:
        The gradients of the parameters of both.
    """
    for got, expected in zip(results(one), results(other), strict=True):
        near(got, expected)
    g, dx, dstate = one.analytic()
    other_g, other_dx, other_dstate = other.analytic()
    for got, expected in zip(dstate, other_dstate, strict=True):
        near(got, expected)
    assert (dx is None) == (other_dx is None) == (one.x.ndim == 2)
    if dx is not None and other_dx is not None:
        near(dx, other_dx)
    return g, other_g


def results(check: CellCheck) -> tuple[Array, ...]:
    """The output and the final state."""
    y, final, _ = check.cell.forward(check.p, check.x, check.state, check.work)
    return y.copy(), *final


def options(reads_ids: bool) -> tuple[Array, dict[str, bool]]:
    """What to read, and how a cell is told that it will."""
    x = random_ids(T, B, below=I) if reads_ids else inputs()
    return x, {"reads_ids": reads_ids}


both_inputs = pytest.mark.parametrize("reads_ids", [False, True], ids=["vectors", "ids"])


@both_inputs
def test_peepholes_of_zero_see_nothing(reads_ids: bool) -> None:
    x, how = options(reads_ids)
    blind = CellCheck(CELLS["lstm-peephole"](I, H, **how), x)
    plain = twin(blind, LSTM(I, H, **how))
    blind.p["P"][...] = 0
    plain.p["W"][...] = blind.p["W"]
    g, plain_g = assert_twins(blind, plain)
    near(g["W"], plain_g["W"])
    assert g["P"].all()  # the loss would change with each peephole


@both_inputs
def test_coupled_gates_are_those_of_an_lstm_whose_input_gate_mirrors_the_other(
    reads_ids: bool,
) -> None:
    x, how = options(reads_ids)
    coupled = CellCheck(CELLS["lstm-coupled"](I, H, **how), x)
    mirrored = twin(coupled, LSTM(I, H, **how))
    W_g, W_f, W_o = np.split(coupled.p["W"], 3, axis=1)
    mirrored.p["W"][...] = np.hstack([W_g, -W_f, W_f, W_o])  # 1 - σ(z) = σ(-z)
    g, mirrored_g = assert_twins(coupled, mirrored)
    dW_g, dW_i, dW_f, dW_o = np.split(mirrored_g["W"], 4, axis=1)
    near(g["W"], np.hstack([dW_g, dW_f - dW_i, dW_o]))


OPEN = 100.0  # σ of which is 1 in floating point


@both_inputs
def test_gru_whose_reset_gate_is_open_is_the_minimal_one(reads_ids: bool) -> None:
    x, how = options(reads_ids)
    full = CellCheck(CELLS["gru"](I, H, **how), x)
    minimal = twin(full, MinimalGRU(I, H, **how))
    U_z, U_r, U_n = np.split(full.p["U"], 3, axis=1)
    V_n, V_z, V_r = np.split(full.p["V"], 3, axis=1)
    U_r[...], V_r[...], V_r[0] = 0, 0, OPEN
    W_z, W_n = np.split(minimal.p["W"], 2, axis=1)
    for W, U, V in ((W_z, U_z, V_z), (W_n, U_n, V_n)):
        W[:H], W[H], W[H + 1 :] = U[:H], U[H] + V[0], V[1:]
    g, minimal_g = assert_twins(full, minimal)
    dU_z, dU_r, dU_n = np.split(g["U"], 3, axis=1)
    dV_n, dV_z, dV_r = np.split(g["V"], 3, axis=1)
    for dW, dU, dV in zip(
        np.split(minimal_g["W"], 2, axis=1), (dU_z, dU_n), (dV_z, dV_n), strict=True
    ):
        near(np.vstack([dU, dV[1:]]), dW)
        near(dV[0], dU[H])
    assert not dU_r.any()
    assert not dV_r.any()


@both_inputs
def test_cho_gru_whose_reset_gate_is_open_is_the_minimal_one(reads_ids: bool) -> None:
    x, how = options(reads_ids)
    cho = CellCheck(CELLS["gru-cho"](I, H, **how), x)
    minimal = twin(cho, MinimalGRU(I, H, **how))
    U_z, U_r, U_n = np.split(cho.p["U"], 3, axis=1)
    V_z, V_r, V_n = np.split(cho.p["V"], 3, axis=1)
    U_r[...], V_r[...], V_r[0] = 0, 0, OPEN
    minimal.p["W"][...] = np.block([[U_z, U_n], [V_z, V_n]])
    g, minimal_g = assert_twins(cho, minimal)
    dU_z, dU_r, dU_n = np.split(g["U"], 3, axis=1)
    dV_z, dV_r, dV_n = np.split(g["V"], 3, axis=1)
    near(np.block([[dU_z, dU_n], [dV_z, dV_n]]), minimal_g["W"])
    assert not dU_r.any()
    assert not dV_r.any()


@pytest.mark.parametrize("name", CELLS)
def test_a_shortcut_adds_what_goes_in_to_what_comes_out(name: str) -> None:
    cell = make_cell(name, H + 2, H) if name == "jordan" else make_cell(name, H, H)
    x = np.random.default_rng(0).normal(size=(T, B, cell.width))
    past = CellCheck(Residual(cell), x)
    plain = twin(past, cell)
    (y, *final), (inner, *inner_final) = results(past), results(plain)
    near(y, x + inner)
    for got, expected in zip(final, inner_final, strict=True):
        near(got, expected)
    g, dx, dstate = past.analytic()
    inner_g, inner_dx, inner_dstate = plain.analytic()
    assert dx is not None
    assert inner_dx is not None
    near(dx, past.ry + inner_dx)
    near(g.flat, inner_g.flat)
    for got, expected in zip(dstate, inner_dstate, strict=True):
        near(got, expected)
