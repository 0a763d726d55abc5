"""A bidirectional model fills gaps with the most probable characters, and finds misspellings."""

from itertools import product

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.errors import ConfigError, ModelError, TextError
from charlm.inference.filling import fill
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.nn.workspace import Workspace
from charlm.text.vocabulary import Vocabulary
from tests.helpers import TEXT, random_ids, small_model, small_trainer

V = 4


def log_probabilities(model, p, ids, position: int) -> np.ndarray:
    """ln p of each character at a position after the first, given all others, from `logits`."""
    x, y = ids[:-1, None], ids[1:, None]
    logits, _ = model.logits(p, x, y, model.zero_state(1, np.float64), Workspace(np.float64))
    z = logits[position - 1, 0]
    return z - np.log(np.exp(z - z.max()).sum()) - z.max()


def marked(n: int, positions: list[int]) -> np.ndarray:
    gaps = np.zeros(n, np.bool_)
    gaps[positions] = True
    return gaps


@pytest.fixture(scope="module")
def trained() -> LanguageModel:
    """A model that has memorized one sentence."""
    trainer = small_trainer(hidden=16, steps=250, seq_len=20, bidirectional=True)
    for _ in range(250):
        trainer.step()
    return LanguageModel(trainer.model.config, trainer.data.vocabulary, trainer.p)


@pytest.mark.parametrize("position", [1, 6, 11])
@pytest.mark.parametrize("options", [{}, {"layers": 2, "head_layers": 1, "embedding": 3}])
def test_one_gap_has_the_distribution_of_the_model(position, options):
    model, p = small_model("gru", V, bidirectional=True, **options)
    ids = random_ids(12, below=V)
    found = fill(model, p, ids, marked(12, [position]))
    expected = np.exp(log_probabilities(model, p, ids, position))
    assert found.ids.shape == (V, 1)
    np.testing.assert_allclose(found.probabilities, expected[found.ids[:, 0]], rtol=1e-9)
    assert (np.diff(found.probabilities) <= 0).all()


@pytest.mark.parametrize("positions", [[4, 5], [2, 7], [3, 4, 9]])
def test_several_gaps_have_the_joint_distribution_of_brooks_lemma(positions):
    model, p = small_model("lstm", V, bidirectional=True, seed=1)
    ids = random_ids(12, below=V)
    found = fill(model, p, ids, marked(12, positions))
    best = ids.copy()
    best[positions] = found.ids[0]
    expected = {}
    for filling in product(range(V), repeat=len(positions)):
        score, now = 0.0, best.copy()
        for position, character in zip(positions, filling, strict=True):
            each = log_probabilities(model, p, now, position)
            score += each[character] - each[best[position]]
            now[position] = character
        expected[filling] = np.exp(score)
    total = sum(expected.values())
    assert len(found.ids) == min(64, V ** len(positions))
    for filling, probability in zip(found.ids.tolist(), found.probabilities, strict=True):
        assert probability == pytest.approx(expected[tuple(filling)] / total, rel=1e-9)


def test_a_trained_model_fills_gaps_with_learned_text(trained):
    filled = trained.fill("the c_t sat on t__ mat.")
    assert filled.text == "the cat sat on the mat."
    one, two = filled.gaps
    assert (one.position, two.position) == (5, 16)
    assert one.options[0][0] == "a"
    assert two.options[0][0] == "he"
    for gap in filled.gaps:
        probabilities = [p for _, p in gap.options]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0.99 < sum(probabilities) <= 1 + 1e-9


@pytest.mark.parametrize("text", ["_", "___", "_he cat", "the ca_", "_he_"])
def test_a_gap_can_be_anywhere(trained, text):
    filled = trained.fill(text)
    assert len(filled.text) == len(text)
    assert "_" not in filled.text
    assert all(a in (b, "_") for a, b in zip(text, filled.text, strict=True))


def test_any_character_can_mark_a_gap_and_unknown_ones_can_stay(trained):
    assert trained.fill("the c?t sat.", gap="?").text == "the cat sat."
    with pytest.raises(TextError, match="Ü"):
        trained.fill("Über the c_t sat")
    filled = trained.fill("Ü the c_t Ü sat on the mat.", unknown="skip")
    assert filled.text == "Ü the cat Ü sat on the mat."
    assert filled.gaps[0].position == 7


def test_invalid_arguments_are_errors(trained):
    with pytest.raises(TextError, match="has no gap; write '_'"):
        trained.fill("the cat")
    with pytest.raises(ConfigError, match="gap must be a single character, got 'xx'"):
        trained.fill("the cxxt", gap="xx")
    vocabulary, config = Vocabulary.of(TEXT), ModelConfig("rnn", 3)
    params = CharLM(config, len(vocabulary)).init_params(np.random.default_rng(0))
    one_way = LanguageModel(config, vocabulary, params)
    for use in (one_way.fill, one_way.proofread):
        with pytest.raises(ModelError, match="bidirectional=True"):
            use("the c_t")


def test_a_bidirectional_model_cannot_sample(trained):
    with pytest.raises(ModelError, match="fill gaps or to proofread"):
        trained.sample("the")


def test_a_misspelling_is_found_with_its_position_and_its_correction(trained):
    text = TEXT.replace("sat on", "sot on", 1)
    text = text[:-20] + text[-20:].replace("cat", "cmt")
    found = list(trained.proofread(text, odds=20))
    positions = {(misfit.line, misfit.column): misfit for misfit in found}
    assert positions[1, 10].character == "o"
    assert positions[1, 10].suggestion == "a"
    assert (positions[1, 10].before, positions[1, 10].after) == ("the cat s", "t on the mat.")
    assert positions[12, 6].suggestion == "a"
    assert not list(trained.proofread(TEXT, odds=20))


def test_unknown_characters_and_long_texts_do_not_shift_positions(trained):
    text = "Ü" * 40 + "the cat\nÜ" + "the cat sat on the mat.\n" * 30 + "the Ücmt sat on the mat.\n"
    *_, last = trained.proofread(text, odds=20)
    assert (last.line, last.column, last.character) == (32, 7, "m")
    assert last.before == "the Üc"


@pytest.mark.parametrize("window", [1, 5, 100])
def test_a_character_is_reported_if_another_is_at_least_odds_times_as_probable(window, monkeypatch):
    from charlm.inference.proofreading import proofread

    monkeypatch.setattr("charlm.inference.proofreading.FORWARD_STEPS", window)
    model, p = small_model("gru", V, bidirectional=True)
    ids = random_ids(30, below=V)  # fewer than the lookahead: every window reads up to the end
    expected = {}
    for position in range(1, 30):
        each = log_probabilities(model, p, ids, position)
        expected[position] = (int(each.argmax()), float(np.exp(each.max() - each[ids[position]])))
    found = {s.position: (s.suggestion, s.odds) for s in proofread(model, p, ids, 1.5)}
    assert found.keys() == {position for position, (_, odds) in expected.items() if odds >= 1.5}
    for position, (suggestion, odds) in found.items():
        assert suggestion == expected[position][0]
        assert odds == pytest.approx(expected[position][1], rel=1e-9)


def test_first_and_last_characters_are_proofread(trained):
    text = "m" + TEXT[1:-2] + "t\n"
    found = {(m.line, m.column): m.suggestion for m in trained.proofread(text, odds=20)}
    assert found[1, 1] == "t"
    assert found[12, 23] == "."


def test_gaps_can_be_far_apart(trained, monkeypatch):
    text = "the c_t sat on the mat.\n" + TEXT + "the c_t sat"
    whole = trained.fill(text)
    monkeypatch.setattr("charlm.inference.filling.FORWARD_STEPS", 7)
    assert trained.fill(text).text == whole.text == text.replace("_", "a")


def test_odds_must_be_above_one(trained):
    for odds in (1.0, 0.0, float("nan")):
        with pytest.raises(ConfigError, match="odds"):
            trained.proofread(TEXT, odds=odds)
