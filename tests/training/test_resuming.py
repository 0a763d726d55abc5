"""A run that was stopped and gone on with is the run that was not."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from charlm import Budget
from charlm.config import ModelConfig, TrainConfig
from charlm.errors import CheckpointError, TextError
from charlm.language_model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.text.corpus import Corpus
from charlm.training import history
from charlm.training.budget import plan
from charlm.training.checkpoint import load
from charlm.training.events import Done, Step
from charlm.training.loop import train
from charlm.training.run_directory import RunDirectory
from charlm.training.setup import resume, set_up
from charlm.training.summary import Summary
from charlm.training.trainer import Trainer
from tests.helpers import TEXT, only, resumed, run, small_trainer, untimed
from tests.reliability import only_full

STEPS, EPOCH = 16, 13  # of `small_trainer`


def whole(path: Path) -> dict:
    """All that a finished run leaves on disk, but for its times."""
    left: dict = {}
    for name in ("last.npz", "best.npz"):
        checkpoint = load(path / name)
        training = checkpoint.training
        arrays = [checkpoint.params.flat, training.moments, *training.carried]
        left[name] = [a.tobytes() for a in arrays] + [untimed(asdict(training.progress))]
    records = history.read(path / "history.jsonl")
    left["history"] = [untimed(record) for record in records if record["event"] != "start"]
    return left


MODELS = {cell: ModelConfig(cell, 5, layers=2, dropout=0.3) for cell in CELLS}
MODELS["relu"] = ModelConfig("rnn", 5, activation="relu")
MODELS["all but both ends"] = ModelConfig("gru", 5, 3, 4, 0.3, head_layers=2, residual=True)
MODELS["both ends"] = replace(MODELS["all but both ends"], cell="sru", bidirectional=True)


def trainer_of(model: ModelConfig) -> Trainer:
    """One that takes the steps of `small_trainer`."""
    config = TrainConfig(seq_len=5, batch_size=4, eval_every=4)
    trainer = set_up(Corpus.of(TEXT), model, config, threads=1)
    plan(trainer, Budget(steps=STEPS))
    return trainer


@pytest.fixture(scope="module", params=MODELS)
def unbroken(request, tmp_path_factory) -> tuple[ModelConfig, dict]:
    """A model, and what a run with it leaves behind that was not stopped."""
    model, path = MODELS[request.param], tmp_path_factory.mktemp("unbroken")
    run(trainer_of(model), path)
    return model, whole(path)


# after the first step, within a chunk of evaluations and at its ends, about an epoch's end, last
@pytest.mark.parametrize(
    "k", [1, 4, EPOCH, STEPS - 1, *only_full(3, 5, EPOCH - 1, EPOCH + 1, STEPS)]
)
def test_run_that_was_stopped_and_gone_on_with_is_the_run_that_was_not(k, unbroken, tmp_path):
    model, expected = unbroken
    records = run(trainer_of(model), tmp_path, stop_after=k)
    assert k == STEPS or not only(Done, records)
    assert records[-1].step == load(tmp_path / "last.npz").training.progress.step == k
    records = run(resumed(tmp_path), tmp_path)
    assert (records[0].event, records[0].step) == ("start", k)
    assert whole(tmp_path) == expected


@pytest.mark.parametrize("k", [6, *only_full(2, EPOCH)])
def test_run_that_broke_off_goes_on_from_its_last_checkpoint(k, unbroken, tmp_path):
    model, expected = unbroken
    directory = RunDirectory(tmp_path)
    records = train(trainer_of(model), directory)
    while next(records).step < k:
        pass
    with pytest.raises(MemoryError):
        records.throw(MemoryError)
    assert load(directory.last).training.progress.step < k
    run(resumed(tmp_path), tmp_path)
    assert whole(tmp_path) == expected


# at the first evaluation, among steps, at the step of one, at the next one, …, at the end
@pytest.mark.parametrize("count", [2, 7, 22, *only_full(3, 6, 9, 21, 23)])
def test_run_whose_reader_goes_away_comes_to_the_same_end(count, unbroken, tmp_path):
    model, expected = unbroken
    records = train(trainer_of(model), RunDirectory(tmp_path))
    for _ in range(count):
        next(records)
    records.close()
    run(resumed(tmp_path), tmp_path)
    assert whole(tmp_path) == expected


def test_best_model_that_is_younger_than_the_last_keeps_its_own_figure(tmp_path):
    run(small_trainer("lstm"), tmp_path, stop_after=1)
    old = (tmp_path / "last.npz").read_bytes()
    run(resumed(tmp_path), tmp_path)
    best = load(tmp_path / "best.npz")
    assert best.training.progress.best_step > 1
    (tmp_path / "last.npz").write_bytes(old)  # as after a kill between the two files
    trainer = resumed(tmp_path)
    assert trainer.progress.step == 1
    assert trainer.progress.best_nats == best.training.progress.best_nats
    assert trainer.progress.best_step == best.training.progress.best_step
    np.testing.assert_array_equal(trainer.best, best.params.flat)


def test_finished_run_goes_on_with_a_larger_budget(tmp_path):
    run(small_trainer(), tmp_path)
    trainer = resumed(tmp_path)
    plan(trainer, Budget(steps=STEPS + 3))
    records = run(trainer, tmp_path)
    assert [record.step for record in only(Step, records)] == [STEPS + 1, STEPS + 2, STEPS + 3]
    events = [record["event"] for record in history.read(tmp_path / "history.jsonl")]
    assert events.count("done") == 1
    assert events[-1] == "done"


def test_changed_text_is_refused(tmp_path):
    run(small_trainer(), tmp_path, stop_after=2)
    for text in (TEXT + "the cat\n", TEXT.replace("mat", "tam"), TEXT[:-1]):
        with pytest.raises(TextError, match="changed"):
            resumed(tmp_path, text)


def test_model_without_its_training_is_refused(tmp_path):
    trainer = small_trainer()
    checkpoint = trainer.checkpoint()
    model = LanguageModel(checkpoint.config, checkpoint.vocabulary, checkpoint.params)
    model.save(tmp_path / "c.npz")
    with pytest.raises(CheckpointError, match="has only weights"):
        resume(load(tmp_path / "c.npz"), Corpus.of(TEXT))


def test_run_that_cannot_be_saved_says_so(tmp_path):
    (tmp_path / "last.npz").mkdir()
    with pytest.raises(CheckpointError, match=r"last\.npz"):
        run(small_trainer(), tmp_path)


@pytest.mark.parametrize("stops", [(8,), (3, 9)])
def test_summary_of_a_resumed_run_is_that_of_the_whole(stops, tmp_path):
    ours, theirs = Summary(), Summary()
    run(small_trainer(), tmp_path / "theirs")
    run(small_trainer(), tmp_path / "ours", stop_after=stops[0])
    for stop in stops[1:]:
        run(resumed(tmp_path / "ours"), tmp_path / "ours", stop_after=stop)
    list(train(resumed(tmp_path / "ours"), RunDirectory(tmp_path / "ours"), summary=ours))
    for record in history.read(tmp_path / "theirs/history.jsonl"):
        theirs.add(record)
    assert ours == theirs
    assert (ours.train.count, ours.val.count) == (STEPS, 1 + STEPS // 4)
