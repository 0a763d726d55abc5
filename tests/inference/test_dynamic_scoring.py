"""Dynamic evaluation follows its equations, predicts before it adapts, and leaves the model."""

import numpy as np
import pytest

from charlm.errors import ConfigError, ModelError
from charlm.inference import dynamic_scoring
from charlm.inference.dynamic_scoring import DECAY, EPSILON, LEARNING_RATE, score_dynamic
from charlm.inference.scoring import Score, score
from charlm.nn.cells import CELLS
from tests.helpers import random_ids, small_model
from tests.inference.test_document_scoring import model_of
from tests.inference.test_scoring import language_model
from tests.models import gradient, nll

cells = pytest.mark.parametrize("cell", CELLS)


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    monkeypatch.setattr(dynamic_scoring, "CHUNK", 7)


def by_hand(model, p, ids) -> float:
    """The NLL of a text by the equations, a chunk after the other."""
    w, state, nats, squares = p.zeros_like(), model.zero_state(1, np.float64), 0.0, []
    w.flat[:] = p.flat
    for start in range(0, len(ids) - 1, 7):
        chunk = ids[start : start + 8][:, None]
        each, after = nll(model, w, chunk[:-1], chunk[1:], state)
        nats += each.sum()
        _, g, _ = gradient(model, w, chunk[:-1], chunk[1:], state, scale=1 / each.size)
        squares.append(g.flat**2)
        r = np.sqrt(np.mean(squares, axis=0))
        stepped = w.flat - LEARNING_RATE * g.flat / (r + EPSILON * r.mean())
        rate = np.minimum(1, DECAY * r / r.mean())
        w.flat[:] = (1 - rate) * stepped + rate * p.flat
        state = after
    return nats


@cells
def test_the_equations_of_each_chunk(cell):
    model, p = small_model(cell, layers=2)
    before, progress = p.flat.copy(), []
    ids = random_ids(101)
    result = score_dynamic(model, p, ids, progress=progress.append)
    assert result.nats == pytest.approx(by_hand(model, p, ids), rel=1e-9)
    assert result.nats != pytest.approx(score(model, p, ids).nats, rel=1e-6)
    assert result.characters == sum(progress) == 100
    assert (p.flat == before).all()


@cells
def test_a_learning_rate_of_zero_is_static(cell):
    model, p = small_model(cell)
    ids = random_ids(101)
    static = score(model, p, ids).nats
    assert score_dynamic(model, p, ids, learning_rate=0).nats == pytest.approx(static, rel=1e-12)


def test_a_text_that_repeats_is_learned():
    model, p = small_model("gru")
    ids = np.tile(random_ids(5), 400)
    assert score_dynamic(model, p, ids).nats < 0.95 * score(model, p, ids).nats


def test_nothing_is_gained_on_independent_characters():
    # A predictor that does not know what follows gains more than ln 1000 nats on a source whose
    # characters are equally likely with a probability of 0.001 at most (Ville's inequality).
    model, p = small_model("gru")
    ids = random_ids(3001)
    for rate in (0.002, 0.05):
        nats = score_dynamic(model, p, ids, learning_rate=rate).nats
        assert nats > 3000 * np.log(7) - np.log(1000)


def test_blocks_are_of_whole_chunks(monkeypatch):
    monkeypatch.setattr("charlm.inference.blocks.BLOCK", 70)
    model, p = small_model("rnn")
    result = score_dynamic(model, p, random_ids(1001))
    assert result.blocks.count == 14
    assert result.blocks.characters == 1000
    assert result.blocks.nats == pytest.approx(result.nats)
    low, high = result.interval
    assert low < result.nats_per_char < high


def test_a_gradient_of_zeros_changes_nothing():
    model, p = small_model("rnn", 1)  # the only character is certain
    assert score_dynamic(model, p, np.zeros(50, np.int64)).nats == pytest.approx(0)


def test_result_stands_beside_the_static_one():
    model, text = language_model(), "abcab\ncab" * 30
    static, both = model.score(text), model.score(text + "?", dynamic=True)
    assert both.nats == static.nats
    assert both.dynamic.nats < static.nats
    assert (both.dynamic.unknown_characters, both.dynamic.length) == (1, len(text) + 1)
    assert both == model.score(text + "?", dynamic=True)  # deterministic
    assert (both + both).dynamic.nats == 2 * both.dynamic.nats
    assert (both + Score(1.0, 1)).dynamic is None


def test_what_cannot_adapt_is_refused():
    for options in ({"streams": 2}, {"cold": 5}):
        with pytest.raises(ConfigError, match="`dynamic`, which reads the text in order"):
            language_model().score("abcab", dynamic=True, **options)
    with pytest.raises(ConfigError, match="dynamic"):
        language_model().score(["abcab"], dynamic=True)
    with pytest.raises(ModelError, match="trained on documents"):
        model_of("gru").score("the cat", dynamic=True)
    model, _ = small_model("gru", bidirectional=True)
    with pytest.raises(ModelError, match="is bidirectional"):
        dynamic_scoring.check_can_adapt(model)
