"""Scores match the definition of NLL and perplexity; every character is scored exactly once."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import ModelConfig
from charlm.errors import ConfigError, TextError
from charlm.inference.parts import ScoringStopped, _agree, final_state
from charlm.inference.sampling import read_prompt
from charlm.inference.scoring import Score, score
from charlm.language_model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.text.vocabulary import Vocabulary
from tests.helpers import lawful, random_ids, small_model

cells = pytest.mark.parametrize("cell", CELLS)


def by_hand(model: CharLM, p: Params, ids) -> float:
    """The sum of -ln softmax over a text, one step at a time."""
    state, work, nats = model.zero_state(1, np.float64), Workspace(np.float64), 0.0
    for now, following in pairwise(ids):
        logits, state = model.next_logits(p, np.array([[now]]), state, work)
        exps = [math.exp(z) for z in logits[0]]
        nats -= math.log(exps[following] / sum(exps))
    return nats


@cells
def test_one_stream_matches_the_definition(cell):
    model, p = small_model(cell, layers=2, embedding=3)
    ids = random_ids(300)
    result = score(model, p, ids)
    assert result.nats == pytest.approx(by_hand(model, p, ids), rel=1e-12)
    assert (result.characters, result.streams) == (299, 1)


@pytest.mark.parametrize("steps", [1, 7, 299, 10**6])
def test_nll_does_not_depend_on_the_steps_of_a_forward_pass(steps, monkeypatch):
    model, p = small_model("lstm", layers=2)
    ids = random_ids(300)
    expected = score(model, p, ids).nats
    monkeypatch.setattr("charlm.inference.parts.FORWARD_STEPS", steps)
    assert score(model, p, ids).nats == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [301, 307, 700])
@cells
def test_streams_are_scored_independently(cell, n):
    model, p = small_model(cell)
    ids = random_ids(n)
    result = score(model, p, ids, streams=6)
    assert result.streams == 6
    edges = [round(b * (n - 1) / 6) for b in range(7)]
    parts = [by_hand(model, p, ids[i : j + 1]) for i, j in pairwise(edges)]
    assert result.nats == pytest.approx(sum(parts), rel=1e-12)
    assert result.characters == n - 1


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("forgets", [True, False])
@cells
def test_parts_read_as_one_batch_match_the_whole_stream(cell, forgets, streams, monkeypatch):
    for name, value in [("WARM_UP", 70 if forgets else 1), ("FORWARD_STEPS", 16), ("PARTS", 8)]:
        monkeypatch.setattr(f"charlm.inference.parts.{name}", value)
    model, p = small_model(cell, hidden=5)
    p.flat[:] *= 0.2  # gates stay near one half, so the state forgets quickly
    ids = random_ids(1200)
    progress: list[int] = []
    result = score(model, p, ids, streams=streams, threads=2, progress=progress.append)
    edges = [round(b * 1199 / streams) for b in range(streams + 1)]
    expected = sum(by_hand(model, p, ids[i : j + 1]) for i, j in pairwise(edges))
    assert result.nats == pytest.approx(expected, rel=1e-12)
    assert (result.parts, sum(progress)) == (8, 1199)
    assert result.reread == (0 if forgets else 8 - streams)


@pytest.mark.parametrize("forgets", [True, False])
@cells
def test_state_after_parts_is_that_after_the_whole_text(cell, forgets, monkeypatch):
    for name, value in [("WARM_UP", 70 if forgets else 1), ("FORWARD_STEPS", 16), ("PARTS", 8)]:
        monkeypatch.setattr(f"charlm.inference.parts.{name}", value)
    model, p = small_model(cell, hidden=5)
    p.flat[:] *= 0.2
    ids = random_ids(1200)
    expected = model.zero_state(1, np.float64)
    for i in ids:
        logits, expected = model.next_logits(p, np.array([[i]]), expected, Workspace(np.float64))
    found = read_prompt(model, p, ids)
    assert found[0] == pytest.approx(logits, rel=1e-9, abs=1e-12)
    for part, whole in zip(found[1], expected, strict=True):
        assert part == pytest.approx(whole, rel=1e-9, abs=1e-12)
    before = model.zero_state(1, np.float64)
    for i in ids[:-1]:
        _, before = model.next_logits(p, np.array([[i]]), before, Workspace(np.float64))
    for part, whole in zip(final_state(model, p, ids), before, strict=True):
        assert part == pytest.approx(whole, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_states_agree_up_to_rounding_errors(dtype):
    state = np.array([[100.0, 1.0, 0.001]], dtype)
    rounding = np.finfo(dtype).eps * np.array([100, 1, 1], dtype)
    assert _agree((state, state), (state, state + 30 * rounding))
    for unit in np.eye(3, dtype=dtype):
        assert not _agree((state, state), (state, state + 300 * rounding * unit))
    assert not _agree((state,), (state * np.nan,))


@pytest.mark.parametrize("threads", [1, 2])
def test_scoring_stops_between_forward_passes(threads, monkeypatch):
    monkeypatch.setattr("charlm.inference.parts.FORWARD_STEPS", 10)
    monkeypatch.setattr("charlm.inference.parts.WARM_UP", 20)
    model, p = small_model("gru")
    scored: list[int] = []
    with pytest.raises(ScoringStopped):
        score(
            model,
            p,
            random_ids(4001),
            shards=2,
            threads=threads,
            progress=scored.append,
            should_stop=lambda: len(scored) >= 3,
        )
    assert 3 <= len(scored) <= 2 + threads


def test_an_interrupt_in_one_thread_stops_the_other_threads(monkeypatch):
    monkeypatch.setattr("charlm.inference.parts.FORWARD_STEPS", 10)
    monkeypatch.setattr("charlm.inference.parts.WARM_UP", 20)
    futures: list[Future] = []
    interrupted = Event()

    def interrupted_map(read, batches):
        futures.extend(pool.submit(read, batch) for batch in batches)
        raise KeyboardInterrupt

    monkeypatch.setattr("charlm.inference.parts.thread_map", lambda *counts: interrupted_map)
    model, p = small_model("gru")
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            score(model, p, random_ids(4001), progress=lambda characters: interrupted.wait())
        interrupted.set()
        for future in futures:
            with pytest.raises(ScoringStopped):
                future.result()


def test_fewer_than_one_stream_is_an_error():
    model, p = small_model("rnn")
    for streams in (0, -1):
        with pytest.raises(ConfigError, match="streams"):
            score(model, p, random_ids(9), streams=streams)


# Every id of the text occurs once and has its own surprisal.
IDS = 400
MODEL = CharLM(ModelConfig("rnn", 1), IDS)
WEIGHTS = Params(MODEL.shapes(), dtype=np.float64)
WEIGHTS["head.b"][...] = np.random.default_rng(0).normal(size=IDS)
SURPRISAL = np.log(np.exp(WEIGHTS["head.b"]).sum()) - WEIGHTS["head.b"]


@lawful
@given(st.integers(2, IDS), st.integers(1, 50), st.sampled_from([1, 3, 16, 128]))
def test_every_character_but_the_first_is_scored_once(n, streams, steps):
    progress: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.inference.parts.FORWARD_STEPS", steps)
        ids = np.arange(n, dtype=np.uint16)
        result = score(MODEL, WEIGHTS, ids, streams=streams, progress=progress.append)
    assert result.nats == pytest.approx(SURPRISAL[1:n].sum(), rel=1e-12)
    assert result.characters == sum(progress) == n - 1
    assert all(part > 0 for part in progress)
    assert 1 <= result.streams <= streams


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@cells
def test_perplexity_of_a_uniform_model_is_the_vocabulary_size(cell, dtype):
    model = CharLM(ModelConfig(cell, 4, layers=2), 11)
    result = score(model, Params(model.shapes(), dtype=dtype), random_ids(50, below=11))
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    assert result.perplexity == pytest.approx(11, rel=tolerance)
    assert result.bits_per_char == pytest.approx(math.log2(11), rel=tolerance)


@lawful
@given(st.floats(0, 1e5), st.integers(1, 10**6))
def test_bits_and_perplexity_follow_from_the_mean_nll(nats, characters):
    result = Score(nats, characters)
    mean = nats / characters
    assert result.nats_per_char == mean
    assert result.bits_per_char == pytest.approx(mean / math.log(2))
    if mean < 709:
        assert result.perplexity == pytest.approx(math.exp(mean))
    else:  # infinite, or close to the largest float
        assert result.perplexity > 1e300


def language_model(characters: str = "abc\n", cell: str = "lstm", hidden: int = 5) -> LanguageModel:
    model, p = small_model(cell, len(characters), hidden=hidden)
    return LanguageModel(model.config, Vocabulary.of(characters), p)


def test_score_of_a_text_is_the_score_of_its_ids():
    model, p = small_model("lstm", 4)
    text = "abcab\ncab" * 20
    result = language_model().score(text)
    ids = Vocabulary.of("abc\n").encode(text)[0]
    assert result == replace(score(model, p, ids), length=len(text))
    assert language_model().perplexity(text) == result.perplexity
    assert result.unknown_characters == 0


def test_unknown_characters_are_neither_scored_nor_read():
    model = language_model()
    plain, mixed = model.score("abcab\ncab"), model.score("?abc?!ab\n\U0001f600cab\0")
    assert mixed.nats == plain.nats
    assert mixed.characters == plain.characters == 8
    assert mixed.unknown_characters == 5
    assert (plain.unknown_fraction, mixed.unknown_fraction) == (0, 5 / 14)
    assert model.perplexity("a?b") == model.perplexity("ab")


@pytest.mark.parametrize("text", ["", iter([])])
def test_empty_text_is_an_error(text):
    with pytest.raises(TextError, match="the text is empty"):
        language_model().score(text)


@pytest.mark.parametrize("text", ["a", "xyz", "xayz"])
def test_text_with_fewer_than_two_known_characters_is_an_error(text):
    model = language_model()
    known = sum(c in "abc\n" for c in text)
    for call in (model.score, model.perplexity):
        with pytest.raises(TextError, match=f"at least 2 characters .* the text has {known} known"):
            call(text)


def test_a_text_is_one_stream_by_default():
    model = language_model(cell="rnn", hidden=1)
    progress: list[int] = []
    long = model.score("ab" * 125_001, progress=progress.append)
    assert (long.streams, long.characters, sum(progress)) == (1, 250_001, 250_001)
    assert model.score("ab" * 1000, streams=4).streams == 4
    assert model.perplexity("abc" * 1000, streams=4) == pytest.approx(
        model.score("abc" * 1000, streams=4).perplexity
    )
