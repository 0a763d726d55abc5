"""The boundary of documents is no character: it is in no filling, no suggestion and no text."""

import itertools

import numpy as np
import pytest

import charlm
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.text.config import TextConfig
from charlm.text.vocabulary import Vocabulary

LETTERS = "ab"
LINES = TextConfig(lines=True)


@pytest.fixture(scope="module")
def random_model() -> LanguageModel:
    """A bidirectional model of documents whose weights favor the boundary everywhere."""
    config, vocabulary = ModelConfig("gru", 6, bidirectional=True), Vocabulary.of(LETTERS)
    network = CharLM(config, len(vocabulary), reads_documents=True)
    p = network.init_params(np.random.default_rng(0), np.float64)
    p.flat[:] += np.random.default_rng(1).normal(scale=0.5, size=p.flat.size)
    p["head.b"][network.boundary] = 50
    return LanguageModel(config, vocabulary, p, text_config=LINES)


def nats(model: LanguageModel, document: str) -> float:
    return float(model.score([document]).nats[0])


def test_no_gap_is_filled_with_the_boundary(random_model):
    filled = random_model.fill("a__b_")
    assert set(filled.text) <= set(LETTERS)
    assert len(filled.text) == 5
    for gap in filled.gaps:
        assert all(set(text) <= set(LETTERS) for text, _ in gap.options)
        assert sum(p for _, p in gap.options) == pytest.approx(1)


def test_no_boundary_is_suggested(random_model):
    found = list(random_model.proofread("abba\nbaab\n", odds=1.01))
    assert found
    assert {misfit.suggestion for misfit in found} <= set(LETTERS)


def test_lines_are_proofread_as_documents(random_model):
    lines = ["abba", "", "b", "baab", "aabbab"]
    whole = [m for m in random_model.proofread("\n".join(lines), odds=1.01) if m.character != "\n"]
    alone = [
        (number, m.column, m.character, m.suggestion, pytest.approx(m.odds, rel=1e-9))
        for number, line in enumerate(lines, 1)
        for m in random_model.proofread(line, odds=1.01)
    ]
    assert [(m.line, m.column, m.character, m.suggestion, m.odds) for m in whole] == alone


def test_a_line_end_is_not_suspected(random_model):
    found = random_model.proofread("ab\nab\n", odds=1.0001)
    assert all(misfit.character in LETTERS for misfit in found)


def test_sampled_text_has_no_boundary():
    model = charlm.train(
        ["ab" * n for n in range(1, 9)],
        ModelConfig("rnn", 6),
        TrainConfig(seq_len=8, batch_size=2),
        Budget(steps=5),
    )
    rng = np.random.default_rng(0)
    texts = ["".join(model.sample(length=30, rng=rng)) for _ in range(30)]
    assert {len(text) < 30 for text in texts} == {True, False} or min(map(len, texts)) < 30
    assert set("".join(texts)) <= set(LETTERS)
    streams = model.sample_streams("a", charlm.SampleConfig(length=30), 20, rng=rng)
    steps = list(itertools.islice(streams, 30))
    for text in zip(*steps, strict=True):
        ended = [k for k, character in enumerate(text) if not character]
        assert ended == list(range(len(text) - len(ended), len(text))), "nothing follows the end"
