"""A text in pieces is normalized as the whole text is, in linear time."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text import normalization
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.text.normalization import normalized
from charlm.text.text_files import converted, read_text
from tests.helpers import lawful
from tests.texts import text_of

FORMS = ["NFC", "NFD", "NFKC", "NFKD"]

# Characters that combine in every way: accents of several classes and orders, jamo of Hangul, vowel
# signs that are starters, characters that decompose, also into jamo, and some that never compose.
COMBINING = st.sampled_from(
    "aeo qé가각\u1100\u1161\u11a8\u1175\u0301\u0323\u0307\u0327\u0338\u0345\u0344\u3099\u309aかハ"
    "<\u09c7\u09be\u09d7\u0dd9\u0dcf\u0dca\u1025\u102e\u1b05\u1b35\u212b\u2126ﬁ½①ﾊﾞﾟ\uffc2ｶ\u0958"
    "\u0915\u093c\U00011131\U00011127\U000114b9\U000114ba\U0001d15f\U0001d165\u0f71\u0f72\u0f73"
    "\u0fb2\u0f80\u05d0\u05bc\u200d\u034f\ufb2c\r\n灯"
)
TEXTS = st.lists(st.one_of(COMBINING, st.characters()), max_size=40).map("".join)


def in_pieces(text: str, size: int) -> list[str]:
    return [text[k : k + size] for k in range(0, len(text), size)]


@pytest.mark.parametrize("form", FORMS)
@lawful
@given(text=TEXTS, size=st.integers(1, 7))
def test_pieces_are_normalized_as_the_whole(form, text, size):
    pieces = list(normalized(in_pieces(text, size), form))
    assert "".join(pieces) == unicodedata.normalize(form, text)
    assert all(pieces)


@pytest.mark.parametrize("form", FORMS)
def test_characters_that_continue_nothing_change_nothing_before_them(form):
    continuing = normalization._continuing(form)
    before = ["e\u0301", "\u1100", "\u1100\u1161", "가", "\u09c7", "\u0dd9", "\u1025", "か", "<"]
    for point in (*range(0x300, 0x3400, 3), *range(0x3400, 0x110000, 97)):
        c = chr(point)
        if c not in continuing and not 0xD800 <= point < 0xE000:
            whole = unicodedata.normalize(form, c.join((*before, "")))
            assert whole == "".join(
                unicodedata.normalize(form, text) for b in before for text in (b, c)
            )


def test_every_pair_that_composes_is_composed_across_pieces():
    points = (*range(0xC0, 0x3400), *range(0xF900, 0xFFFF), *range(0x11000, 0x12000))
    pairs = [unicodedata.decomposition(chr(point)).split() for point in points]
    canonical = [pair for pair in pairs if len(pair) == 2 and pair[0][0] != "<"]
    assert len(canonical) > 900
    texts = ["".join(chr(int(c, 16)) for c in pair) for pair in canonical]
    for text in (*texts, "\u1100\u1161", "\u1112\u1175", "가\u11a8", "히\u11c2"):
        for form in FORMS:
            assert "".join(normalized(text, form)) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", FORMS)
@lawful
@given(text=st.lists(COMBINING, max_size=60).map("".join), size=st.integers(1, 9))
def test_long_segments_do_not_depend_on_pieces(form, text, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.normalization.LONGEST", 4)
        whole = "".join(normalized([text], form))
        assert "".join(normalized(in_pieces(text, size), form)) == whole
        assert "".join(normalized(in_pieces(whole, size), form)) == whole  # again changes nothing
    if max(map(len, segments(text, form)), default=0) <= 4:
        assert whole == unicodedata.normalize(form, text)


def segments(text: str, form: str) -> list[str]:
    found = [""]
    for c in text:
        if c not in normalization._continuing(form):
            found.append("")
        found[-1] += c
    return found


@pytest.mark.parametrize("form", FORMS)
def test_endless_accents_take_linear_time_and_stay(form):
    endless = "e" + "\u0301\u0323" * 150_000
    started = time.process_time()
    for text in (endless, f"{endless}x"):
        for pieces in ([text], in_pieces(text, 1000)):
            assert "".join(normalized(pieces, form)) == text
    assert time.process_time() - started < 5  # by `unicodedata.normalize` about a minute


# Files


@lawful
@given(
    text=TEXTS,
    block=st.integers(1, 7),
    form=st.sampled_from(["none", *FORMS]),
    newlines=st.sampled_from(["keep", "lf"]),
)
def test_files_are_converted_as_the_whole_text(tmp_path_factory, text, block, form, newlines):
    path = tmp_path_factory.getbasetemp() / "converted.txt"
    data = text.encode("utf-8", "replace").decode().lstrip("\ufeff")
    path.write_bytes(data.encode())
    config = TextConfig(newlines=newlines, normalize=form)
    expected = data if newlines == "keep" else data.replace("\r\n", "\n").replace("\r", "\n")
    if form != "none":
        expected = unicodedata.normalize(form, expected)
    assert "".join(converted([data], config)) == expected
    assert "".join(converted([expected], config)) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.text_files.BLOCK", block)
        assert read_text(path, config) == expected


def test_files_are_normalized_separately(tmp_path):
    (tmp_path / "a.txt").write_text("e", encoding="utf-8")
    (tmp_path / "b.txt").write_text("\u0301e\u0301", encoding="utf-8")
    corpus = Corpus.read([tmp_path], TextConfig(normalize="NFC"))
    assert text_of(corpus.encoded) == "e\n\u0301é\n"
    assert text_of(Corpus.of("e\u0301", TextConfig(normalize="NFC")).encoded) == "é"
