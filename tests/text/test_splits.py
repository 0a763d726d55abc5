"""The split: of each text the end, of documents whole ones; both together are the corpus."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlm.errors import TextError
from charlm.text import splits
from charlm.text.splits import Texts, cut_texts, draw_documents
from tests.helpers import lawful

NEWLINE = 10


FEW_NEWLINES = st.builds(
    lambda n, at: "".join("\n" if k in at else "a" for k in range(n)),
    st.integers(40, 80),
    st.sets(st.integers(0, 20), max_size=2),
)


def texts_of(*texts: str, boundary: int | None = None) -> Texts:
    ids = np.frombuffer("".join(texts).encode(), np.uint8)
    return Texts.of(ids, np.cumsum([len(text) for text in texts]), boundary)


def contents(texts: Texts) -> list[str]:
    slices = zip(texts.starts, texts.stops, strict=True)
    return [texts.ids[start:stop].tobytes().decode() for start, stop in slices]


@lawful
@given(
    st.lists(st.text("abc\n", min_size=1, max_size=60) | FEW_NEWLINES, min_size=1, max_size=9),
    st.floats(0.01, 0.99) | st.floats(0.9, 0.99),
)
def test_of_each_text_the_end_is_held_out_in_proportion(several, fraction):
    try:
        train, val = cut_texts(texts_of(*several), fraction, NEWLINE)
    except TextError:
        assert all(min(fraction, 1 - fraction) * len(text) < 2 for text in several)
        return
    held_out = dict(zip(val.stops.tolist(), contents(val), strict=True))
    ends = np.cumsum([len(text) for text in several]).tolist()
    for text, end, beginning in zip(several, ends, contents(train), strict=True):
        rest = held_out.get(end, "")
        assert beginning + rest == text
        if rest:
            assert min(len(beginning), len(rest)) >= 2
            assert abs(len(rest) - fraction * len(text)) <= 0.5 + splits.NEAR * fraction * len(text)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a" * 60 + "\n" + "a" * 39, "a" * 39),  # the newline stands before the cut
        ("a" * 59 + "\n" + "a" * 40, "a" * 40),
        ("a" * 62 + "\n" + "a" * 37, "a" * 37),
        ("a" * 30 + "\n" + "a" * 69, "a" * 40),  # too far away
        ("a" * 58 + "\n" + "aa\n" + "a" * 38, "aa\n" + "a" * 38),  # the nearer one
    ],
)
def test_cuts_stand_after_a_newline_nearby(text, rest):
    assert contents(cut_texts(texts_of(text), 0.4, NEWLINE)[1]) == [rest]
    assert contents(cut_texts(texts_of(text), 0.4, None)[1]) == ["a" * 0 + text[60:]]


@pytest.mark.parametrize(("newline", "start"), [(0, 3), (1, 2), (2, 3), (5, 6), (9, 3)])
def test_cuts_stand_within_their_text_and_leave_two_characters(newline, start):
    """With 57 of 60 held out, 5 on each side of the cut are near, more than there are."""
    line = "a" * 60
    text = line[:newline] + "\n" + line[newline + 1 :]
    train, val = cut_texts(texts_of("b" * 59 + "\n", text), 0.95, NEWLINE)
    assert contents(train) == ["bbb", text[:start]]
    assert contents(val)[1] == text[start:]


def test_a_text_too_short_to_cut_is_for_training():
    train, val = cut_texts(texts_of("ab", "c" * 40), 0.1, NEWLINE)
    assert contents(train) == ["ab", "c" * 36]
    assert contents(val) == ["cccc"]


@lawful
@given(
    st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=60),
    st.floats(0.01, 0.9),
    st.integers(0, 3),
    st.integers(1, 30),
)
def test_documents_are_whole_and_equal_ones_on_one_side(several, fraction, seed, hashed):
    assume(len(set(several)) > 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "HASHED", hashed)
        documents = texts_of(*several, boundary=256)
        train, val = draw_documents(documents, fraction, seed)
    assert sorted(contents(train) + contents(val)) == sorted(several)
    assert not set(contents(train)) & set(contents(val))
    assert contents(train) == [text for text in several if text in contents(train)]
    copies, held_out = Counter(several), set(contents(val))
    most, most_distinct = (max(1, round(fraction * n)) for n in (len(several), len(copies)))
    assert 1 <= len(held_out) <= min(most_distinct, len(copies) - 1)
    assert len(val) <= max(most, min(copies.values()))
    if len(held_out) < min(most_distinct, len(copies) - 1):
        assert len(val) + min(copies[text] for text in contents(train)) > most, "no other one fits"
    again = draw_documents(documents, fraction, seed)
    assert [contents(part) for part in again] == [contents(train), contents(val)]


@lawful
@given(st.lists(st.integers(1, 60), min_size=2, max_size=30), st.integers(0, 3))
def test_a_frequent_document_is_for_training(copies, seed):
    """By default, one with more copies than a tenth of all documents, unless all have."""
    several = [f"{number}" for number, n in enumerate(copies) for _ in range(n)]
    train, val = draw_documents(texts_of(*several, boundary=256), None, seed)
    tenth = max(1, round(0.1 * len(several)))
    frequent = {f"{number}" for number, n in enumerate(copies) if n > tenth}
    if len(frequent) < len(copies):
        assert frequent <= set(contents(train))
    else:
        assert len(val) == min(copies)


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize(("copies", "distinct", "held_out"), [(900, 100, 10), (9, 1, 1), (0, 9, 1)])
def test_neither_side_consists_of_copies(copies, distinct, held_out, seed):
    several = ["GET /health"] * copies + [f"GET /{number}" for number in range(distinct)]
    train, val = draw_documents(texts_of(*several, boundary=256), None, seed)
    assert len(set(contents(val)) - {"GET /health"}) == len(val) == held_out
    assert ("GET /health" in contents(train)) == bool(copies)


def test_documents_held_out_are_not_the_last_ones():
    several = [f"{number:04}" for number in range(1000)]
    _, val = draw_documents(texts_of(*several, boundary=256), None, 0)
    drawn = [int(text) for text in contents(val)]
    assert len(drawn) == 100
    assert 400 < np.mean(drawn) < 600
    assert drawn != sorted(drawn), "the first ones, which training evaluates, are a sample too"


def test_equal_documents_cannot_be_split():
    with pytest.raises(TextError, match="the corpus has 1 distinct document;"):
        draw_documents(texts_of("ab", "ab", "ab", boundary=256), None, 0)


def test_default_fraction_is_limited_in_characters(monkeypatch):
    monkeypatch.setattr(splits, "MOST_HELD_OUT", 50)
    _, val = draw_documents(texts_of(*(f"{n:05}" for n in range(200)), boundary=256), None, 0)
    assert len(val) == 10
    _, val = cut_texts(texts_of("a" * 600, "b" * 400), None, NEWLINE)
    assert contents(val) == ["a" * 30, "b" * 20]


def test_sequences_of_documents_have_boundaries():
    documents = texts_of("abc", "d", boundary=256)
    assert [ids.tolist() for ids in documents.sequences()] == [
        [256, 97, 98, 99, 256],
        [256, 100, 256],
    ]
    assert (documents.targets, texts_of("abc", "de").targets) == (6, 3)


def test_pieces_are_spread_over_all_of_a_text_in_proportion():
    texts = texts_of("a" * 50 + "b" * 50, "c" * 10, "de")
    assert contents(texts.spread(56, 25)) == ["a" * 25, "b" * 25, "c" * 5, "de"]
    assert contents(texts_of("a" * 9).spread(50_000, 1000)) == ["a" * 9]


@lawful
@given(
    st.lists(st.integers(2, 300), min_size=1, max_size=9),
    st.integers(1, 400),
    st.integers(1, 50),
)
def test_pieces_of_a_text_are_fair(lengths, characters, piece):
    ends = np.cumsum(lengths)
    texts = Texts.of(np.zeros(ends[-1], np.uint8), ends)
    pieces = texts.spread(characters, piece)
    assert (pieces.starts[1:] >= pieces.stops[:-1]).all()  # they do not overlap
    assert pieces.lengths.min() >= 1
    owner = np.searchsorted(ends, pieces.starts, side="right")
    assert (owner == np.searchsorted(ends, pieces.stops - 1, side="right")).all()
    for k, n in enumerate(lengths):
        mine = pieces.some(owner == k)
        share = n * characters / sum(lengths)
        assert min(n, share) - len(mine) < mine.characters < max(2, share + 1) + 1e-6
        gaps = np.diff([texts.starts[k], *mine.starts.tolist(), texts.stops[k]])
        assert gaps.max() - gaps[1:-1].min(initial=n) <= n / len(mine) + 2
