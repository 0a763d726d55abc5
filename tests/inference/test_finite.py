"""Weights that are finite but make NaN or infinite logits: one error from every function."""

import numpy as np
import pytest

from charlm.config import CELL_NAMES, ModelConfig, SampleConfig
from charlm.errors import ModelError
from charlm.inference.classification import classify
from charlm.inference.finite import without_warnings
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.text.vocabulary import Vocabulary

TEXT = "abcab\ncab"
VOCABULARY = Vocabulary.of("abc\n")
SIGNS = {
    "positive": [1],
    "negative": [-1],
    "mixed": [1, -1, -1, 1, 1],
    "random": np.random.default_rng(3).choice([-1, 1], 999),
}


def model(signs: str, *, bidirectional: bool, cell: str = "rnn") -> LanguageModel:
    """A model with weights of 3e38 in a pattern of signs; "" for its initial weights."""
    config = ModelConfig(cell, 5, bidirectional=bidirectional)
    network = CharLM(config, len(VOCABULARY))
    p = network.init_params(np.random.default_rng(0))
    if signs:
        p.flat[:] = np.resize(SIGNS[signs], p.flat.size) * np.float32(3e38)
    return LanguageModel(config, VOCABULARY, p)


USES = {
    "score": lambda m: m.score(TEXT),
    "classify": lambda m: classify(TEXT, {"it": m}),
    "sample": lambda m: list(m.sample("ab", length=50)),
    "greedy": lambda m: list(m.sample("ab", length=50, temperature=0)),
    "cold": lambda m: list(m.sample("ab", length=50, temperature=0.3)),
    "top-k": lambda m: list(m.sample("ab", length=50, top_k=2)),
    "top-p": lambda m: list(m.sample("ab", length=50, top_p=0.5)),
    "many": lambda m: list(m.sample_streams("ab", SampleConfig(40), 40)),
    "fill": lambda m: m.fill("ab_ab__b"),
    "proofread": lambda m: list(m.proofread(TEXT * 30)),
}
OF_BOTH_SIDES = ("fill", "proofread")


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("use", USES)
def test_logits_that_are_not_finite_are_an_error(use, signs):
    forged = model(signs, bidirectional=use in OF_BOTH_SIDES)
    with pytest.raises(ModelError, match="the model produces NaN or infinite values; retrain it"):
        USES[use](forged)


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_model_of_huge_weights_generates_nothing(cell, signs):
    forged = model(signs, bidirectional=False, cell=cell)
    for use in ("sample", "greedy", "many"):
        with pytest.raises(ModelError, match="the model produces NaN or infinite values"):
            USES[use](forged)


@pytest.mark.parametrize("use", USES)
def test_a_model_with_finite_logits_is_used(use):
    USES[use](model("", bidirectional=use in OF_BOTH_SIDES))


def test_numpys_settings_of_the_caller_hold_between_items():
    def steps():
        for _ in range(3):
            yield np.float32(3e38) * np.float32(10)

    before = np.geterr()
    for value in without_warnings(steps()):
        assert np.isinf(value)
        assert np.geterr() == before
