"""Sampled documents follow the model's distribution, and each depends on its number only."""

from collections import Counter
from itertools import islice, product

import numpy as np
import pytest

from charlm.config import ModelConfig, SampleConfig
from charlm.errors import ConfigError, ModelError, TextError
from charlm.inference import document_sampling
from charlm.inference.document_sampling import generators
from charlm.language_model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.model import CharLM
from charlm.text.config import TextConfig
from charlm.text.vocabulary import Vocabulary, code_points

LINES = TextConfig(lines=True)
cells = pytest.mark.parametrize("cell", CELLS)


def model_of(
    cell: str = "gru", characters: str = "abc", config: TextConfig = LINES, *, unk: bool = False
) -> LanguageModel:
    vocabulary = Vocabulary(code_points(characters), has_unk=unk)
    options = ModelConfig(cell, 6)
    network = CharLM(options, len(vocabulary), reads_documents=config.has_documents)
    p = network.init_params(np.random.default_rng(0), np.float64)
    p.flat[:] += np.random.default_rng(1).normal(scale=0.4, size=p.flat.size)
    return LanguageModel(options, vocabulary, p, text_config=config)


def texts(model: LanguageModel, count: int, prompt: str = "", seed: int = 3, **options) -> list:
    rng = np.random.default_rng(seed)
    return [each.text for each in model.sample_documents(count, prompt, rng=rng, **options)]


@pytest.mark.parametrize("streams", [3, 256])
def test_frequencies_of_documents_and_lengths_are_the_probabilities(streams, monkeypatch):
    """Exact, by enumeration. Short documents must not be more frequent because they end first."""
    monkeypatch.setattr(document_sampling, "STREAMS", streams)
    model, count, longest = model_of(), 5000, 4
    all_short = ["".join(each) for n in range(longest + 1) for each in product("abc", repeat=n)]
    p = np.exp(-model.score(all_short).nats)
    drawn = texts(model, count)
    frequencies = Counter(drawn)
    by_length = Counter(map(len, drawn))
    expected = dict(zip(all_short, p.tolist(), strict=True))
    of_lengths = {n: sum(expected[t] for t in all_short if len(t) == n) for n in range(longest + 1)}
    assert 0.3 < sum(of_lengths.values()) < 0.9, "there are long documents too"
    for found, wanted in ((frequencies, expected), (by_length, of_lengths)):
        for each, probability in wanted.items():
            error = np.sqrt(probability * (1 - probability) / count)
            assert abs(found[each] / count - probability) < 4.5 * error + 1 / count, each


@cells
def test_documents_do_not_depend_on_count_streams_or_rounds(cell, monkeypatch):
    model = model_of(cell)
    many = texts(model, 60)
    assert len(set(map(len, many))) > 3
    assert texts(model, 7) == many[:7]
    assert texts(model, 60, seed=4) != many
    for streams, in_round in ((1, 16), (4, 2), (7, 1), (60, 16)):
        monkeypatch.setattr(document_sampling, "STREAMS", streams)
        monkeypatch.setattr(document_sampling, "ROUND", in_round)
        assert texts(model, 60) == many


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.3},
        {"temperature": 0},
        {"top_k": 2},
        {"top_p": 0.6},
        {"stop": "ab"},
        {"stop": ("c", "ab")},
        {"length": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("prompt", ["", "ca"])
def test_a_document_is_the_text_that_its_generator_samples(prompt, options):
    model, options = model_of(), {"length": 40} | options
    rng = np.random.default_rng(3)
    expected = [
        prompt + "".join(model.sample(prompt, rng=own, **options))
        for own in islice(generators(rng), 25)
    ]
    assert texts(model, 25, prompt, **options) == expected
    assert texts(model, 25, iter(prompt), **options) == expected


def test_a_document_that_is_cut_off_is_marked():
    model = model_of()
    whole = list(model.sample_documents(80, rng=np.random.default_rng(3)))
    part = list(model.sample_documents(80, length=3, rng=np.random.default_rng(3)))
    assert all(document.ended for document in whole)
    assert {document.ended for document in part} == {True, False}
    for one, other in zip(whole, part, strict=True):
        assert other.text == one.text[:3]
        assert other.ended == (len(one.text) < 3)
    nothing = list(model.sample_documents(2, "ab", length=0))
    assert [(each.text, each.ended) for each in nothing] == [("ab", False)] * 2
    stopped = list(model.sample_documents(40, stop="a", rng=np.random.default_rng(3)))
    assert all(document.ended for document in stopped)
    assert {document.text.find("a") for document in stopped} > {-1, 0}


def test_distinct_and_unknown_documents_are_those_of_the_others():
    model, known = model_of(), ("", "a", "b", "cc")
    every = texts(model, 400)
    distinct = list(dict.fromkeys(every))
    assert texts(model, 40, unique=True) == distinct[:40]
    assert texts(model, 40, known=set(known)) == [t for t in every if t not in known][:40]
    assert "" in every
    assert "" not in texts(model, 40, known=["a"]), "no corpus has it, but it is not new"
    both = [text for text in distinct if text not in known]
    assert texts(model, 40, unique=True, known=list(known)) == both[:40]


def test_the_search_for_documents_ends(monkeypatch):
    monkeypatch.setattr(document_sampling, "PATIENCE", 50)
    model = model_of()
    (only,) = texts(model, 5, temperature=0, unique=True)
    assert texts(model, 5, temperature=0, known=[only]) == []
    short = texts(model, 50, length=1, unique=True)
    assert sorted(short) == ["", "a", "b", "c"]
    assert texts(model, 3, "b", length=0, unique=True) == ["b"]


def test_unknown_characters_of_a_prompt():
    model = model_of()
    with pytest.raises(TextError, match="the prompt has characters that are not"):
        model.sample_documents(3, "aX")
    assert texts(model, 9, "XaX", unknown="skip") == texts(model, 9, "a")
    with_token = model_of(characters="abc\ufffd", unk=True)
    drawn = texts(with_token, 60, "aX")
    assert all(text.startswith("aX") for text in drawn), "as it was given"
    assert "\ufffd" not in "".join(drawn)


def test_prompt_is_read_in_parts(monkeypatch):
    drawn = texts(model_of(), 20, "abcab" * 9)
    monkeypatch.setattr("charlm.inference.sampling.FORWARD_STEPS", 7)
    assert texts(model_of(), 20, "abcab" * 9) == drawn


def test_documents_of_a_model_of_texts_are_refused_at_once():
    model = model_of(characters="\nabc", config=TextConfig())
    for call in (lambda: model.sample_documents(2), model.corpus_documents):
        with pytest.raises(ModelError, match="train it on documents, such as lines"):
            call()
    with pytest.raises(ConfigError, match=r"stop must be .* never generates 'X'"):
        model_of().sample_documents(2, stop=["a", "X"])
    with pytest.raises(TextError, match="corpus are unknown; omit `known`"):
        model_of().corpus_documents()


@pytest.mark.parametrize("stop", [("a", "b"), ("ab", "c"), ("bc", "abc", "\n"), ("bb",)])
def test_text_ends_after_the_first_of_several_stop_texts(stop):
    model = model_of(characters="\nabc", config=TextConfig())

    def text(**options) -> str:
        return "".join(model.sample("c", rng=np.random.default_rng(5), length=200, **options))

    whole = text()
    end = min(whole.find(each) + len(each) for each in stop if each in whole)
    assert text(stop=stop) == text(stop=list(stop)) == whole[:end]
    assert SampleConfig(stop=["a"]) == SampleConfig(stop="a")
    assert SampleConfig(stop=[]).stops == SampleConfig().stops == ()
