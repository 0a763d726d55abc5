"""Streams contain each character once and in order, and targets are shifted by one."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.batches import Streams
from tests.helpers import lawful

SIZES = (st.integers(2, 150), st.integers(1, 12), st.integers(1, 20))


def epoch(streams: Streams, number: int = 0):
    steps = range(number * streams.chunks_per_epoch, (number + 1) * streams.chunks_per_epoch)
    return [streams.chunk(step) for step in steps]


@lawful
@given(*SIZES)
def test_targets_are_the_inputs_shifted_by_one(n, batch_size, seq_len):
    # each id is its own position in the text
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    for x, y, _, _ in epoch(streams):
        assert x.shape == y.shape
        assert x.shape[1] == streams.batch_size
        assert (y == x + 1).all()


@lawful
@given(*SIZES)
def test_chunks_of_a_stream_are_contiguous_text(n, batch_size, seq_len):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    chunks = epoch(streams)
    x = np.concatenate([x for x, *_ in chunks])
    assert (np.diff(x.astype(int), axis=0) == 1).all()
    assert [len(x) for x, *_ in chunks[:-1]] == [seq_len] * (len(chunks) - 1)
    assert 1 <= len(chunks[-1][0]) <= seq_len


@lawful
@given(*SIZES, st.integers(0, 9))
def test_lookahead_is_the_text_after_the_targets(n, batch_size, seq_len, lookahead):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len, lookahead)
    for step, (_, y, after, _) in enumerate(epoch(streams)):
        left = streams.length - (step * seq_len + len(y))
        assert after.shape == (min(lookahead, left), streams.batch_size)
        assert (np.diff(np.concatenate([y, after]).astype(int), axis=0) == 1).all()


@lawful
@given(*SIZES)
def test_every_character_except_the_first_is_a_target_once_per_epoch(n, batch_size, seq_len):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    targets = np.concatenate([y.ravel() for _, y, *_ in epoch(streams)])
    left_over = n - 1 - targets.size
    assert sorted(targets.tolist()) == list(range(1, n - left_over))
    assert 0 <= left_over <= streams.batch_size - 1 <= batch_size - 1


@lawful
@given(*SIZES)
def test_a_text_begins_at_the_start_of_each_epoch_and_epochs_are_equal(n, batch_size, seq_len):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    first, third = epoch(streams), epoch(streams, 2)
    for chunks in (first, third):
        assert [begins[0].all() for *_, begins in chunks] == [True] + [False] * (len(chunks) - 1)
        assert not any(begins[1:].any() for *_, begins in chunks)
    for (x, y, *_), (again_x, again_y, *_) in zip(first, third, strict=True):
        assert (x == again_x).all()
        assert (y == again_y).all()


@lawful
@given(*SIZES)
def test_batch_size_is_reduced_only_for_short_texts(n, batch_size, seq_len):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    enough = math.floor((n - 1) / seq_len)
    assert streams.batch_size == min(batch_size, max(1, enough))
