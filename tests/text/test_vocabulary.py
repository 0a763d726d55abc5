"""Encoding and decoding lose no character and invent none."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import TextError
from charlm.text.vocabulary import UNK, Vocabulary, characters_of, code_points
from tests.helpers import lawful
from tests.texts import CHARACTERS, TEXTS, distinct


@lawful
@given(TEXTS)
def test_decode_inverts_encode(text):
    vocabulary = Vocabulary.of(text)
    ids, unknown = vocabulary.encode(text)
    assert unknown == ""
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.reads(text).all()


@lawful
@given(TEXTS)
def test_vocabulary_has_each_character_once_by_code_point(text):
    vocabulary = Vocabulary.of(text)
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert len(vocabulary) == len(set(text))
    assert vocabulary.points.tolist() == [ord(c) for c in vocabulary.characters]
    assert (np.diff(vocabulary.points.astype(np.int64)) > 0).all()
    assert vocabulary.encode(vocabulary.characters)[0].tolist() == list(range(len(vocabulary)))


@lawful
@given(TEXTS, st.text(CHARACTERS))
def test_unknown_characters_are_returned_in_order_with_repetitions(known, text):
    vocabulary = Vocabulary.of(known)
    text += known[::2]
    ids, unknown = vocabulary.encode(text)
    assert vocabulary.decode(ids) == "".join(c for c in text if c in known)
    assert unknown == "".join(c for c in text if c not in known)
    assert vocabulary.reads(text).tolist() == [c in known for c in text]


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
def test_ids_have_the_smallest_type(count, dtype):
    vocabulary = Vocabulary.of(distinct(count))
    for text in (distinct(count)[-3:], "", "\U0010ffff"):
        assert vocabulary.encode(text)[0].dtype == dtype
    assert vocabulary.encode(distinct(count)[-1])[0].tolist() == [count - 1]


def test_empty_text_has_no_vocabulary():
    with pytest.raises(TextError, match="empty"):
        Vocabulary.of("")


# The unknown token for rare characters


def frequent(text: str, min_count: int) -> Vocabulary:
    counts = Counter(text)
    points = code_points("".join(counts))
    return Vocabulary.frequent(points, np.array(list(counts.values())), min_count)


COUNTED = st.text(st.sampled_from("abcde灯\U0001f600\ufffd"), min_size=1, max_size=30)


@lawful
@given(COUNTED, st.integers(1, 6))
def test_rare_characters_become_the_unknown_token(text, min_count):
    kept = {c for c, n in Counter(text).items() if n >= min_count}
    if not kept - {UNK} and kept != set(text):
        with pytest.raises(TextError, match=f"no character occurs at least {min_count} times"):
            frequent(text, min_count)
        return
    vocabulary = frequent(text, min_count)
    has_unk = kept != set(text)
    assert set(vocabulary.characters) == kept | ({UNK} if has_unk else set())
    assert (vocabulary.unk_id is not None) == has_unk
    ids, unknown = vocabulary.encode(text)
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == "".join(c if c in kept else UNK for c in text)
    assert unknown == "".join(c for c in text if c not in vocabulary.characters)
    assert (vocabulary.table(code_points(text)) == ids).all()


def test_table_without_the_unknown_token_has_0_for_unknown_characters():
    assert Vocabulary.of("bc").table(code_points("abcd")).tolist() == [0, 0, 1, 0]


@lawful
@given(COUNTED, TEXTS)
def test_vocabulary_with_the_unknown_token_encodes_everything(text, other):
    vocabulary = frequent(text + "aab", 2)
    if vocabulary.unk_id is None:
        return
    known = set(vocabulary.characters)
    ids, unknown = vocabulary.encode(other)
    assert vocabulary.reads(other).all()
    assert vocabulary.decode(ids) == "".join(c if c in known else UNK for c in other)
    assert unknown == "".join(c for c in other if c not in known)
    assert vocabulary.numbers(code_points(other)).tolist() == [
        vocabulary.characters.find(c) for c in other
    ]


def test_replacement_character_in_the_text_is_an_ordinary_character():
    assert frequent("aab" + UNK, 1).unk_id is None
    assert frequent("aabb" + UNK * 2, 2).unk_id is None
    merged = frequent("aab" + UNK * 2, 2)
    assert merged.characters == "a" + UNK
    assert merged.unk_id == 1


@pytest.mark.parametrize("kept", [255, 256, 65535, 65536])
def test_unknown_token_counts_as_a_character(kept):
    text = distinct(kept)
    vocabulary = frequent(text * 2 + "\U0010ffff", 2)
    assert len(vocabulary) == kept + (UNK not in text)
    assert vocabulary.encode("a")[0].dtype == np.min_scalar_type(len(vocabulary) - 1)
    assert vocabulary.points.tolist() == sorted(set(map(ord, text)) | {ord(UNK)})


@lawful
@given(TEXTS)
def test_code_points_equal_ord_and_are_inverted(text):
    assert code_points(text).tolist() == [ord(c) for c in text]
    assert characters_of(code_points(text)) == text
