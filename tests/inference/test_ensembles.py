"""The mean of several models is a distribution, and its NLL is that of the mean probabilities."""

import numpy as np
import pytest

from charlm.errors import ConfigError, ModelError
from charlm.inference.blocks import Blocks
from charlm.inference.ensembles import mean_surprisals, score_mean
from charlm.language_model import LanguageModel
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.vocabulary import Vocabulary
from tests.helpers import small_model

TEXT = "abcab\ncab?" * 30
LINES = TextConfig(lines=True)


def model_of(
    cell: str, seed: int, characters: str = "abc\n", config: TextConfig = PLAIN_TEXT, **options
) -> LanguageModel:
    network, p = small_model(cell, len(characters) + config.has_documents, seed=seed, **options)
    return LanguageModel(network.config, Vocabulary.of(characters), p, text_config=config)


def models_of(**options) -> dict[str, LanguageModel]:
    cells = {"a.npz": "lstm", "b.npz": "gru", "c.npz": "rnn"}
    return {name: model_of(cell, n, **options) for n, (name, cell) in enumerate(cells.items())}


@pytest.mark.parametrize("options", [{}, {"streams": 3}, {"cold": 16}])
def test_nll_of_a_text_is_that_of_the_mean_probability(options, monkeypatch):
    monkeypatch.setattr("charlm.inference.blocks.BLOCK", 20)
    models, progress = models_of(), []
    result = score_mean(models, TEXT, progress=progress.append, **options)
    alone = [model.score(TEXT, **options) for model in models.values()]
    assert [each.nats for each in result.models] == pytest.approx([each.nats for each in alone])
    assert sum(progress) == 3 * result.characters
    assert (result.unknown_characters, result.length) == (30, len(TEXT))
    assert result.nats < max(each.nats for each in alone)
    if not options:
        each = [model.surprisal(TEXT) for model in models.values()]
        expected = -np.log(np.mean(np.exp(-np.array(each)), axis=0))
        expected = expected[~np.isnan(expected)]
        assert result.nats == pytest.approx(expected.sum(), rel=1e-12)
        assert result.blocks.standard_error == pytest.approx(
            Blocks.of_text(expected).standard_error, rel=1e-6
        )


def test_mean_of_one_model_twice_is_that_model():
    model = model_of("gru", 0)
    assert score_mean({"a": model, "b": model}, TEXT).nats == pytest.approx(model.score(TEXT).nats)


@pytest.mark.parametrize("config", [PLAIN_TEXT, LINES])
def test_nll_of_documents_is_that_of_the_mean_probability(config):
    characters = "abc\n" if config is PLAIN_TEXT else "abc"
    models, documents = models_of(characters=characters, config=config), ["ab", "", "cab?a"]
    result = score_mean(models, documents)
    each = [model.score(documents).surprisals for model in models.values()]
    expected = [-np.log(np.mean(np.exp(-np.array(row)), axis=0)) for row in zip(*each, strict=True)]
    assert result.nats == pytest.approx(sum(np.nansum(row) for row in expected), rel=1e-12)
    assert [m.nats for m in result.models] == pytest.approx(
        [model.score(documents).total.nats for model in models.values()]
    )
    assert (result.documents, result.characters) == (3, 9)


def test_improbable_characters_do_not_underflow():
    each = [np.array([2000.0, 1.0]), np.array([2000.0, 3000.0])]
    assert mean_surprisals(each) == pytest.approx([2000, 1 + np.log(2)])


def test_scores_of_texts_are_added_model_by_model():
    one, two = score_mean(models_of(), TEXT), score_mean(models_of(), TEXT[:99])
    for k, each in enumerate((one + two).models):
        assert each.nats == one.models[k].nats + two.models[k].nats


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (model_of("lstm", 0, "abd\n"), "their vocabularies differ"),
        (model_of("lstm", 0, "ab\n"), "their vocabularies differ"),
        (model_of("lstm", 0, config=LINES), "one of them reads documents"),
        (model_of("lstm", 0, bidirectional=True), "one of them is bidirectional"),
        (model_of("lstm", 0, config=TextConfig(newlines="lf")), "line endings"),
    ],
)
def test_models_that_are_unlike_are_refused(other, words):
    with pytest.raises(ModelError, match=f"cannot average a.npz and b.npz: .*{words}"):
        score_mean({"a.npz": model_of("lstm", 0), "b.npz": other}, TEXT)


def test_one_model_is_no_mean():
    with pytest.raises(ConfigError, match="at least two models"):
        score_mean({"a": model_of("gru", 0)}, TEXT)


def test_the_model_that_diverged_is_named():
    models = models_of()
    models["b.npz"].params.flat[:] = np.nan
    for text in (TEXT, ["ab", "c"]):
        with pytest.raises(ModelError, match=r"^b\.npz: "):
            score_mean(models, text)
