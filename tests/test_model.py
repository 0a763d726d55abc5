"""The model's loss, its gradient, and the laws of chunks, batches and shards, in float64."""

import math
from itertools import pairwise

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.model import CharLM
from charlm.parallel import default_shards
from charlm.params import Params
from charlm.shards import Shards
from charlm.workspace import Workspace
from tests.gradients import assert_close, numerical_gradient
from tests.helpers import random_ids, random_state, small_model

cells = pytest.mark.parametrize("cell", CELLS)

# Sizes that are all different, so that axes which are swapped do not fit.
T, B, V = 4, 3, 7


def gradient(model: CharLM, p: Params, x, y, state, *, seed: int | None = None, scale=1.0):
    """The loss, its gradient and the state after, on fresh memory."""
    g, work = p.zeros_like(), Workspace(p.flat.dtype)
    rng = None if seed is None else np.random.default_rng(seed)
    nats, after = model.loss_and_grad(p, g, x, y, state, work, rng, scale)
    return nats, g, after


def surprise(model: CharLM, p: Params, x, y, state) -> tuple[np.ndarray, tuple]:
    return model.nats(p, x, y, state, Workspace(p.flat.dtype))


def data(model: CharLM, t: int = T, b: int = B):
    """Inputs, targets and a state before them."""
    ids = random_ids(t + 1, b, below=model.vocabulary)
    return ids[:-1], ids[1:], random_state(model, b)


def same(one, other, near: float = 1e-12) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=near, atol=near)


def check_gradient(model: CharLM, p: Params, t: int = T, b: int = B, **options) -> None:
    """Every entry of the gradient agrees with differences of the loss."""
    x, y, state = data(model, t, b)
    _, g, _ = gradient(model, p, x, y, state, scale=0.3, **options)
    for name, array in p.items():
        numeric = numerical_gradient(lambda: gradient(model, p, x, y, state, **options)[0], array)
        assert_close(name, g[name], 0.3 * numeric)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("embedding", [0, 6])
@cells
def test_gradient_is_that_of_the_loss(cell, embedding, dropout):
    model, p = small_model(cell, V, hidden=3, layers=2, embedding=embedding, dropout=dropout)
    check_gradient(model, p, seed=8)


@cells
def test_gradient_is_that_of_the_loss_for_many_characters_few_of_which_occur(cell):
    check_gradient(*small_model(cell, 140, hidden=2))


@pytest.mark.parametrize(("t", "b"), [(1, 1), (1, 3), (5, 1)])
@cells
def test_gradient_is_that_of_the_loss_for_one_step_and_for_one_stream(cell, t, b):
    check_gradient(*small_model(cell, V, hidden=3), t, b)


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
    nats, same_after = surprise(model, p, x, y, state)
    assert nats.shape == y.shape
    assert nats.dtype == np.float64
    assert loss == pytest.approx(nats.sum(), rel=1e-13)
    same(after, same_after)


@cells
def test_surprise_is_the_logarithm_of_the_softmax_of_the_next_logits(cell):
    model, p = small_model(cell, layers=2)
    x, y, state = data(model)
    nats, _ = surprise(model, p, x, y, state)
    work = Workspace(np.float64)
    for t in range(T):
        logits, _ = model.next_logits(p, x[: t + 1], state, work)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert logits.shape == (B, V)
        same([nats[t]], [-np.log(probabilities[range(B), y[t]])])


@pytest.mark.parametrize("chunk", [1, V, 2 * V, 5 * V + 1, 11 * V, 20 * V, 10**9])
def test_logits_may_be_computed_any_number_at_a_time(chunk, monkeypatch):
    model, p = small_model("lstm")
    x, y, state = data(model, t=7)  # 21 rows: the last part is smaller for some
    loss, g, after = gradient(model, p, x, y, state, scale=0.5)
    nats, _ = surprise(model, p, x, y, state)
    monkeypatch.setattr("charlm.head.HEAD_CHUNK", chunk)
    again, other, same_after = gradient(model, p, x, y, state, scale=0.5)
    assert again == pytest.approx(loss, rel=1e-13)
    same([other.flat, *after], [g.flat, *same_after])
    same([nats], [surprise(model, p, x, y, state)[0]])


@pytest.mark.parametrize("edges", [(0, 9), (0, 1, 9), (0, 4, 5, 9), tuple(range(10))])
@cells
def test_chunks_with_the_state_carried_are_the_whole(cell, edges):
    model, p = small_model(cell, layers=2, embedding=3)
    x, y, state = data(model, t=9)
    whole, after = surprise(model, p, x, y, state)
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
    nats, after = surprise(model, p, x, y, state)
    loss, g, _ = gradient(model, p, x, y, state)
    total, losses = p.zeros_like(), 0.0
    for b in range(B):
        one = np.s_[:, b : b + 1]
        alone, alone_after = surprise(model, p, x[one], y[one], tuple(s[b : b + 1] for s in state))
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
    surprise(model, p, x, y, state)
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


# The shards of a batch


def sharded(model, p, batch: int, shards: int, threads: int = 1, *, step: int = 5):
    """The mean loss, its gradient and the state after, by shards."""
    x, y, state = data(model, b=batch)
    loss, g, after = Shards(model, p, batch, shards, threads).loss_and_grad(x, y, state, (0, step))
    return loss, g.flat.copy(), after


@pytest.mark.parametrize("shards", [1, 2, 3, 8, 20])
@cells
def test_any_number_of_shards_gives_the_mean_loss_and_its_gradient(cell, shards, monkeypatch):
    monkeypatch.setattr("charlm.shards.RESET_PROBABILITY", 0)
    model, p = small_model(cell, layers=2)
    x, y, state = data(model, b=8)
    nats, g, after = gradient(model, p, x, y, state, scale=1 / x.size)
    loss, flat, same_after = sharded(model, p, 8, shards)
    assert loss == pytest.approx(nats / x.size, rel=1e-13)
    same([flat, *same_after], [g.flat, *after])


@pytest.mark.parametrize("shards", [1, 3, 8])
@cells
def test_result_depends_on_the_shards_and_not_on_who_carries_them(cell, shards, monkeypatch):
    model, p = small_model(cell, layers=2, dropout=0.4)
    loss, flat, after = sharded(model, p, 8, shards)
    for threads, single in [(2, True), (3, True), (1, False), (2, False)]:
        monkeypatch.setattr("charlm.shards.blas_can_be_single", lambda single=single: single)
        again, other, same_after = sharded(model, p, 8, shards, threads)
        assert again == loss
        assert other.tobytes() == flat.tobytes()
        assert all((a == b).all() for a, b in zip(after, same_after, strict=True))


@cells
def test_each_shard_and_each_step_draws_for_itself(cell):
    model, p = small_model(cell, layers=2, dropout=0.5)
    x, y, _ = data(model, b=1)
    x, y = np.repeat(x, 4, axis=1), np.repeat(y, 4, axis=1)
    shards, tops = Shards(model, p, 4, 2, 1), []
    for step in (5, 6):
        after = shards.loss_and_grad(x, y, model.zero_state(4, np.float64), (0, step))[2]
        tops += [after[-1][:2], after[-1][2:]]  # of the two shards
    assert len({top.tobytes() for top in tops}) == 4


def test_streams_forget_their_state_as_often_as_they_should(monkeypatch):
    monkeypatch.setattr("charlm.shards.RESET_PROBABILITY", 0.3)
    model, p = small_model("rnn", hidden=2)
    batch, state = 10, random_state(small_model("rnn", hidden=2)[0], 10)
    x, y, _ = data(model, t=1, b=batch)
    from_zero = surprise(model, p, x, y, model.zero_state(batch, np.float64))[1]
    carried = surprise(model, p, x, y, state)[1]
    shards, forgot = Shards(model, p, batch, 2, 1), 0
    for step in range(200):
        after = shards.loss_and_grad(x, y, state, (0, step))[2]
        is_zero = np.isclose(after[0], from_zero[0]).all(axis=1)
        is_carried = np.isclose(after[0], carried[0]).all(axis=1)
        assert (is_zero ^ is_carried).all()
        forgot += is_zero.sum()
    assert abs(forgot / (200 * batch) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / (200 * batch))


@cells
def test_what_a_stream_forgot_does_not_matter(cell, monkeypatch):
    monkeypatch.setattr("charlm.shards.RESET_PROBABILITY", 1)
    model, p = small_model(cell, layers=2)
    x, y, state = data(model)
    shards = Shards(model, p, B, 2, 1)
    results = []
    for before in (state, random_state(model, B, seed=9), model.zero_state(B, np.float64)):
        loss, g, after = shards.loss_and_grad(x, y, before, (0, 1))
        results.append((loss, g.flat.copy(), *after))
    for other in results[1:]:
        same(results[0], other, near=0)


def test_default_shards_are_at_least_one_and_fewer_than_the_streams():
    counts = [default_shards(batch) for batch in range(1, 300)]
    assert counts == sorted(counts)
    assert all(1 <= count <= batch for batch, count in enumerate(counts, 1))
