"""Characters in messages can be told apart, and the advice about unknown ones is right."""

import unicodedata

import pytest
from hypothesis import given

from charlm.config import ModelConfig
from charlm.errors import TextError
from charlm.text.characters import as_normalized, listed_characters, shown
from charlm.text.config import TextConfig
from charlm.text.text_files import converted
from tests.helpers import lawful
from tests.texts import CHARACTERS, distinct


def test_visible_characters_are_quoted():
    assert [shown(c) for c in "a '灯é가\\"] == [
        *("'a'", "' '", '"\'"', "'灯'", "'é'", "'가'"),
        "'\\\\'",
    ]
    assert [shown(c) for c in "\n\t\r"] == ["'\\n'", "'\\t'", "'\\r'"]


@pytest.mark.parametrize(
    "character",
    [
        *("\0", "\x0b", "\x1b", "\x7f", "\x85", "\x9f", "\xa0", "\xad", "\u0301", "\u034f"),
        *("\u061c", "\u0903", "\u115f", "\u1160", "\u17b4", "\u180e", "\u2003", "\u200b", "\u200d"),
        *("\u202e", "\u2028", "\u2066", "\u20dd", "\u2800", "\u3000", "\u3164", "\ue000", "\ufe0f"),
        *("\ufeff", "\uffa0", "\ufffe", "\u0378", "\U000e0041", "\U000e0100", "\U00100000"),
        "\ud800",
    ],
)
def test_other_characters_are_code_points(character):
    assert shown(character) == f"U+{ord(character):04X}"


@lawful
@given(CHARACTERS)
def test_what_is_shown_is_printable_and_says_the_character(character):
    text = shown(character)
    assert text.isprintable()
    assert (chr(int(text[2:], 16)) if text.startswith("U+") else eval(text)) == character
    assert not unicodedata.combining(text[-2])


def test_text_is_quoted_if_each_character_is_visible():
    assert shown("a\n'") == repr("a\n'")
    assert shown("e\u0301\u200b") == "'e' U+0301 U+200B"


def test_list_is_sorted_distinct_and_short():
    assert listed_characters("bab") == "'a', 'b'"
    assert listed_characters("\n\0") == "U+0000, '\\n'"
    assert listed_characters(distinct(12), most=2) == "U+0000, U+0001 and 10 more"


@pytest.mark.parametrize(
    ("unknown", "known", "expected"),
    [
        ("а", "abc", "'а' (U+0430, looks like 'a')"),
        ("a", "абв", "'a' (U+0061, looks like 'а')"),
        ("Ο", "MNO", "'Ο' (U+039F, looks like 'O')"),
        ("ａ", "abc", "'ａ' (U+FF41, looks like 'a')"),
        ("’–", "'-", "'–' (U+2013, looks like '-'), '’' (U+2019, looks like \"'\")"),
        ("\xa0", " ", "U+00A0 (looks like ' ')"),
        ("а", "bcd", "'а'"),
        ("жé", "abce", "'é', 'ж'"),
    ],
)
def test_characters_that_look_like_known_ones_have_their_code_point(unknown, known, expected):
    assert listed_characters(unknown, known) == expected


# Normalization


@pytest.mark.parametrize(
    ("unknown", "known", "form", "words"),
    [
        ("\u0301", "abé", "NFC", "the composed 'é' is known"),
        ("x\u0308", "aü", "NFC", "the composed 'ü' is known"),
        ("\u3099", "がか", "NFC", "the composed 'が' is known"),
        ("\u212b", "Å", "NFC", "'Å' is known"),
        ("é", "e\u0301", "NFD", "'e' and U+0301 are known"),
        ("ﬁ", "fi", "NFKC", "'f' and 'i' are known"),
        ("ａ", "a", "NFKC", "'a' is known"),
    ],
)
def test_normalization_that_makes_characters_known_is_named(unknown, known, form, words):
    advice = as_normalized(unknown, known)
    assert advice.startswith(words)
    assert f"`normalize='{form}'`" in advice
    text = "e" * ("é" in known) + "u" * ("ü" in known) + "か" * ("が" in known) + unknown.strip("x")
    after = "".join(converted([text], TextConfig(normalize=form)))
    assert set(after) <= set(known)


@pytest.mark.parametrize(("unknown", "known"), [("", "é"), ("x", "é"), ("é", "e"), ("\u0301", "e")])
def test_no_normalization_is_named_if_none_helps(unknown, known):
    assert as_normalized(unknown, known) == ""


def test_refused_prompt_names_the_normalization():
    import numpy as np

    from charlm.language_model import LanguageModel
    from charlm.nn.model import CharLM
    from charlm.text.vocabulary import Vocabulary

    config = ModelConfig(hidden=3)
    vocabulary = Vocabulary.of("aé\n")
    params = CharLM(config, 3).init_params(np.random.default_rng(0))
    model = LanguageModel(config, vocabulary, params)
    with pytest.raises(TextError, match=r"U\+0301; the composed 'é' is known: .*normalize='NFC'"):
        model.sample("a\u0301")
    with pytest.raises(TextError, match=r"'а' \(U\+0430, looks like 'a'\); remove them"):
        model.sample("а")
