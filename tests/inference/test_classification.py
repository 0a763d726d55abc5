"""A text goes to the model with the lowest NLL over all of its characters."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import ModelConfig
from charlm.errors import ConfigError, ModelError, TextError
from charlm.inference.classification import UNKNOWN_NATS, classify, classify_all
from charlm.inference.document_scoring import MOST_ROWS
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.vocabulary import Vocabulary
from tests.helpers import lawful, lawful_but_slow


def language_model(
    characters: str, seed: int = 0, text_config: TextConfig = PLAIN_TEXT, **config
) -> LanguageModel:
    """A small float64 model with random weights."""
    vocabulary = Vocabulary.of(characters)
    model_config = ModelConfig(**{"cell": "gru", "hidden": 4} | config)
    rng = np.random.default_rng(seed)
    are_documents = text_config.has_documents
    network = CharLM(model_config, len(vocabulary), reads_documents=are_documents)
    p = network.init_params(rng, np.float64)
    p.flat[:] += rng.normal(scale=0.5, size=p.flat.size)
    return LanguageModel(model_config, vocabulary, p, text_config=text_config)


MODELS = {
    "lower": language_model("abcd\n", seed=1),
    "mixed": language_model("abXY\n", seed=2, cell="lstm"),
    "no newline": language_model("abcdXY", seed=3),
}

OF_DOCUMENTS = {
    "lines": language_model("abcd", 4, TextConfig(lines=True)),
    "files": language_model("abc\nX", 5, TextConfig(files=True)),
    "fields": language_model("aX", 6, TextConfig(field="text")),
}

texts = st.text("abcdXY\nü猫", min_size=1, max_size=30)


def nats(text: str, model: LanguageModel) -> float:
    return classify(text, {"model": model}).nlls["model"].nats


@lawful
@given(texts)
def test_winner_is_the_model_with_the_lowest_nll_over_all_characters(text):
    result = classify(text, MODELS)
    assert list(result.nlls) == list(MODELS)
    lowest = min(each.nats for each in result.nlls.values())
    assert result.nlls[result.winner].nats == lowest
    assert {each.characters for each in result.nlls.values()} == {len(text)}


@lawful
@given(texts)
def test_order_of_the_models_does_not_matter(text):
    result = classify(text, MODELS)
    reversed_order = classify(text, dict(reversed(MODELS.items())))
    assert reversed_order.winner == result.winner
    assert reversed_order.nlls == result.nlls


def test_of_models_with_equal_nll_the_first_by_name_wins():
    model = language_model("ab\n")
    for names in ("ab", "ba"):
        assert classify("abba", dict.fromkeys(names, model)).winner == "a"


@lawful
@given(texts, st.integers(0, 30), st.integers(1, 5))
def test_each_unknown_character_costs_the_same_and_is_skipped(text, position, count):
    longer = text[:position] + "界" * count + text[position:]
    before, after = classify(text, MODELS).nlls, classify(longer, MODELS).nlls
    for name in MODELS:
        cost = after[name].nats - before[name].nats
        assert cost == pytest.approx(count * math.log(1_114_112), rel=1e-9)
        assert after[name].unknown_characters == before[name].unknown_characters + count


def test_nll_of_a_text_of_unknown_characters():
    for model in MODELS.values():
        nll = classify("猫猫", {"model": model}).nlls["model"]
        assert nll.nats == pytest.approx(2 * UNKNOWN_NATS)
        assert nll.unknown_fraction == 1
        assert nll.bits_per_char == pytest.approx(math.log2(0x110000))


@pytest.mark.parametrize("text", ["a", "abba", "ab\nXX"])
def test_the_first_character_is_scored_after_a_newline(text):
    model = MODELS["mixed"]
    assert nats(text, model) == pytest.approx(model.score("\n" + text).nats, rel=1e-12)


@pytest.mark.parametrize("text", ["ab", "aXdcba"])
def test_without_a_newline_the_first_character_is_uniform(text):
    model = MODELS["no newline"]
    expected = math.log(6) + model.score(text).nats
    assert nats(text, model) == pytest.approx(expected, rel=1e-12)
    assert nats("a", model) == pytest.approx(math.log(6))


@pytest.mark.parametrize("kind", OF_DOCUMENTS)
@pytest.mark.parametrize("text", ["a", "abba", "ab\nXX"])
def test_if_any_model_reads_documents_the_end_counts_for_all(text, kind):
    models = {**MODELS, kind: OF_DOCUMENTS[kind]}
    ended = classify_all([text], MODELS, are_documents=True)[0].nlls
    of_documents = classify(text, {kind: OF_DOCUMENTS[kind]}).nlls
    assert classify(text, models).nlls == {**ended, **of_documents}
    assert classify(text, MODELS).nlls["lower"].nats < ended["lower"].nats


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_texts_of_a_length_sum_to_one(name):
    model = MODELS[name]
    pairs = [a + b for a in model.vocabulary.characters for b in model.vocabulary.characters]
    nlls = [each.nlls[name].nats for each in classify_all(pairs, {name: model})]
    assert sum(math.exp(-n) for n in nlls) == pytest.approx(1)


@lawful_but_slow
@given(st.lists(texts, min_size=1, max_size=12))
def test_nll_of_a_text_does_not_depend_on_the_other_texts(several):
    for text, result in zip(several, classify_all(several, MODELS), strict=True):
        alone = classify(text, MODELS)
        assert result.winner == alone.winner
        for name in MODELS:
            expected = alone.nlls[name].nats
            assert result.nlls[name].nats == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("config", [{}, {"bidirectional": True}])
def test_long_texts_in_a_batch_have_the_same_nll_as_alone(config):
    model = language_model("abcd\n", **config)
    ids = np.random.default_rng(4).integers(5, size=(3, 300))
    several = [model.vocabulary.decode(each) for each in ids]
    results = classify_all(several, {"model": model})
    for text, result in zip(several, results, strict=True):
        assert result.nlls["model"].nats == pytest.approx(nats(text, model), rel=1e-12)


def test_more_texts_of_one_length_than_fit_in_a_batch():
    several = [a + b for a in "abcd" for b in "abcd"] * 40
    alone = {text: nats(text, MODELS["lower"]) for text in several}
    assert len(several) > 2 * MOST_ROWS
    results = classify_all(several, {"lower": MODELS["lower"]})
    for text, result in zip(several, results, strict=True):
        assert result.nlls["lower"].nats == pytest.approx(alone[text], rel=1e-12)


def test_progress_counts_every_scored_character():
    counts: list[int] = []
    classify_all(["abc", "cba", "abXX猫"], {"lower": MODELS["lower"]}, progress=counts.append)
    assert sum(counts) == 3 + 3 + 2


def test_nlls_of_texts_add_up():
    one, other = (classify(text, MODELS).nlls["lower"] for text in ("abX", "dd猫c"))
    total = one + other
    assert total.nats == one.nats + other.nats
    assert (total.characters, total.unknown_characters) == (7, 2)
    assert total.bits_per_char == pytest.approx(total.nats / 7 / math.log(2))


def test_bidirectional_models_are_compared_with_each_other_only():
    both = {f"{n}": language_model("abcd\n", seed=n, bidirectional=True) for n in range(2)}
    assert classify("abcd", both).winner in both
    with pytest.raises(ModelError, match=r"cannot compare bidirectional models \(1\)") as caught:
        classify("abcd", {"1": both["1"], "lower": MODELS["lower"]})
    assert "\n" not in str(caught.value)


def test_empty_text_and_missing_models_are_errors():
    with pytest.raises(TextError, match="empty"):
        classify("", MODELS)
    with pytest.raises(TextError, match="empty"):
        classify_all(["a", ""], MODELS)
    with pytest.raises(ConfigError, match="at least one model"):
        classify("a", {})


def test_errors_name_the_argument_that_was_passed():
    with pytest.raises(ConfigError, match=r"^are_documents must be True or False, got 'no'"):
        classify_all(["a"], MODELS, are_documents="no")
    with pytest.raises(ConfigError, match=r"^text must be a string"):
        classify(1, MODELS)
    with pytest.raises(ConfigError, match=r"^a text of texts must be a string"):
        classify_all([1], MODELS)
