"""Encoding in pieces equals encoding at once: ids, type, counts and hash."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.documents import Part
from charlm.text.encoder import Encoded, encode, encode_text
from charlm.text.vocabulary import ids_type
from tests.helpers import lawful
from tests.texts import CHARACTERS, TEXTS, cut, distinct, new_bytes, text_of

POSITIONS = st.lists(st.integers(0, 10_000), max_size=8)


def parts(pieces: Iterable[str]) -> Iterator[Part]:
    """The pieces of one text."""
    return (Part(piece, []) for piece in pieces)


def check_encoded(encoded: Encoded, text: str) -> None:
    """Check all attributes of an encoded text."""
    assert text_of(encoded) == text
    assert len(encoded.ids) == len(text)
    assert encoded.ids.dtype == ids_type(max(1, len(set(text))))
    points, counts = encoded.points.tolist(), encoded.counts.tolist()
    assert points == [ord(character) for character in dict.fromkeys(text)]  # as they first occur
    assert dict(zip(map(chr, points), counts, strict=True)) == Counter(text)
    assert encoded.ends.tolist() == [len(text)] * bool(text)
    assert encoded.sha256 == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@lawful
@given(st.one_of(TEXTS, st.text("abc \n", min_size=1), st.text("aé灯")), POSITIONS)
def test_encoding_in_pieces_equals_encoding_at_once(text, positions):
    check_encoded(encode(parts(cut(text, positions)), new_bytes), text)
    if text:
        check_encoded(encode_text(text), text)


@lawful
@given(
    st.sampled_from([255, 256, 257, 600]),
    st.text(CHARACTERS, max_size=20),
    POSITIONS,
    st.randoms(use_true_random=False),
)
def test_ids_become_wider_at_any_position(count, more, positions, random):
    text = [*distinct(count), *more, *"abc" * 20]
    random.shuffle(text)
    text = "".join(text)
    check_encoded(encode(parts(cut(text, positions)), new_bytes), text)


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (255, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)]
)
@pytest.mark.parametrize("piece", [200, 256, 1 << 20])
def test_ids_have_the_smallest_type(count, size, piece):
    text = distinct(count) + "ab\n" + distinct(count)[::-1]
    encoded = encode(parts(text[i : i + piece] for i in range(0, len(text), piece)), new_bytes)
    assert encoded.ids.dtype.itemsize == size
    if count <= 257 or piece > 256:  # otherwise it is slow
        check_encoded(encoded, text)


def test_widening_a_long_text_loses_nothing(monkeypatch):
    monkeypatch.setattr("charlm.text.encoder.COPIED", 7)
    monkeypatch.setattr("charlm.text.encoder.COUNTED", 5)
    monkeypatch.setattr("charlm.text.id_sequences.BLOCK", 16)
    text = "a long text, of few characters at first" * 3 + distinct(300)
    check_encoded(encode(parts([text[:100], text[100:]]), new_bytes), text)


def test_new_file_is_called_only_when_ids_become_wider():
    files = []

    def new():
        files.append(new_bytes())
        return files[-1]

    encode(parts(["abc", distinct(256), distinct(257), "abc", distinct(300)]), new)
    assert len(files) == 2


def test_empty_text_has_no_ids():
    encoded = encode([], new_bytes)
    check_encoded(encoded, "")
    assert encoded.ids[:].dtype == np.uint8


def test_hashes_of_similar_texts_differ():
    texts = ["a", "b", "ab", "a\n", "a\r\n", "\0", "?", "\ufffd", "\ud800", "\udc00", "\ufeff"]
    assert len({encode_text(text).sha256 for text in texts}) == len(texts)


def test_ends_of_texts_are_kept_and_hashed():
    texts = [Part("ab", []), Part("c", [1]), Part("", [0]), Part("灯de", [1, 1, 3])]
    encoded = encode(texts, new_bytes)
    assert text_of(encoded) == "abc灯de"
    assert encoded.ends.tolist() == [3, 3, 4, 4, 6]
    others = ([Part("abc灯de", ends)] for ends in ([], [3], [3, 4], [3, 3, 4, 4, 6]))
    hashes = [encode(other, new_bytes).sha256 for other in others]
    assert len(set(hashes)) == 4
    assert hashes[-1] == encoded.sha256
    assert hashes[0] == encode_text("abc灯de").sha256
