"""From files to ids: no character is lost, none is made up, and errors say where."""

import hashlib
import io
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.corpus import Corpus
from charlm.errors import TextError
from charlm.reading import read_text
from charlm.streams import Streams
from charlm.vocabulary import Vocabulary, characters_of, listed
from tests.helpers import lawful

# Any character: those of the astral planes, NUL, and surrogates that stand alone.
CHARACTERS = st.one_of(
    st.characters(),
    st.characters(categories=["Cs"]),
    st.sampled_from("\0\t\n\r\ufeff\ud800\udfff\uffff\U0001f600\U0010ffff"),
)
TEXTS = st.text(CHARACTERS, min_size=1)


def distinct(count: int) -> str:
    return "".join(map(chr, range(count)))


@lawful
@given(TEXTS)
def test_text_comes_back_from_its_ids(text):
    vocabulary = Vocabulary.of(text)
    ids, unknown = vocabulary.encode(text)
    assert unknown == ""
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text


@lawful
@given(TEXTS)
def test_vocabulary_is_every_character_once_in_the_order_of_code_points(text):
    vocabulary = Vocabulary.of(text)
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert len(vocabulary) == len(set(text))
    assert vocabulary.points.tolist() == [ord(c) for c in vocabulary.characters]
    assert (np.diff(vocabulary.points.astype(np.int64)) > 0).all()
    assert vocabulary.encode(vocabulary.characters)[0].tolist() == list(range(len(vocabulary)))


@lawful
@given(TEXTS, st.text(CHARACTERS))
def test_unknown_characters_are_told_apart_in_order_and_as_often_as_they_occur(known, text):
    vocabulary = Vocabulary.of(known)
    text += known[::2]
    ids, unknown = vocabulary.encode(text)
    assert vocabulary.decode(ids) == "".join(c for c in text if c in known)
    assert unknown == "".join(c for c in text if c not in known)


@pytest.mark.parametrize(
    ("count", "dtype"),
    [
        (1, np.uint8),
        (2, np.uint8),
        (256, np.uint8),
        (257, np.uint16),
        (65536, np.uint16),
        (65537, np.uint32),
    ],
)
def test_ids_are_of_the_smallest_type_that_holds_them(count, dtype):
    vocabulary = Vocabulary.of(distinct(count))
    for text in (distinct(count)[-3:], "", "\U0010ffff"):
        assert vocabulary.encode(text)[0].dtype == dtype
    assert vocabulary.encode(distinct(count)[-1])[0].tolist() == [count - 1]


def test_empty_text_has_no_vocabulary():
    with pytest.raises(TextError, match="empty"):
        Vocabulary.of("")


def test_listed_names_what_cannot_be_shown():
    assert listed("bab") == "'a', 'b'"
    assert listed("\n\0") == "U+0000, '\\n'"
    assert listed(distinct(12), most=2) == "U+0000, U+0001 and 10 more"


def refusal(path, encoding: str = "utf-8") -> str:
    with pytest.raises(TextError) as info:
        read_text(path, encoding)
    message = str(info.value)
    assert len(message.splitlines()) == 1
    return message


def test_newlines_and_all_else_are_read_as_they_are(tmp_path):
    path = tmp_path / "text.txt"
    text = "one\r\ntwo\rthree\n\0\ufeff\U0001f600"
    path.write_bytes(text.encode())
    assert read_text(path) == read_text(str(path)) == text
    path.write_bytes(b"")
    assert read_text(path) == ""
    path.write_bytes("é".encode("latin-1"))
    assert read_text(path, "latin-1") == "é"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8", "utf_8", "U8"])
def test_byte_order_mark_of_utf8_is_dropped_once(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeff\ufeffab".encode())
    assert read_text(path, encoding) == "\ufeffab"


def test_standard_input_is_read_as_bytes(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\ufeffé\r\n".encode())))
    assert read_text("-") == "é\r\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xff")))
    assert refusal("-").startswith("standard input is not utf-8")


def test_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / "missing.txt"
    assert str(missing) in refusal(missing)
    assert str(tmp_path) in refusal(tmp_path)
    inside = tmp_path / "file" / "text.txt"
    inside.parent.write_text("")
    assert str(inside) in refusal(inside)


NEWLINE = b"\n"


def bad_byte(data: bytes) -> int | None:
    """The place of the first byte that is not UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


@lawful
@given(st.binary(max_size=40), st.sampled_from([b"", "\ufeff".encode()]))
def test_bad_utf8_is_refused_with_the_byte_and_the_line(tmp_path_factory, data, mark):
    path = tmp_path_factory.getbasetemp() / "bad.txt"
    good = "é\n".join("abc").encode()
    data = mark + good + data
    path.write_bytes(data)
    bad = bad_byte(data)
    if bad is None:
        assert read_text(path) == data.decode("utf-8-sig")
        return
    message = refusal(path)
    assert str(path) in message
    assert f"at byte {bad}, line {data[:bad].count(NEWLINE) + 1};" in message
    assert "--encoding" in message


@pytest.mark.parametrize("encoding", ["klingon", "", "hex", "rot13"])
def test_encoding_that_is_none_is_named(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(b"ab")
    assert repr(encoding) in refusal(path, encoding)


def test_corpus_is_its_files_one_after_the_other(tmp_path):
    first, second = tmp_path / "first one.txt", tmp_path / "second.txt"
    first.write_bytes("\ufeffone\r\n".encode())
    second.write_bytes("\ufeffzwölf".encode())
    corpus = Corpus.read([first, str(second)])
    assert characters_of(corpus.encoded.points[corpus.encoded.ids[:]]) == "one\r\nzwölf"
    assert corpus.sources == (str(first), str(second))
    assert corpus.encoded.sha256 == hashlib.sha256("one\r\nzwölf".encode()).hexdigest()
    assert corpus.name == "first-one"
    with pytest.raises(TextError, match="missing"):
        Corpus.read([first, tmp_path / "missing"])


def test_hash_tells_texts_apart():
    texts = ["a", "b", "ab", "a\n", "a\r\n", "\0", "?", "\ufffd", "\ud800", "\udc00", "\ufeff"]
    assert len({Corpus.of(text).encoded.sha256 for text in texts}) == len(texts)


@lawful
@given(st.text(CHARACTERS, min_size=1, max_size=300), st.floats(0.001, 0.999))
def test_split_holds_out_the_last_part_or_refuses(text, fraction):
    corpus = Corpus.of(text)
    vocabulary = Vocabulary.of(text)
    if min(fraction, 1 - fraction) * len(text) <= 1.5:
        with pytest.raises(TextError, match=f"the corpus has {len(text):,} characters"):
            corpus.split(vocabulary, fraction)
        return
    train, held_out = corpus.split(vocabulary, fraction)
    assert min(len(train), len(held_out)) >= 2
    assert vocabulary.decode(np.concatenate([train[:], held_out[:]])) == text
    assert abs(len(held_out) - fraction * len(text)) <= 0.5


@pytest.mark.parametrize("text", ["a", "ab", "abc", "ab" * 7])
def test_text_that_is_too_short_to_split_is_refused(text):
    with pytest.raises(TextError, match=f"the corpus has {len(text)} characters"):
        Corpus.of(text).split(Vocabulary.of(text), 0.1)


SIZES = (st.integers(2, 150), st.integers(1, 12), st.integers(1, 20))


def epoch(streams: Streams, number: int = 0):
    steps = range(number * streams.chunks_per_epoch, (number + 1) * streams.chunks_per_epoch)
    return [streams.chunk(step) for step in steps]


@lawful
@given(*SIZES)
def test_targets_are_the_inputs_one_character_on(n, batch_size, seq_len):
    # the ids tell the places of the text
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
def test_what_comes_after_a_chunk_is_the_text_after_its_targets(n, batch_size, seq_len, lookahead):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len, lookahead)
    for step, (_, y, after, _) in enumerate(epoch(streams)):
        left = streams.length - (step * seq_len + len(y))
        assert after.shape == (min(lookahead, left), streams.batch_size)
        assert (np.diff(np.concatenate([y, after]).astype(int), axis=0) == 1).all()


@lawful
@given(*SIZES)
def test_every_character_but_the_first_is_a_target_once_an_epoch(n, batch_size, seq_len):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    targets = np.concatenate([y.ravel() for _, y, *_ in epoch(streams)])
    left_over = n - 1 - targets.size
    assert sorted(targets.tolist()) == list(range(1, n - left_over))
    assert 0 <= left_over <= streams.batch_size - 1 <= batch_size - 1


@lawful
@given(*SIZES)
def test_an_epoch_starts_where_fresh_says_and_is_like_the_first(n, batch_size, seq_len):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    first, third = epoch(streams), epoch(streams, 2)
    for chunks in (first, third):
        assert [fresh for *_, fresh in chunks] == [True] + [False] * (len(chunks) - 1)
    for (x, y, *_), (again_x, again_y, *_) in zip(first, third, strict=True):
        assert (x == again_x).all()
        assert (y == again_y).all()


@lawful
@given(*SIZES)
def test_batch_shrinks_only_where_the_text_has_not_a_chunk_for_each(n, batch_size, seq_len):
    streams = Streams(np.arange(n, dtype=np.uint8), batch_size, seq_len)
    enough = math.floor((n - 1) / seq_len)
    assert streams.batch_size == min(batch_size, max(1, enough))
