"""The interval of a mean NLL covers the expected value as often as it says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.inference.blocks import BLOCK, LEAST, Blocks, Cut, t_quantile
from charlm.inference.scoring import Score, score
from tests.helpers import lawful, random_ids, small_model
from tests.inference.test_document_scoring import model_of


def dependent(texts: int, characters: int, memory: float) -> np.ndarray:
    """Surprisals of mean 0 of an autoregressive process, `(characters, texts)`."""
    values = np.random.default_rng(0).normal(size=(characters, texts))
    values[0] /= math.sqrt(1 - memory**2)
    for t in range(1, characters):
        values[t] += memory * values[t - 1]
    return values


def share_covered(texts: list[Blocks]) -> float:
    return float(np.mean([abs(each.nats / each.characters) <= each.margin for each in texts]))


def test_coverage_is_right_for_dependent_characters(monkeypatch):
    monkeypatch.setattr("charlm.inference.blocks.BLOCK", 200)
    surprisals = dependent(1000, 12 * 200, memory=0.8)
    covered = share_covered([Blocks.of_text(text) for text in surprisals.T])
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1000))
    # with characters that are taken for independent, it would not be
    single = np.ones(len(surprisals), np.int64)
    assert share_covered([Blocks.of(text, single) for text in surprisals[:, :100].T]) < 0.7


def test_coverage_is_right_for_documents_of_unlike_lengths():
    rng, texts = np.random.default_rng(1), []
    for _ in range(2000):
        lengths = rng.integers(1, 30, 50)
        shared = rng.normal(size=50)  # by all characters of a document
        texts.append(Blocks.of(shared * lengths + rng.normal(size=50), lengths))
    assert share_covered(texts) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("freedom", "expected"), [(9, 2.262157), (29, 2.045230), (999, 1.962341)])
def test_quantiles_are_those_of_student(freedom, expected):
    assert t_quantile(freedom) == pytest.approx(expected, abs=5e-4)


@lawful
@given(st.integers(1, 50_000))
def test_blocks_divide_a_text_evenly(characters):
    cut = Cut(characters)
    lengths = cut.lengths()
    assert lengths.sum() == characters
    assert lengths.max() - lengths.min() <= 1
    assert lengths.min() >= min(BLOCK, characters)
    owners = cut.block(np.arange(characters))
    assert (np.bincount(owners, minlength=len(cut)) == lengths).all()


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("characters", [1207, 1999])
def test_blocks_do_not_depend_on_how_a_text_is_read(characters, threads, streams, monkeypatch):
    for name, value in [("WARM_UP", 40), ("FORWARD_STEPS", 16), ("PARTS", 9)]:
        monkeypatch.setattr(f"charlm.inference.parts.{name}", value)
    monkeypatch.setattr("charlm.inference.blocks.BLOCK", 100)
    model, p = small_model("lstm")
    each = np.empty(characters)
    ids = random_ids(characters + 1)
    result = score(model, p, ids, streams=streams, threads=threads, shards=3)
    score(model, p, ids, streams=streams, surprisals=each)
    expected = Blocks.of_text(each)
    assert (result.blocks.count, result.parts) == (characters // 100, 9)
    assert result.blocks.characters == result.characters
    for name in ("nats", "nn", "nm", "mm"):
        assert getattr(result.blocks, name) == pytest.approx(getattr(expected, name), rel=1e-10)
    # the definition: the ratio of sums over blocks
    n, m = Cut(characters).sums(each), Cut(characters).lengths()
    R, k = n.sum() / m.sum(), len(n)
    error = math.sqrt(k / (k - 1) * ((n - R * m) ** 2).sum()) / m.sum()
    margin = t_quantile(k - 1) * error
    assert result.interval == pytest.approx((R - margin, R + margin), rel=1e-6)


def test_a_short_text_has_no_interval():
    model, p = small_model("rnn")
    for characters in (1, BLOCK - 1, LEAST * BLOCK - 1):
        assert score(model, p, random_ids(characters + 1)).interval is None
    assert score(model, p, random_ids(LEAST * BLOCK + 1)).interval is not None
    assert Score(0.0, 0).interval is None


def test_equal_blocks_have_an_interval_without_width():
    low, high = Score(3000.0, 20_000, blocks=Blocks.of_text(np.full(20_000, 0.15))).interval
    assert low == pytest.approx(0.15, abs=1e-6)
    assert high == pytest.approx(0.15, abs=1e-6)


def test_documents_are_blocks():
    model = model_of("gru")
    documents = ["the cat", "a", "", "on the mat" * 9] * 5
    scores = model.score(documents)
    total = scores.total
    assert total.blocks == Blocks.of(scores.nats, scores.predicted)
    assert total.blocks.count == 20
    low, high = total.interval
    assert 0 <= low < total.nats_per_char < high
    assert model.score(documents[:9]).total.interval is None


def test_blocks_of_several_texts_are_added():
    surprisals = np.random.default_rng(3).exponential(size=12_345)
    n, m = Cut(len(surprisals)).sums(surprisals), Cut(len(surprisals)).lengths()
    parts = Blocks.of(n[:5], m[:5]) + Blocks.of(n[5:], m[5:])
    assert parts.standard_error == pytest.approx(Blocks.of(n, m).standard_error, rel=1e-9)
