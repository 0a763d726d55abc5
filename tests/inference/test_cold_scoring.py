"""Windows from a state of zeros: each is scored as if it were a text of its own."""

import numpy as np
import pytest

from charlm.errors import ConfigError, ModelError
from charlm.inference.blocks import Blocks
from charlm.inference.cold_scoring import score_cold
from charlm.inference.scoring import score
from charlm.nn.cells import CELLS
from tests.helpers import random_ids, small_model
from tests.inference.test_document_scoring import model_of
from tests.inference.test_scoring import by_hand, language_model

LENGTHS = [1, 7, 60, 299, 300, 1000]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_windows_match_a_plain_loop(cell, length, monkeypatch):
    monkeypatch.setattr("charlm.inference.parts.FORWARD_STEPS", 16)
    model, p = small_model(cell, layers=2)
    ids = random_ids(301)
    progress: list[int] = []
    result = score_cold(model, p, ids, length, progress=progress.append)
    expected = [by_hand(model, p, ids[i : i + length + 1]) for i in range(0, 300, length)]
    assert result.nats == pytest.approx(sum(expected), rel=1e-12)
    assert result.characters == sum(progress) == 300
    assert (result.parts, result.cold) == (len(expected), length)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_bidirectional_model_reads_nothing_beyond_a_window(length):
    model, p = small_model("gru", bidirectional=True)
    ids = random_ids(301)
    expected = [score(model, p, ids[i : i + length + 1]).nats for i in range(0, 300, length)]
    assert score_cold(model, p, ids, length).nats == pytest.approx(sum(expected), rel=1e-10)


@pytest.mark.parametrize("threads", [1, 2])
def test_surprisals_and_blocks_are_in_the_order_of_the_text(threads, monkeypatch):
    monkeypatch.setattr("charlm.inference.blocks.BLOCK", 100)
    model, p = small_model("lstm")
    ids, each = random_ids(5001), np.full(5000, np.nan)
    result = score_cold(model, p, ids, 8, threads=threads, surprisals=each)
    assert result.nats == pytest.approx(each.sum())
    for i in (0, 8, 2400, 4992):
        assert each[i : i + 8].sum() == pytest.approx(by_hand(model, p, ids[i : i + 9]))
    assert result.blocks.count == 50
    assert result.blocks.standard_error == pytest.approx(Blocks.of_text(each).standard_error)


def test_a_window_that_holds_the_text_is_the_text():
    model, text = language_model(), "abcab\ncab" * 30
    cold, warm = model.score(text, cold=len(text)), model.score(text)
    assert cold.nats == pytest.approx(warm.nats)
    assert model.score(text, cold=3).nats != pytest.approx(warm.nats, rel=1e-3)
    assert (cold.length, cold.unknown_characters) == (len(text), 0)


def test_what_is_not_cut_into_windows_is_refused():
    with pytest.raises(ConfigError, match="1 with `cold`"):
        language_model().score("abcab", streams=2, cold=3)
    with pytest.raises(ConfigError, match="cold"):
        language_model().score(["abcab"], cold=3)
    with pytest.raises(ModelError, match="trained on documents"):
        model_of("gru").score("the cat", cold=3)
