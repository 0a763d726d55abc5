"""Text in pieces gives the same results as the whole text, and is not held in memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import ModelConfig, SampleConfig
from charlm.errors import TextError
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.text.vocabulary import UNK, Vocabulary, code_points
from tests.helpers import lawful_but_slow
from tests.texts import cut

KNOWN = "\nabcd灯"
TEXT = "abc灯\nЖdab\n" * 60


def model(*, has_unk: bool = False, **config) -> LanguageModel:
    vocabulary = Vocabulary(code_points("".join(sorted(KNOWN + UNK * has_unk))), has_unk=has_unk)
    shape = ModelConfig(hidden=4, **config)
    params = CharLM(shape, len(vocabulary)).init_params(np.random.default_rng(0))
    return LanguageModel(shape, vocabulary, params)


MODELS = {
    "plain": model(),
    "with <unk>": model(has_unk=True),
    "bidirectional": model(bidirectional=True),
}
POSITIONS = st.lists(st.integers(0, len(TEXT)), max_size=8)


@pytest.mark.parametrize("kind", MODELS)
@lawful_but_slow
@given(positions=POSITIONS, streams=st.integers(1, 3))
def test_score_of_pieces_is_bit_identical(kind, positions, streams):
    language_model, pieces = MODELS[kind], cut(TEXT, positions)
    whole = language_model.score(TEXT, streams=streams)
    assert language_model.score(iter(pieces), streams=streams) == whole
    assert whole.unknown_characters == 60
    assert language_model.perplexity(iter(pieces), streams=streams) == whole.perplexity


@pytest.mark.parametrize("kind", ["plain", "with <unk>"])
@lawful_but_slow
@given(positions=POSITIONS)
def test_prompt_in_pieces_gives_the_same_sample(kind, positions):
    def draw(prompt) -> list:
        rng = np.random.default_rng(3)
        config = SampleConfig(length=20)
        return list(MODELS[kind].sample_streams(prompt, config, 2, unknown="skip", rng=rng))

    assert draw(iter(cut(TEXT, positions))) == draw(TEXT)


def test_empty_prompt_equals_a_newline():
    def draw(prompt) -> str:
        return "".join(model().sample(prompt, length=30, rng=np.random.default_rng(3)))

    assert draw(iter([])) == draw("") == draw("\n")


def test_unknown_characters_of_a_prompt_are_rejected_in_any_piece():
    with pytest.raises(TextError, match="'Ж'"):
        model().sample(iter(["abc", "dЖ"]))


def test_progress_counts_each_character_once():
    seen: list[int] = []
    score = model().score(iter(cut(TEXT, [7, 100])), progress=seen.append)
    assert sum(seen) == score.characters
    seen.clear()
    config = SampleConfig(length=1)
    prompt = cut(TEXT, [7, 100])
    next(model().sample_streams(prompt, config, 1, unknown="skip", progress=seen.append))
    assert sum(seen) == 1 + len(TEXT) - 60, "and a newline before the prompt"


def test_memory_is_independent_of_the_number_of_pieces(monkeypatch):
    monkeypatch.setattr("charlm.text.id_sequences.READ", 1 << 14)
    language_model = LanguageModel(
        ModelConfig("rnn", hidden=1),
        Vocabulary.of("ab"),
        CharLM(ModelConfig("rnn", hidden=1), 2).init_params(np.random.default_rng(0)),
    )
    peaks = []
    for count in (10, 100):  # of 10,000 characters
        tracemalloc.start()
        try:
            language_model.score("ab" * 5_000 for _ in range(count))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000  # for 900,000 more characters
