"""A batch split into shards: its mean NLL, gradient and random numbers, in float64."""

import math

import numpy as np
import pytest

from charlm.distributed.data_parallel import DataParallel
from charlm.distributed.scheduling import default_shards
from charlm.errors import ConfigError
from charlm.nn.cells import CELLS
from tests.helpers import random_ids, random_state, small_model, small_trainer
from tests.models import B, chunk_of, data, gradient, nll, same
from tests.reliability import only_full

cells = pytest.mark.parametrize("cell", CELLS)


def sharded(model, p, batch: int, shards: int, threads: int = 1, *, step: int = 5, after=None):
    """Return the mean NLL, its gradient and the state after, computed by shards."""
    x, y, state = data(model, b=batch)
    parallel = DataParallel(model, p, batch, shards, threads)
    chunk = chunk_of(x, y, after)
    loss, g, state = parallel.loss_and_grad([chunk], state, (0, step))
    return loss, g.flat.copy(), state


@pytest.mark.parametrize("shards", [1, 2, 3, 8, 20])
@cells
def test_shards_compute_the_mean_nll_and_its_gradient(cell, shards, monkeypatch):
    monkeypatch.setattr("charlm.distributed.shard.RESET_AT_STARTS", 0)
    model, p = small_model(cell, layers=2)
    x, y, state = data(model, b=8)
    nats, g, after = gradient(model, p, x, y, state, scale=1 / x.size)
    loss, flat, same_after = sharded(model, p, 8, shards)
    assert loss == pytest.approx(nats / x.size, rel=1e-13)
    same([flat, *same_after], [g.flat, *after])


@pytest.mark.parametrize("after", [None, 0, 3])
@pytest.mark.parametrize("shards", [1, 3, 8, 20])
@pytest.mark.parametrize("cell", ["lstm", "sru"])
def test_shards_of_a_bidirectional_model_compute_the_mean_nll_and_its_gradient(
    cell, shards, after, monkeypatch
):
    monkeypatch.setattr("charlm.distributed.shard.RESET_AT_STARTS", 0)
    model, p = small_model(cell, bidirectional=True, layers=2, head_layers=1)
    x, y, state = data(model, b=8)
    ids = None if after is None else random_ids(after, 8, seed=3)
    nats, g, state_after = gradient(model, p, x, y, state, scale=1 / x.size, after=ids)
    loss, flat, same_after = sharded(model, p, 8, shards, after=ids)
    assert loss == pytest.approx(nats / x.size, rel=1e-13)
    same([flat, *same_after], [g.flat, *state_after])


def test_bidirectional_result_does_not_depend_on_the_number_of_processes(monkeypatch):
    model, p = small_model("gru", bidirectional=True, layers=2, dropout=0.4)
    after = random_ids(3, 8, seed=3)
    loss, flat, state = sharded(model, p, 8, 3, after=after)
    for threads, single in [(2, True), (1, False)]:
        monkeypatch.setattr(
            "charlm.distributed.data_parallel.blas_can_be_single", lambda single=single: single
        )
        again, other, same_state = sharded(model, p, 8, 3, threads, after=after)
        assert again == loss
        assert other.tobytes() == flat.tobytes()
        same(state, same_state, near=0)


@pytest.mark.parametrize("shards", [3, *only_full(1, 8)])
@cells
def test_result_does_not_depend_on_the_number_of_processes(cell, shards, monkeypatch):
    model, p = small_model(cell, layers=2, dropout=0.4)
    loss, flat, after = sharded(model, p, 8, shards)
    for threads, single in [(2, True), (3, True), (1, False), (2, False)]:
        monkeypatch.setattr(
            "charlm.distributed.data_parallel.blas_can_be_single", lambda single=single: single
        )
        again, other, same_after = sharded(model, p, 8, shards, threads)
        assert again == loss
        assert other.tobytes() == flat.tobytes()
        assert all((a == b).all() for a, b in zip(after, same_after, strict=True))


@cells
def test_each_shard_and_step_has_its_own_random_numbers(cell):
    model, p = small_model(cell, layers=2, dropout=0.5)
    x, y, _ = data(model, b=1)
    x, y = np.repeat(x, 4, axis=1), np.repeat(y, 4, axis=1)
    shards, tops = DataParallel(model, p, 4, 2, 1), []
    for step in (5, 6):
        chunk = chunk_of(x, y)
        after = shards.loss_and_grad([chunk], model.zero_state(4, np.float64), (0, step))[2]
        tops += [after[-1][:2], after[-1][2:]]  # of the two shards
    assert len({top.tobytes() for top in tops}) == 4


def accumulated(model, p, shards: int, state, starts=(), threads: int = 1):
    """Compute a step of three chunks of different lengths, some of which start an epoch."""
    x, y, _ = data(model, t=9, b=8)
    parts = [slice(0, 4), slice(4, 5), slice(5, 9)]
    chunks = [chunk_of(x[k], y[k], is_first=n in starts) for n, k in enumerate(parts)]
    parallel = DataParallel(model, p, 8, shards, threads)
    parallel.loss_and_grad(chunks[1:], state, (0, 4))  # leaves old values in memory
    loss, g, after = parallel.loss_and_grad(chunks, state, (0, 5))
    return chunks, loss, g.flat.copy(), after


@pytest.mark.parametrize("starts", [(), (1,), (0, 2)])
@pytest.mark.parametrize("shards", [1, 3])
@cells
def test_step_of_several_chunks_sums_their_gradients(cell, shards, starts, monkeypatch):
    monkeypatch.setattr("charlm.distributed.shard.RESET_AT_STARTS", 0)
    model, p = small_model(cell, layers=2)
    state = random_state(model, 8)
    chunks, loss, flat, after = accumulated(model, p, shards, state, starts)
    characters = sum(chunk.x.size for chunk in chunks)
    total, expected = 0.0, np.zeros_like(p.flat)
    for x, y, _, begins in chunks:
        before = model.zero_state(8, np.float64) if begins[0].all() else state
        nats, g, state = gradient(model, p, x, y, before, scale=1 / characters)
        total += nats
        expected += g.flat
    assert loss == pytest.approx(total / characters, rel=1e-13)
    same([flat, *after], [expected, *state])


@cells
def test_step_of_several_chunks_carries_the_state_from_chunk_to_chunk(cell, monkeypatch):
    monkeypatch.setattr("charlm.distributed.shard.RESET_AT_STARTS", 0)
    model, p = small_model(cell, layers=2)
    state = random_state(model, 8)
    chunks, loss, _, after = accumulated(model, p, 3, state)
    x, y = (np.concatenate(ids) for ids in list(zip(*chunks, strict=True))[:2])
    nats, end = nll(model, p, x, y, state)
    assert loss == pytest.approx(nats.mean(), rel=1e-13)
    same(after, end)


@pytest.mark.parametrize("threads", [2, 3])
def test_step_of_several_chunks_does_not_depend_on_the_number_of_processes(threads):
    model, p = small_model("gru", layers=2, dropout=0.4)
    state = random_state(model, 8)
    _, loss, flat, after = accumulated(model, p, 3, state)
    _, again, other, same_after = accumulated(model, p, 3, state, threads=threads)
    assert again == loss
    assert other.tobytes() == flat.tobytes()
    same(after, same_after, near=0)


def test_states_are_reset_with_the_reset_probability(monkeypatch):
    monkeypatch.setattr("charlm.distributed.shard.RESET_AT_STARTS", 0.3)
    model, p = small_model("rnn", hidden=2)
    batch, state = 10, random_state(small_model("rnn", hidden=2)[0], 10)
    x, y, _ = data(model, t=1, b=batch)
    from_zero = nll(model, p, x, y, model.zero_state(batch, np.float64))[1]
    carried = nll(model, p, x, y, state)[1]
    shards, resets = DataParallel(model, p, batch, 2, 1), 0
    for step in range(200):
        after = shards.loss_and_grad([chunk_of(x, y)], state, (0, step))[2]
        is_zero = np.isclose(after[0], from_zero[0]).all(axis=1)
        is_carried = np.isclose(after[0], carried[0]).all(axis=1)
        assert (is_zero ^ is_carried).all()
        resets += is_zero.sum()
    assert abs(resets / (200 * batch) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / (200 * batch))


@cells
def test_result_does_not_depend_on_a_state_that_is_reset(cell, monkeypatch):
    monkeypatch.setattr("charlm.distributed.shard.RESET_AT_STARTS", 1)
    model, p = small_model(cell, layers=2)
    x, y, state = data(model)
    shards = DataParallel(model, p, B, 2, 1)
    results = []
    for before in (state, random_state(model, B, seed=9), model.zero_state(B, np.float64)):
        chunk = chunk_of(x, y)
        loss, g, after = shards.loss_and_grad([chunk], before, (0, 1))
        results.append((loss, g.flat.copy(), *after))
    for other in results[1:]:
        same(results[0], other, near=0)


def test_each_chunk_of_a_step_has_its_own_random_numbers():
    model, p = small_model("lstm", layers=2, dropout=0.5)
    x, y, state = data(model, b=4)
    chunk = chunk_of(x, y, is_first=True)  # both start from a state of zeros
    once, twice = (
        DataParallel(model, p, 4, 2, 1).loss_and_grad([chunk] * count, state, (0, 5))[0]
        for count in (1, 2)
    )
    second = 2 * twice - once
    assert abs(second - once) > 1e-3 * once


def test_default_shards_grow_with_the_batch_size_up_to_one_per_stream():
    counts = [default_shards(batch) for batch in range(1, 300)]
    assert counts == sorted(counts)
    assert all(1 <= count <= batch for batch, count in enumerate(counts, 1))


@pytest.mark.parametrize("threads", [3, 10**15])
def test_number_of_processes_is_limited_by_the_shards_before_memory_is_allocated(threads):
    model, p = small_model("rnn")
    assert len(DataParallel(model, p, 8, 3, threads).parts) <= 3
    assert len(DataParallel(model, p, 8, 1, threads).parts) == 1


@pytest.mark.parametrize("threads", [-1, True, 1.5, "2", None])
def test_invalid_number_of_threads_is_rejected(threads):
    with pytest.raises(ConfigError, match="threads must be an integer of at least 0"):
        small_trainer(threads=threads)


def test_states_are_reset_before_a_newline_of_the_chunk(monkeypatch):
    monkeypatch.setattr("charlm.distributed.shard.RESET_PROBABILITY", 1)
    model, p = small_model("rnn", hidden=2)
    x, y, state = data(model, t=6, b=4)
    newline = 6
    x[:], y[:] = x % 6, y % 6  # no newline but those below
    x[4, 0] = x[1, 1] = x[5, 1] = x[0, 2] = newline
    shards = DataParallel(model, p, 4, 1, 1, newline=newline)
    expected = {0: {4}, 1: {1, 5}, 2: {0}, 3: {0}}  # the last has none: at its start
    found: dict[int, set[int]] = {b: set() for b in expected}
    for step in range(20):
        after = shards.loss_and_grad([chunk_of(x, y)], state, (0, step))[2]
        for b, starts in expected.items():
            for start in starts:
                nothing = model.zero_state(1, np.float64)
                (end,) = nll(model, p, x[start:, b : b + 1], y[start:, b : b + 1], nothing)[1]
                if np.allclose(after[0][b], end[0], rtol=1e-12):
                    found[b].add(start)
    assert found == expected
