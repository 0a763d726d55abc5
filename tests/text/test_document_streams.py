"""Documents in parallel streams: each once an epoch, whole, in an order that the seed decides."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text import document_streams
from charlm.text.document_streams import DocumentStreams
from charlm.text.splits import Texts
from tests.helpers import lawful

V = 1000  # the boundary


def documents_of(lengths: list[int]) -> Texts:
    """Documents of ids that are all different."""
    ids = np.arange(sum(lengths), dtype=np.uint16)
    return Texts.of(ids, np.cumsum(lengths), V)


def read(streams: DocumentStreams, chunks: int) -> tuple[np.ndarray, np.ndarray]:
    """The inputs and targets of chunks, one after the other, `(T·chunks, B)` each."""
    parts = [streams.chunk(number) for number in range(chunks)]
    return tuple(np.concatenate(ids) for ids in list(zip(*parts, strict=True))[:2])


def whole_documents(x: np.ndarray) -> list[tuple[int, ...]]:
    """The documents that begin and end in a stream."""
    cuts = np.flatnonzero(x == V)
    return [tuple(part[1:].tolist()) for part in np.split(x, cuts)[1:-1]]


LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=20)
CASES = (LENGTHS, st.integers(1, 6), st.integers(1, 9), st.integers(1, 40))


@lawful
@given(*CASES)
def test_streams_are_documents_between_boundaries(lengths, batch_size, seq_len, block):
    documents = documents_of(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_streams, "BLOCK", block)
        streams = DocumentStreams(documents, batch_size, seq_len, 0, 3)
        B = streams.batch_size
        assert 1 <= B <= min(batch_size, len(lengths))
        x, y = read(streams, 30)
    assert x.shape == y.shape == (30 * seq_len, B)
    assert (x[0] == V).all()
    assert (y[:-1] == x[1:]).all()
    known = {tuple(range(end - n, end)) for n, end in zip(lengths, np.cumsum(lengths), strict=True)}
    for b in range(B):
        assert set(whole_documents(x[:, b])) <= known


@lawful
@given(*CASES)
def test_every_document_is_read_once_an_epoch(lengths, batch_size, seq_len, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_streams, "BLOCK", block)
        streams = DocumentStreams(documents_of(lengths), batch_size, seq_len)
        epochs = 3
        chunks = int(np.ceil(epochs * streams.chunks_per_epoch)) + 2 * max(lengths) // seq_len + 2
        x, _ = read(streams, chunks)
    counts = Counter(d for b in range(x.shape[1]) for d in whole_documents(x[:, b]))
    most = max(counts.values())
    assert most >= epochs
    # a document can wait for the end of the longest one in another stream
    slack = 2 + streams.batch_size * max(lengths) // min(lengths)
    assert len(counts) == len(lengths)
    assert most - min(counts.values()) <= slack


@lawful
@given(*CASES, st.integers(0, 8))
def test_chunks_can_be_read_again_and_from_any_on(lengths, batch_size, seq_len, block, number):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_streams, "BLOCK", block)
        streams, other = (
            DocumentStreams(documents_of(lengths), batch_size, seq_len, 2) for _ in range(2)
        )
        chunks = [streams.chunk(k) for k in range(10)]
        for again in (other, streams):
            for one, expected in zip(again.chunk(number)[:3], chunks[number][:3], strict=True):
                np.testing.assert_array_equal(one, expected)
    for before, after in pairwise(chunks):
        np.testing.assert_array_equal(before.after[0], after.y[0])


@lawful
@given(*CASES)
def test_ranks_read_their_own_columns(lengths, batch_size, seq_len, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_streams, "BLOCK", block)
        whole = DocumentStreams(documents_of(lengths), batch_size, seq_len)
        part = DocumentStreams(documents_of(lengths), batch_size, seq_len)
        half = slice(whole.batch_size // 2, whole.batch_size)
        part.keep(half)
        nothing = DocumentStreams(documents_of(lengths), batch_size, seq_len)
        nothing.keep(slice(0))
        for number in range(6):
            chunk = whole.chunk(number)
            np.testing.assert_array_equal(part.chunk(number).x, chunk.x[:, half])
            assert nothing.chunk(number).x.shape == (seq_len, 0)


def test_order_depends_on_the_seed_and_the_epoch():
    documents = documents_of([3] * 50)
    one, other = (DocumentStreams(documents, 1, 200, 0, seed) for seed in (0, 1))
    first, second = read(one, 2)[0][:, 0].reshape(2, 200)
    assert sorted(first) == sorted(second)
    assert first.tolist() != second.tolist()
    assert first.tolist() != read(other, 1)[0][:, 0].tolist()


def test_fewer_documents_than_streams_and_one_longer_than_a_stream():
    assert DocumentStreams(documents_of([500]), 32, 4).batch_size == 1
    assert DocumentStreams(documents_of([1, 1, 500]), 32, 4).batch_size == 3
    assert DocumentStreams(documents_of([1] * 40), 32, 64).batch_size == 1
    x, _ = read(DocumentStreams(documents_of([500, 1, 1]), 2, 10), 60)
    long = next(b for b in range(2) if (x[:300, b] == V).sum() < 60)
    assert tuple(range(500)) in whole_documents(x[:, long])
