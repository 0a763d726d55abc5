"""The model's loss, its gradient, and the laws of chunks and batches, in float64."""

from itertools import pairwise

import numpy as np
import pytest

from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import Cell, zero_state
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from tests.gradients import assert_close, numerical_gradient
from tests.helpers import random_ids, small_model
from tests.models import B, T, V, data, gradient, nll, same
from tests.reliability import only_full

cells = pytest.mark.parametrize("cell", CELLS)


def check_gradient(
    model: CharLM, p: Params, t: int = T, b: int = B, *, seed: int | None = None, after=None
) -> None:
    """Every entry of the gradient agrees with differences of the loss."""
    x, y, state = data(model, t, b)
    work, unused = Workspace(np.float64), p.zeros_like()

    def loss() -> float:
        if seed is None:
            return model.nats(p, x, y, state, work, after)[0].sum()
        rng = np.random.default_rng(seed)
        return model.loss_and_grad(p, unused, x, y, state, work, rng, after=after)[0]

    _, g, _ = gradient(model, p, x, y, state, seed=seed, scale=0.3, after=after)
    for name, array in p.items():
        assert_close(name, g[name], 0.3 * numerical_gradient(loss, array))


@pytest.mark.parametrize("dropout", [0.4, *only_full(0.0)])
@pytest.mark.parametrize("embedding", [6, *only_full(0)])
@cells
def test_gradient_is_that_of_the_loss(cell, embedding, dropout):
    model, p = small_model(cell, V, hidden=2, layers=2, embedding=embedding, dropout=dropout)
    check_gradient(model, p, seed=8)


@cells
def test_gradient_is_that_of_the_loss_for_many_characters_few_of_which_occur(cell):
    check_gradient(*small_model(cell, 140, hidden=2))


@pytest.mark.parametrize(("t", "b"), [(1, 1), (1, 3), (5, 1)])
@cells
def test_gradient_is_that_of_the_loss_for_one_step_and_for_one_stream(cell, t, b):
    check_gradient(*small_model(cell, V, hidden=3), t, b)


# One option at a time, and all at once.
OPTIONS = {
    "three layers": {"layers": 3},
    "a head layer": {"head_layers": 1},
    "two head layers": {"head_layers": 2},
    "shortcuts": {"layers": 3, "residual": True},
    "all": {"layers": 3, "head_layers": 2, "residual": True, "embedding": 4, "dropout": 0.4},
}
TWO_OF_ALL = OPTIONS["all"] | {"layers": 2, "embedding": 3}
options = pytest.mark.parametrize("chosen", OPTIONS.values(), ids=OPTIONS)
may_be_bidirectional = pytest.mark.parametrize("cell", sorted(CELLS.keys() - {"jordan"}))


def allowed(cell: str, chosen: dict) -> dict:
    """The options that a cell can have: Jordan's has no head."""
    return {k: v for k, v in chosen.items() if not (cell == "jordan" and k == "head_layers")}


@options
@pytest.mark.parametrize("cell", ["jordan", "lstm", "sru"])
def test_gradient_is_that_of_the_loss_with_each_option(cell, chosen):
    model, p = small_model(cell, V, hidden=2, **allowed(cell, chosen))
    check_gradient(model, p, t=3, b=2)


@cells
def test_gradient_is_that_of_the_loss_with_all_options(cell):
    model, p = small_model(cell, 5, hidden=2, **allowed(cell, OPTIONS["all"]))
    check_gradient(model, p, t=3, b=2, seed=8)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("cell", ["rnn", "jordan"])
def test_gradient_is_that_of_the_loss_with_each_activation(cell, activation):
    model, p = small_model(cell, V, hidden=3, layers=2, activation=activation)
    check_gradient(model, p)


@pytest.mark.parametrize("after", [None, 0, 1, 3])
@may_be_bidirectional
def test_gradient_is_that_of_the_loss_from_both_ends(cell, after):
    model, p = small_model(cell, V, hidden=2, bidirectional=True)
    check_gradient(model, p, after=None if after is None else random_ids(after, B, seed=3))


@pytest.mark.parametrize("after", [0, 1, 2])
@may_be_bidirectional
def test_gradient_is_that_of_the_loss_of_one_character_between_others(cell, after):
    model, p = small_model(cell, V, hidden=2, bidirectional=True)
    check_gradient(model, p, t=1, after=random_ids(after, B, seed=3))


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("chosen", [{"layers": 2}, TWO_OF_ALL], ids=["two layers", "two of all"])
@pytest.mark.parametrize("cell", ["gru", "sru"])
def test_gradient_is_that_of_the_loss_from_both_ends_with_options(cell, chosen, after):
    model, p = small_model(cell, 5, hidden=2, bidirectional=True, **chosen)
    seed = 8 if model.config.dropout else None
    check_gradient(model, p, t=3, b=2, seed=seed, after=random_ids(after, 2, below=5, seed=3))


@may_be_bidirectional
def test_gradients_from_both_ends_overwrite_what_is_there(cell):
    model, p = small_model(cell, bidirectional=True, **OPTIONS["all"])
    for t, after in [(T, random_ids(2, B, seed=3)), (1, None)]:  # at the latter nothing follows
        x, y, state = data(model, t)
        _, g, _ = gradient(model, p, x, y, state, seed=8, after=after)
        again, rng = p.zeros_like(), np.random.default_rng(8)
        again.flat.fill(np.nan)
        model.loss_and_grad(p, again, x, y, state, Workspace(np.float64), rng, after=after)
        same([again.flat], [g.flat], near=0)


@cells
def test_gradients_overwrite_what_is_there(cell):
    model, p = small_model(cell, embedding=3)
    x, y, state = data(model)
    _, g, _ = gradient(model, p, x, y, state)
    again = p.zeros_like()
    again.flat.fill(np.nan)
    model.loss_and_grad(p, again, x, y, state, Workspace(np.float64))
    same([again.flat], [g.flat], near=0)


@pytest.mark.parametrize("embedding", [0, 6])
@cells
def test_loss_is_the_sum_of_the_surprise_of_every_character(cell, embedding):
    model, p = small_model(cell, layers=2, embedding=embedding, dropout=0.5)
    x, y, state = data(model)
    loss, _, after = gradient(model, p, x, y, state)
    nats, same_after = nll(model, p, x, y, state)
    assert nats.shape == y.shape
    assert nats.dtype == np.float64
    assert loss == pytest.approx(nats.sum(), rel=1e-13)
    same(after, same_after)


@pytest.mark.parametrize("bidirectional", [False, True])
@options
def test_loss_is_that_sum_with_each_option(chosen, bidirectional):
    model, p = small_model("gru", V, bidirectional=bidirectional, **chosen)
    x, y, state = data(model)
    after, work = random_ids(2, B, seed=3), Workspace(np.float64)
    loss, _, state_after = gradient(model, p, x, y, state, after=after)
    nats, same_after = model.nats(p, x, y, state, work, after)
    assert loss == pytest.approx(nats.sum(), rel=1e-13)
    same(state_after, same_after)
    logits, same_after = model.logits(p, x, y, state, work, after)
    total = np.log(np.exp(logits).sum(axis=2))
    picked = np.take_along_axis(logits, y[:, :, None], axis=2)[:, :, 0]
    assert logits.shape == (T, B, V)
    same([nats, *state_after], [total - picked, *same_after])


@cells
def test_surprise_is_the_logarithm_of_the_softmax_of_the_next_logits(cell):
    model, p = small_model(cell, layers=2)
    x, y, state = data(model)
    nats, _ = nll(model, p, x, y, state)
    work = Workspace(np.float64)
    for t in range(T):
        logits, _ = model.next_logits(p, x[: t + 1], state, work)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert logits.shape == (B, V)
        same([nats[t]], [-np.log(probabilities[range(B), y[t]])])


def outputs(cell: Cell, p: Params, x) -> np.ndarray:
    """What a layer puts out, from a state of zeros."""
    return cell.forward(p, x, zero_state(cell, B, np.float64), Workspace(np.float64))[0]


@pytest.mark.parametrize("embedding", [0, 5])  # none, and as wide as a layer
@options
@cells
def test_logits_are_those_of_the_layers_one_upon_the_other(cell, chosen, embedding):
    chosen = allowed(cell, chosen) | {"embedding": embedding}
    model, p = small_model(cell, V, hidden=5, **chosen)
    x, y, _ = data(model)
    h = p["embedding.W"][x] if embedding else x
    top = model.config.layers - 1
    for i in range(top + 1):
        name = "rnn" if cell == "jordan" and i < top else cell
        own_output = {"width": V} if name == "jordan" else {}
        layer = CELLS[name](h.shape[2] if h.ndim == 3 else V, 5, h.ndim == 2, **own_output)
        out = outputs(layer, p.scope(f"{i}"), h)
        h = h + out if model.config.residual and i and name != "jordan" else out
    for i in range(model.config.head_layers):
        h = np.tanh(h @ p[f"dense{i}.W"] + p[f"dense{i}.b"])
    expected = h if cell == "jordan" else h @ p["head.W"] + p["head.b"]
    zeros = model.zero_state(B, np.float64)
    same([model.logits(p, x, y, zeros, Workspace(np.float64))[0]], [expected])
    same([model.next_logits(p, x, zeros, Workspace(np.float64))[0]], [expected[-1]])


@pytest.mark.parametrize("chunk", [1, V, 2 * V, 5 * V + 1, 11 * V, 20 * V, 10**9])
def test_logits_may_be_computed_any_number_at_a_time(chunk, monkeypatch):
    model, p = small_model("lstm")
    x, y, state = data(model, t=7)  # 21 rows: the last part is smaller for some
    loss, g, after = gradient(model, p, x, y, state, scale=0.5)
    nats, _ = nll(model, p, x, y, state)
    monkeypatch.setattr("charlm.nn.output_layer.HEAD_CHUNK", chunk)
    again, other, same_after = gradient(model, p, x, y, state, scale=0.5)
    assert again == pytest.approx(loss, rel=1e-13)
    same([other.flat, *after], [g.flat, *same_after])
    same([nats], [nll(model, p, x, y, state)[0]])


@pytest.mark.parametrize("edges", [(0, 9), (0, 1, 9), (0, 4, 5, 9), tuple(range(10))])
@cells
def test_chunks_with_the_state_carried_are_the_whole(cell, edges):
    model, p = small_model(cell, layers=2, embedding=3)
    x, y, state = data(model, t=9)
    whole, after = nll(model, p, x, y, state)
    work, parts = Workspace(np.float64), []
    for start, stop in pairwise(edges):
        part, state = model.nats(p, x[start:stop], y[start:stop], state, work)
        parts.append(part)
    same([np.concatenate(parts), *after], [whole, *state])


@pytest.mark.parametrize("vocabulary", [V, 140])
@cells
def test_batch_is_its_streams_one_by_one(cell, vocabulary):
    model, p = small_model(cell, vocabulary, layers=2)
    x, y, state = data(model)
    nats, after = nll(model, p, x, y, state)
    loss, g, _ = gradient(model, p, x, y, state)
    total, losses = p.zeros_like(), 0.0
    for b in range(B):
        one = np.s_[:, b : b + 1]
        alone, alone_after = nll(model, p, x[one], y[one], tuple(s[b : b + 1] for s in state))
        same([nats[one], *(s[b : b + 1] for s in after)], [alone, *alone_after])
        part, part_g, _ = gradient(model, p, x[one], y[one], tuple(s[b : b + 1] for s in state))
        total.flat += part_g.flat
        losses += part
    assert losses == pytest.approx(loss, rel=1e-12)
    same([total.flat], [g.flat])


@cells
def test_nothing_that_is_passed_in_is_changed_but_the_gradients(cell):
    model, p = small_model(cell, layers=2, dropout=0.3)
    x, y, state = data(model)
    before = [a.copy() for a in (p.flat, x, y, *state)]
    gradient(model, p, x, y, state, seed=1)
    nll(model, p, x, y, state)
    assert all((a == b).all() for a, b in zip(before, (p.flat, x, y, *state), strict=True))


@cells
def test_dropout_changes_training_alone_and_depends_on_the_generator_alone(cell):
    model, p = small_model(cell, layers=2, dropout=0.5)
    plain, _ = small_model(cell, layers=2)
    x, y, state = data(model)
    quiet = gradient(model, p, x, y, state)[0]
    losses = [gradient(model, p, x, y, state, seed=seed)[0] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert losses[0] != quiet
    assert quiet == pytest.approx(gradient(plain, p, x, y, state)[0], rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_are_of_the_type_asked_for_and_depend_on_the_generator_alone(dtype):
    model, _ = small_model("gru", layers=2, embedding=3)
    one, same_one, other = (
        model.init_params(np.random.default_rng(seed), dtype) for seed in (1, 1, 2)
    )
    assert one.flat.dtype == dtype
    assert one.flat.tobytes() == same_one.flat.tobytes() != other.flat.tobytes()
    assert all(part.dtype == dtype for part in model.zero_state(3, dtype))
    assert not any(part.any() for part in model.zero_state(3, dtype))


def test_no_shortcut_goes_past_the_layer_that_owns_the_output():
    model, _ = small_model("jordan", 5, hidden=5, layers=3, residual=True, dropout=0.2)
    layers = list(model.cells.layers.values())
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["RNN", "Dropout", "Residual", "Dropout", "Jordan"]
