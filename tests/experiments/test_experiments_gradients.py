"""Tests of the experiments `vanishing`, `memory` and `exploding`."""

import math
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
import pytest

from charlm.config import ModelConfig, TrainConfig
from charlm.experiments import exploding, memory, vanishing
from charlm.experiments.exploding import Run
from charlm.experiments.report import Report
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from tests.gradients import assert_close, numerical_gradient
from tests.helpers import random_ids, small_model

QUICK, learn = memory.QUICK, memory.learn


@cache
def learned(system: str) -> Params:
    """The parameters of a small model trained on the sentences."""
    return learn(system, QUICK)


@pytest.fixture(scope="module")
def reader() -> tuple[CharLM, Params]:
    """A small LSTM trained on the sentences."""
    return memory.make_model("lstm", QUICK.hidden), learned("lstm")


def assert_whole(report: Report) -> None:
    """Check that each row has all columns, and each line as many finite y as x."""
    assert report.rows
    assert all(len(row) == len(report.columns) for row in report.rows)
    for line in report.picture.lines:
        assert len(line.x) == len(line.y) >= 1
        assert np.isfinite(line.y).all()
    assert report.finding in report.markdown()


class TestVanishing:
    @pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
    @pytest.mark.parametrize("back", [1, 4])
    def test_gradient_of_a_state_is_that_of_differences(self, cell, back):
        model, p = small_model(cell)
        ids = random_ids(6, 3)
        _, state, _ = model.cells.forward(
            p, ids[: 5 - back], model.zero_state(3, np.float64), Workspace(np.float64)
        )

        def loss() -> float:
            nats, _ = model.nats(
                p, ids[5 - back : 5], ids[6 - back :], state, Workspace(np.float64)
            )
            return float(nats[-1].sum())

        gradients = vanishing.state_gradients(model, p, ids[:5], ids[5])[back - 1]
        assert len(gradients) == len(state)
        for part, gradient in zip(state, gradients, strict=True):
            assert_close(f"{back} back", gradient, numerical_gradient(loss, part))

    def test_mean_is_over_streams(self):
        gradients = [(np.array([[3.0, 4.0], [0.0, 1.0]]),), (np.array([[0.0, 2.0], [0.0, 0.0]]),)]
        assert vanishing.mean_norms(gradients) == [[3.0, 1.0]]

    def test_a_fade_is_told_from_a_keeping(self):
        fades, stays = [2.0, 2e-4, 2e-8], [2.0, 1.8, 1.6]
        assert vanishing.a_step(fades) == pytest.approx(1e-4)
        assert vanishing.kept(stays) == 0.8

        def finding(plain: list[float], gated: list[float]) -> str:
            return vanishing.finding({"rnn h, trained": plain, "gru h, trained": gated})

        assert "the claim holds" in finding(fades, stays)
        assert "the claim holds" not in finding(stays, fades)
        assert "the claim holds" not in finding(stays, stays)
        assert "the claim holds" not in finding(fades, [2.0, 2e-3, 2e-6])

    def test_quick_report(self):
        report = vanishing.run(quick=True)
        assert_whole(report)
        lines = {line.label: line.y for line in report.picture.lines}
        assert vanishing.a_step(lines["rnn h, initial"]) < 0.8
        assert vanishing.kept(lines["lstm c, initial"]) > 3 * vanishing.kept(
            lines["rnn h, initial"]
        )


class TestMemory:
    @pytest.mark.parametrize("gap", [*memory.ASIDE_GAPS, *memory.FULL.gaps])
    def test_gap_has_the_requested_length(self, gap):
        random = Random(gap)
        assert {len(memory.between(gap, random)) for _ in range(20)} == {gap}

    def test_only_the_noun_determines_the_number(self):
        """A singular and its plural share the text between noun and verb."""
        texts = memory.sentences(100, 30, Random(3))
        for one, many in zip(texts[::2], texts[1::2], strict=True):
            assert one[-32:-2] == many[-32:-2]
            assert (one[5:-32], many[5:-32]) in memory.NOUNS.items()
            assert (one[-2:], many[-2:]) == ("wa", "we")

    def test_sentences_end_at_the_same_step(self):
        texts = memory.sentences(40, 20, Random(0))
        x, y = memory.as_ids(texts)
        assert memory.VOCABULARY.decode(y[-1]) == "ae" * 20
        for b, text in enumerate(texts):
            assert text.endswith(memory.VOCABULARY.decode(np.append(x[:, b], y[-1, b])))

    @pytest.mark.full
    def test_trained_model_that_sees_the_noun_predicts_the_verb(self, reader):
        model, p = reader
        assert memory.accuracy(model, p, memory.sentences(100, 5, Random(4))) >= 0.9

    def test_trained_model_that_does_not_see_the_noun_guesses(self, reader):
        model, p = reader
        hidden = [text[-7:] for text in memory.sentences(100, 5, Random(4))]
        assert memory.accuracy(model, p, hidden) == 0.5

    def test_untrained_model_guesses(self):
        model = memory.make_model("lstm", 32)
        p = model.init_params(np.random.default_rng(0))
        assert memory.accuracy(model, p, memory.sentences(100, 5, Random(4))) < 0.8

    def test_quick_report(self, monkeypatch):
        monkeypatch.setattr(memory, "QUICK", replace(QUICK, systems=("rnn", "lstm")))
        monkeypatch.setattr(memory, "learn", lambda system, size: learned(system))
        report = memory.run(quick=True)
        assert_whole(report)
        right = {line.label: line.y for line in report.picture.lines}
        assert set(right) == {"rnn", "lstm"}
        assert right["lstm"][0] >= 90
        assert right["lstm"][1] > right["rnn"][1] + 20

    def test_reach_ends_at_the_first_gap_with_too_few_correct_answers(self):
        assert memory.reach([10, 20, 30], [1.0, 0.9, 0.6]) == 20
        assert memory.reach([10, 20, 30], [1.0, 0.5, 1.0]) == 10
        assert memory.reach([10, 20, 30], [0.5, 1.0, 1.0]) == 0

    def test_finding_follows_the_figures(self):
        gaps, keeps, loses = [10, 20], [1.0, 1.0], [1.0, 0.5]
        assert "the claim holds" in memory.finding(gaps, {"rnn": loses, "lstm": keeps})
        for shares in (
            {"rnn": keeps, "lstm": loses},
            {"rnn": keeps, "lstm": keeps},
            {"rnn": loses, "lstm": keeps, "gru": loses},
        ):
            assert "the claim holds" not in memory.finding(gaps, shares)


class TestExploding:
    def test_runs_are_equal_until_the_first_clipped_step(self):
        """Norms are measured before clipping, so the first clipped step still has an equal norm."""
        bare = short_run(0.0)
        limit = 0.9 * max(bare.norms[1:-1])
        clipped = short_run(limit)
        first = next(i for i, norm in enumerate(bare.norms) if norm > limit)
        assert 0 < first < len(bare.norms) - 1
        assert clipped.norms[: first + 1] == bare.norms[: first + 1]
        assert clipped.norms[first + 1] != bare.norms[first + 1]

    def test_limit_that_is_never_reached_has_no_effect(self):
        assert short_run(1e9) == short_run(0.0)

    def test_divergence_is_reported_and_not_raised(self):
        run = short_run(0.0, activation="relu", lr=30.0)
        assert run.diverged_at == len(run.norms) + 1
        assert run.bits == math.inf

    def test_finding_follows_the_figures(self):
        good, bad, lost = Run([1.0], 3.0), Run([9.0], 6.0), Run([9.0], math.inf, 2)
        holds = exploding.finding({"tanh": (bad, good), "relu": (lost, good)})
        assert "the claim holds" in holds
        assert "diverged at step 2 without" in holds
        assert "the claim holds" not in exploding.finding({"tanh": (good, good)})
        assert "the claim holds" not in exploding.finding(
            {"tanh": (bad, good), "relu": (good, bad)}
        )

    def test_quick_report(self):
        report = exploding.run(quick=True)
        assert_whole(report)
        rows = {row[0]: row for row in report.rows}
        assert rows["relu, not clipped"][-1] != "-"
        assert rows["relu, clipped"][-1] == "-"
        assert float(rows["relu, clipped"][3]) < 4.5  # an untrained model has about 6 bits


def short_run(clip: float, activation: str = "tanh", lr: float = 0.5) -> Run:
    config = TrainConfig(
        seq_len=20, batch_size=8, optimizer="sgd", lr=lr, clip=clip, val_fraction=0.01
    )
    return exploding.train(ModelConfig("rnn", 16, activation=activation), config, 20)
