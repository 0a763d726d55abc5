"""Documents in parallel streams: each once an epoch, whole, in an order that the seed decides."""

import math
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


LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=20) | st.builds(
    lambda long, short, n: [long] + [short] * n,
    st.integers(1, 80),
    st.integers(1, 3),
    st.integers(0, 20),
)
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
        assert B * (max(lengths) + 1) <= documents.targets
        x, y = read(streams, 30)
    assert x.shape == y.shape == (30 * seq_len, B)
    assert (x[0] == V).all()
    assert (y[:-1] == x[1:]).all()
    known = {tuple(range(end - n, end)) for n, end in zip(lengths, np.cumsum(lengths), strict=True)}
    for b in range(B):
        assert set(whole_documents(x[:, b])) <= known


def begun_and_finished(streams: DocumentStreams, chunks: int, lengths: list[int]) -> np.ndarray:
    """How often each document has been begun and finished after each chunk, `(chunks, 2, n)`."""
    _, y = read(streams, chunks)
    ends = np.cumsum(lengths)
    # the first id of a document is a target when it is begun, and its end the target after its last
    last = np.concatenate([np.full((1, y.shape[1]), V), y[:-1]])
    events = [
        [y == end - n, (last == end - 1) & (y == V)] for n, end in zip(lengths, ends, strict=True)
    ]
    per_step = np.sum(events, axis=-1).transpose(2, 1, 0)
    return np.cumsum(per_step, axis=0)[streams.seq_len - 1 :: streams.seq_len]


@lawful
@given(*CASES)
def test_every_document_is_read_once_an_epoch(lengths, batch_size, seq_len, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_streams, "BLOCK", block)
        streams = DocumentStreams(documents_of(lengths), batch_size, seq_len)
        chunks = math.ceil(4 * streams.chunks_per_epoch)
        counts = begun_and_finished(streams, chunks, lengths)
    B, targets = streams.batch_size, sum(lengths) + len(lengths)
    for number, (begun, finished) in enumerate(counts, start=1):
        read_ids = number * B * seq_len
        assert begun.max() - begun.min() <= 1, "one after the other, each once"
        assert begun.min() >= read_ids // targets, "none is left out"
        assert begun.max() <= math.ceil(read_ids / targets) + 1, "none is begun two epochs early"
        in_flight = begun - finished
        assert in_flight.min() >= 0
        assert in_flight.sum() <= B
        unfinished = begun @ (np.array(lengths) + 1) - read_ids
        assert 0 <= unfinished <= B * max(lengths)


def test_streams_keep_at_most_an_epoch_and_a_block():
    """The others do not read epoch after epoch while one reads a long document."""
    lengths = [2_000] + [10] * 63
    streams = DocumentStreams(documents_of(lengths), 32, 8)
    for number in range(600):
        streams.chunk(number)
        assert sum(map(len, streams._ids)) <= 2 * streams.documents.targets


@pytest.mark.parametrize(
    ("lengths", "streams"),
    [
        ([6] * 30_000, 32),  # names
        ([12] * 500, 32),  # domains
        ([2, 30, 5, 9] * 20, 32),
        ([50 + 2950 * (n % 50) // 49 for n in range(200)], 32),  # tunes
        ([2_000_000] + [10] * 63, 1),
        ([20_000] + [10] * 20_000, 11),
    ],
)
def test_only_a_document_of_a_large_part_of_the_corpus_reduces_the_batch(lengths, streams):
    documents = Texts.of(np.zeros(sum(lengths), np.uint8), np.cumsum(lengths), 1)
    assert DocumentStreams(documents, 32, 16).batch_size == streams


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
    assert DocumentStreams(documents_of([7, 7, 7]), 32, 4).batch_size == 3
    assert DocumentStreams(documents_of([1, 1, 500]), 32, 4).batch_size == 1
    assert DocumentStreams(documents_of([1] * 40), 32, 64).batch_size == 1
    streams = DocumentStreams(documents_of([500, *[1] * 251]), 2, 10)
    x, _ = read(streams, 101)
    assert streams.batch_size == 2
    assert any(tuple(range(500)) in whole_documents(x[:, b]) for b in range(2))
