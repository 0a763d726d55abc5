"""The law of units: however a text is cut, its rows sum to its total."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import ModelConfig, Space, Unit
from charlm.errors import TextError
from charlm.inference import document_scoring, parts
from charlm.inference.sampling import prompt_ids_of
from charlm.inference.text_input import not_characters
from charlm.inference.units import (
    ScoredUnits,
    Units,
    score_units,
    score_words,
    units_of,
    units_of_words,
)
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.text.config import TextConfig
from charlm.text.vocabulary import UNK, Vocabulary, code_points
from tests.helpers import lawful

LINES, TEXTS = TextConfig(lines=True), TextConfig()
DOCUMENTS = [
    *("the cat", "", "a", " \t ", "\n\n", "猫", "猫 the 灯", "the cat\r\n\r\nsat\n", "\ta  b\n"),
    "on the mat sat the bat\n" * 9,
]
LONG = "the cat sat\non the mat  with a 灯\r\n" * 9  # read in parts; see `windows`
KINDS: dict[str, Callable[[], LanguageModel]] = {
    "text": lambda: model_of("lstm", TEXTS),
    "text, no newline": lambda: model_of("gru", TEXTS, without="\r\n"),
    "text, both sides": lambda: model_of("lstm", TEXTS, bidirectional=True),
    "text, <unk>": lambda: model_of("gru", TEXTS, has_unk=True),
    "text, converted": lambda: model_of("rnn", TextConfig(newlines="lf", normalize="NFD")),
    "lines": lambda: model_of("lstm", LINES),
    "lines, both sides": lambda: model_of("gru", LINES, bidirectional=True),
    "lines, <unk>": lambda: model_of("lstm", LINES, has_unk=True),
}
kinds = pytest.mark.parametrize("kind", KINDS)
bys = pytest.mark.parametrize("by", get_args(Unit))
spaces = pytest.mark.parametrize("space", get_args(Space))
texts = st.text(st.sampled_from("ab猫  \t\n\r\x1c\u3000\u200b"))


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    """Short windows and parts, so that short texts have several, some of them read again."""
    for module in (document_scoring, parts):
        monkeypatch.setattr(module, "FORWARD_STEPS", 16)
    monkeypatch.setattr(document_scoring, "LONG", 64)
    monkeypatch.setattr(parts, "WARM_UP", 16)


def model_of(
    cell: str, config: TextConfig, *, without: str = "", has_unk: bool = False, **options
) -> LanguageModel:
    known = set("abcehimnostw \t\r\n") - set(without) | set(UNK * has_unk)
    vocabulary = Vocabulary(np.unique(code_points("".join(known))), has_unk=has_unk)
    options = ModelConfig(cell, 8, **options)
    network = CharLM(options, len(vocabulary), reads_documents=config.has_documents)
    p = network.init_params(np.random.default_rng(0), np.float64)
    p.flat[:] += np.random.default_rng(1).normal(scale=0.3, size=p.flat.size)
    return LanguageModel(options, vocabulary, Params(p.shapes, flat=p.flat), text_config=config)


def pieces(text: str, units: Units) -> list[str]:
    edges = zip(units.starts.tolist(), units.stops.tolist(), strict=True)
    return [text[start:stop] for start, stop in edges]


@lawful
@given(texts, st.booleans())
def test_units_are_all_of_a_text(text, has_end):
    for by in get_args(Unit):
        for space in get_args(Space):
            assert "".join(pieces(text, units_of(text, by, space, has_end=has_end))) == text
    assert pieces(text, units_of(text, "character")) == list(text)
    assert pieces(text, units_of(text, "character", has_end=True)) == [*text, ""]
    assert pieces(text, units_of(text, "document")) == [text]
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")
    assert pieces(text, units_of(text, "line")) == (lines if lines[-1] else lines[:-1] or [""])


@lawful
@given(texts)
def test_words_are_what_stands_between_white_space(text):
    before, after = (pieces(text, units_of(text, "word", space)) for space in get_args(Space))
    for found in (before, after):
        assert len(found) == max(1, len(text.split()))
        assert [word.strip() for word in found] == (text.split() or [""])
    assert all(word == word.rstrip() for word in before[:-1])
    assert all(word == word.lstrip() for word in after[1:])


@lawful
@given(st.lists(st.text("ab", min_size=1), min_size=1))
def test_given_words_are_those_of_the_joined_text(words):
    for space in get_args(Space):
        expected = units_of(" ".join(words), "word", space)
        np.testing.assert_array_equal(units_of_words(words, space).edges, expected.edges)


@lawful
@given(texts, st.sampled_from(get_args(Unit)), st.booleans(), st.randoms())
def test_sums_are_over_what_is_predicted(text, by, has_end, random):
    units = units_of(text, by, has_end=has_end)
    values = np.array([random.choice([1.0, 2.5, np.nan]) for _ in range(len(text) + has_end)])
    groups = np.split(values, units.edges[1:-1]) if len(units) else []
    expected = [np.nan if np.isnan(group).all() else np.nansum(group) for group in groups]
    np.testing.assert_array_equal(units.sums(values), expected)


@spaces
@bys
@kinds
def test_rows_of_documents_sum_to_their_total(kind, by, space):
    model = KINDS[kind]()
    expected = model.score(DOCUMENTS)
    found = score_units(model, DOCUMENTS, by, space)
    for n, each in enumerate(found):
        assert np.nansum(each.nats) == pytest.approx(expected.nats[n], rel=1e-12)
        assert each.unknown_characters.sum() == expected.unknown_characters[n]
        assert len(each.nats) == len(each.unknown_characters) == len(each.units) > 0
        assert each.units.edges[-1] == len(each.text) == expected.characters[n]


@pytest.mark.parametrize("text", ["the cat", "a a", "猫 the 灯  ", DOCUMENTS[-1], LONG])
@bys
@kinds
def test_rows_of_a_text_sum_to_its_total(kind, by, text):
    model = KINDS[kind]()
    are_texts = model.network.boundary is None
    (found,) = score_units(model, [text], by, are_texts=are_texts)
    total = model.score(text)
    assert total.parts > 1 or text is not LONG
    assert np.nansum(found.nats) == pytest.approx(total.nats, rel=1e-12)
    assert found.unknown_characters.sum() == total.unknown_characters
    if by == "character":
        own = found.nats if are_texts else found.nats[:-1]
        np.testing.assert_array_equal(own, model.surprisal(text))


@spaces
@kinds
def test_rows_of_words_sum_to_the_total_of_their_documents(kind, space):
    model = KINDS[kind]()
    words = [["the", "cat"], ["New\r York", "猫"], ["a"]]
    joined = [" ".join(each) for each in words]
    found = score_words(model, words, space)
    for each, total, own in zip(found, model.score(joined).nats, words, strict=True):
        assert np.nansum(each.nats) == pytest.approx(total, rel=1e-12)
        assert len(each.nats) == len(own)


@pytest.mark.parametrize(("text", "words"), [("", "empty"), ("a", "at least 2"), ("灯", "0 known")])
def test_a_text_of_which_nothing_is_predicted_is_refused(text, words):
    with pytest.raises(TextError, match=words):
        score_units(KINDS["text"](), [text], "word", are_texts=True)


def by_character(model: LanguageModel, text: str, top: int) -> ScoredUnits:
    are_texts = model.network.boundary is None
    return score_units(model, [text], "character", are_texts=are_texts, top=top)[0]


@pytest.mark.parametrize("text", ["猫 the cat\nsat", LONG])
@kinds
def test_most_probable_characters_agree_with_the_nll(kind, text):
    model = KINDS[kind]()
    scored = by_character(model, text, 1000)
    found, excluded = scored.alternatives, not_characters(model)
    ids = set(range(model.network.symbols)) - set(excluded)
    assert found.ids.shape[1] == len(ids)
    own = model.vocabulary.numbers(code_points(scored.text)).tolist()
    for row, nats in enumerate(scored.nats.tolist()):
        if np.isnan(nats):
            assert (found.ids[row] == -1).all()
            continue
        p = found.probabilities[row]
        assert set(found.ids[row].tolist()) == ids
        assert (np.diff(p) <= 0).all()
        assert p.sum() < 1 if excluded else p.sum() == pytest.approx(1, rel=1e-5)
        if row < len(own) and own[row] >= 0:
            assert p[found.ids[row] == own[row]] == pytest.approx(np.exp(-nats), rel=1e-5)


@pytest.mark.parametrize("kind", ["lines", "text", "lines, <unk>"])
def test_most_probable_characters_are_those_that_are_sampled(kind):
    model, text = KINDS[kind](), "\nthe cat sat on the mat"
    found = by_character(model, text, 3).alternatives
    p, work = model.params, Workspace(np.dtype(np.float64))
    for row in range(1, len(text)):
        rng = np.random.default_rng(0)
        # a text is sampled after a newline, with which this one begins
        prompt = text[:row] if model.network.boundary is not None else text[1:row]
        ids = prompt_ids_of(model, prompt, "skip", rng)[:]
        z, _ = model.network.next_logits(
            p, ids[:, None], model.network.zero_state(1, np.float64), work
        )
        expected = np.exp(z[0]) / np.exp(z).sum()
        expected[not_characters(model)] = 0
        np.testing.assert_array_equal(found.ids[row], np.argsort(-expected)[:3])
        np.testing.assert_allclose(found.probabilities[row], np.sort(expected)[:-4:-1], rtol=1e-6)


def test_most_probable_characters_do_not_depend_on_the_other_documents(monkeypatch):
    model = KINDS["lines"]()
    alone = [by_character(model, text, 2).alternatives for text in DOCUMENTS]
    for name, value in {"LONG": 100, "FEWEST_ROWS": 2, "MOST_ROWS": 4}.items():
        monkeypatch.setattr(document_scoring, name, value)
    monkeypatch.setattr("charlm.inference.alternatives.MOST_LOGITS", 1)
    found = score_units(model, DOCUMENTS, "character", top=2)
    for one, other in zip(alone, found, strict=True):
        np.testing.assert_array_equal(one.ids, other.alternatives.ids)
        np.testing.assert_allclose(one.probabilities, other.alternatives.probabilities, rtol=1e-6)
