"""A run stops early once validation has stalled, and at the same step however it is interrupted."""

import pytest

from charlm.training.checkpoint import TrainingProgress, load
from charlm.training.events import Done, Eval
from charlm.training.trainer import Trainer
from tests.helpers import NOISE, only, resumed, run, small_trainer
from tests.training.test_resuming import whole

PATIENCE, EVERY, STEPS = 3, 4, 400


def stalling(patience: int = PATIENCE) -> Trainer:
    """A trainer of a model that soon knows its noise by heart."""
    options = {"eval_every": EVERY, "lr": 0.005, "warmup": 0, "patience": patience}
    return small_trainer(text=NOISE, hidden=24, steps=STEPS, **options)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[dict, int]:
    """What a run that stopped early leaves behind, and its last step."""
    path = tmp_path_factory.mktemp("unbroken")
    last = run(stalling(), path)[-1].step
    return whole(path), last


def test_a_run_stops_after_evaluations_without_improvement(tmp_path):
    records = run(stalling(), tmp_path)
    done, losses = records[-1], [e.val_nats_per_char for e in only(Eval, records)]
    assert isinstance(done, Done)
    assert 0 < done.best_step == done.step - PATIENCE * EVERY < STEPS
    assert min(losses) == losses[-1 - PATIENCE] < min(losses[-PATIENCE:])
    assert load(tmp_path / "best.npz").training.progress.step == done.best_step


def test_without_patience_a_run_takes_all_steps():
    assert run(stalling(patience=0))[-1].step == STEPS


def test_without_validation_no_run_stops_early():
    records = run(small_trainer(steps=40, eval_every=2, patience=1, val_fraction=0))
    assert records[-1].step == 40


@pytest.mark.parametrize("back", [1, EVERY, PATIENCE * EVERY + 1])
def test_an_interrupted_run_stops_at_the_same_step_with_the_same_weights(back, unbroken, tmp_path):
    expected, last = unbroken
    run(stalling(), tmp_path, stop_after=last - back)
    run(resumed(tmp_path, NOISE), tmp_path)
    assert whole(tmp_path) == expected


def test_a_run_that_stopped_early_is_finished(tmp_path):
    run(stalling(), tmp_path)
    trainer = resumed(tmp_path, NOISE)
    assert trainer.progress.has_stalled(trainer.config)
    assert trainer.progress.is_finished(trainer.config)
    assert not TrainingProgress(step=8, steps=9).is_finished(trainer.config)
