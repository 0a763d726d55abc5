"""NaN and infinite values injected into training, in this process and in commands."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from charlm.errors import DivergedError
from charlm.nn.cells import CELLS
from charlm.nn.optimizers import OPTIMIZERS, learning_rate
from charlm.text.corpus import Corpus
from charlm.training import history, loop
from charlm.training.checkpoint import Checkpoint, load
from charlm.training.events import Done, Record, Rollback, Step
from charlm.training.loop import train
from charlm.training.run_directory import RunDirectory
from charlm.training.setup import resume
from charlm.training.trainer import Trainer
from tests.helpers import TEXT, numbers, only, small_trainer, untimed
from tests.shell import Ended, Shell
from tests.training.test_resuming import EPOCH, STEPS, whole

PLACES = ["loss", "gradient", "weight", "moment", "state"]
FOR_EVER = 99
LOWER = 0.25  # the factor of the learning rate after each rollback


@dataclass(frozen=True)
class Fault:
    """A NaN or an infinity to inject.

    Attributes:
        place: the faulty quantity, one of `PLACES`.
        value: the value that it takes.
        step: the step in which it occurs.
        times: the number of rollbacks after which it no longer occurs.
        index: the index of the faulty value.
    """

    place: str
    value: float
    step: int
    times: int
    index: int

    @classmethod
    def any(cls, random: Random, times: int = 1) -> "Fault":
        place, step = random.choice(PLACES), random.randint(1, STEPS)
        value = random.choice([np.nan, np.inf, -np.inf])
        if place == "state":  # the state after the last step of an epoch is not used
            value, step = np.nan, random.choice([k for k in range(1, STEPS + 1) if k != EPOCH])
        return cls(place, value, step, times, random.randrange(10**6))

    def into(self, trainer: Trainer) -> Trainer:
        """The trainer with the fault, which depends on the step and on the number of rollbacks."""
        shards, optimizer = trainer.parallel, trainer.optimizer
        loss_and_grad, update = shards.loss_and_grad, optimizer.step

        def is_due() -> bool:
            progress = trainer.progress
            return progress.step + 1 == self.step and progress.rollbacks < self.times

        def faulty_loss_and_grad(*arguments: Any) -> Any:
            loss, g, state = loss_and_grad(*arguments)
            if self.place == "loss" and is_due():
                loss = self.value
            if self.place == "gradient" and is_due():
                self.spoil(g.flat)
            if self.place == "state" and is_due():
                state = tuple(np.full_like(part, self.value) for part in state)
            return loss, g, state

        def faulty_update(*arguments: Any) -> None:
            update(*arguments)
            if self.place == "weight" and is_due():
                self.spoil(trainer.p.flat)
            if self.place == "moment" and is_due():
                self.spoil(optimizer.moments.reshape(-1))

        shards.loss_and_grad, optimizer.step = faulty_loss_and_grad, faulty_update
        return trainer

    def spoil(self, numbers: np.ndarray) -> None:
        numbers[self.index % numbers.size] = self.value


def trainer_of(random: Random) -> Trainer:
    """A small random trainer, sometimes with a worker process."""
    cell = random.choice(list(CELLS))
    return small_trainer(
        cell,
        optimizer=random.choice(list(OPTIMIZERS)),
        layers=2 if cell == "jordan" else random.randint(1, 2),
        dropout=random.choice([0.0, 0.3]),
        eval_every=random.randint(1, 6),
        shards=random.randint(1, 2),
        threads=random.choice([1, 1, 1, 2]),
    )


@pytest.fixture
def saved(monkeypatch) -> list[Checkpoint]:
    """The saved checkpoints, all of which must be finite."""
    seen: list[Checkpoint] = []
    save = loop.save

    def checked(path: Path, checkpoint: Checkpoint) -> None:
        save(path, checkpoint)
        check_finite(path)
        seen.append(checkpoint)

    monkeypatch.setattr(loop, "save", checked)
    return seen


def made(path: Path) -> RunDirectory:
    directory = RunDirectory(path)
    directory.make()
    return directory


def check_finite(file: Path) -> None:
    checkpoint = load(file)
    state = checkpoint.training
    arrays = (checkpoint.params.flat, state.moments, *state.carried)
    assert all(np.isfinite(array).all() for array in arrays), f"{file.name} is not finite"


def from_best(best: Checkpoint, rollbacks: int) -> Trainer:
    """A trainer that starts from a checkpoint, after a number of rollbacks."""
    trainer = resume(best, Corpus.of(TEXT), best=best, threads=1)
    trainer.progress = replace(trainer.progress, rollbacks=rollbacks)
    return trainer


@pytest.mark.promise(
    5,
    "A NaN or an infinity in the loss, gradient, weights, moments or state is never saved; the run "
    "rolls back to its best model with a quarter of the learning rate, and continues",
)
def test_fault_that_comes_once(tmp_path, saved, counted, figure):
    count, places = counted(5, 300), dict.fromkeys(PLACES, 0)
    for seed in range(count):
        random = Random(seed)
        fault, directory = Fault.any(random), made(tmp_path / str(seed))
        trainer = fault.into(trainer_of(random))
        records = train(trainer, directory)
        before = list(up_to_rollback(records))
        best = load(directory.best)
        after = list(records)

        (rollback,) = only(Rollback, before + after)
        assert rollback.step == best.training.progress.step
        assert rollback.diverged_after >= fault.step - 1
        assert isinstance(after[-1], Done)
        check_rates(after, trainer, LOWER)
        again = from_best(best, rollbacks=1)
        there = made(tmp_path / f"{seed}-again")
        expected = [untimed(record.as_dict()) for record in train(again, there)]
        assert [untimed(record.as_dict()) for record in after] == expected[1:]
        assert numbers(trainer) == numbers(again)
        places[fault.place] += 1
    assert len(saved) > count
    named = ", ".join(f"{places[place]} in the {place}" for place in PLACES)
    figure(f"{count} faults ({named}): {len(saved)} checkpoints saved, all finite; all recovered")


def up_to_rollback(records: Iterator[Record]) -> Iterator[Record]:
    for record in records:
        yield record
        if isinstance(record, Rollback):
            return


def check_rates(records: list[Record], trainer: Trainer, factor: float) -> None:
    steps = trainer.progress.steps
    for record in only(Step, records):
        assert record.lr == learning_rate(record.step - 1, steps, trainer.config) * factor


@pytest.mark.promise(
    5, "A fault that persists: three rollbacks, then the run ends with valid files"
)
def test_fault_that_comes_each_time(tmp_path, saved, counted, figure):
    count = counted(3, 100)
    for seed in range(count):
        random = Random(5000 + seed)
        directory = made(tmp_path / str(seed))
        trainer = Fault.any(random, FOR_EVER).into(trainer_of(random))
        with pytest.raises(DivergedError, match=r"after 3 rollbacks.*a new run with a lower `lr`"):
            list(train(trainer, directory))
        backs = [r for r in history.read(directory.history) if r["event"] == "rollback"]
        assert [back["rollbacks"] for back in backs] == [1, 2, 3]
        peak = trainer.config.peak_lr
        assert [back["peak_lr"] for back in backs] == [peak * LOWER**k for k in (1, 2, 3)]
        check_finite(directory.best)
        check_finite(directory.last)
    figure(f"{count} faults, {3 * count} rollbacks: {len(saved)} checkpoints, all finite")


@pytest.mark.promise(
    5, "A run that diverges, is stopped and resumed gives the same result as without the stop"
)
def test_stops_before_and_after_a_rollback(tmp_path, saved, counted, figure):
    count, stopped = counted(4, 150), {0: 0, 1: 0}
    for seed in range(count):
        ours, theirs = tmp_path / f"{seed}-stopped", tmp_path / f"{seed}"
        fault, stop = Fault.any(Random(9000 + seed)), Random(seed).randint(1, STEPS + 4)
        unbroken, broken = (fault.into(trainer_of(Random(seed))) for _ in range(2))
        list(train(unbroken, made(theirs)))
        records = sitting(broken, ours, stop)
        stopped[broken.progress.rollbacks] += 1
        while not isinstance(records[-1], Done):
            records = sitting(fault.into(resumed(ours)), ours, STEPS + 4)
        assert end_of(ours) == end_of(theirs), f"{fault}, stopped after {stop} steps"
    figure(
        f"{count} runs, stopped {stopped[0]} times before the rollback and {stopped[1]} times "
        "after it: bit-identical"
    )


def sitting(trainer: Trainer, path: Path, steps: int) -> list[Record]:
    """Train for at most a number of steps."""
    done = 0

    def should_stop() -> bool:
        return done >= steps

    records = []
    for record in train(trainer, made(path), should_stop):
        records.append(record)
        done += isinstance(record, Step)
    return records


def resumed(path: Path) -> Trainer:
    directory = RunDirectory(path)
    last = load(directory.last)
    return resume(last, Corpus.of(TEXT), best=load(directory.best), threads=1)


def end_of(path: Path) -> dict[str, Any]:
    """The result of a run after its rollback; a stop may detect the fault earlier."""
    left = whole(path)
    events = [record["event"] for record in left["history"]]
    return left | {"history": left["history"][events.index("rollback") + 1 :]}


RELU = ("train", "corpus.txt", "--cell", "rnn", "--activation", "relu", "--clip", 0)
TWO = ("--shards", 2, "--threads", 2)


@pytest.mark.promise(
    5,
    "A command that diverges: exit code 3 and a line that says what to try; the same with --resume",
)
@pytest.mark.parametrize("processes", [(), TWO], ids=["one process", "two"])
def test_command_that_diverges(charlm, processes, figure):
    ended = charlm(*RELU, *processes, "--lr", LR, "--json", "--out", "run")
    check_end(ended)
    backs = [record for record in ended.records if record["event"] == "rollback"]
    assert [back["rollbacks"] for back in backs] == [1, 2, 3]
    kept = events(charlm)
    assert kept.count("rollback") == 3
    for name in ("best.npz", "last.npz"):
        check_finite(charlm.folder / "run" / name)
    check_end(charlm("train", "--resume", "--out", "run", "--quiet"))
    check_end(charlm("train", "--resume", "--out", "run", "--quiet"))
    assert events(charlm) == kept
    assert charlm("sample", "run", "--length", 5).code == 0
    figure("three rollbacks, exit code 3; twice more with --resume: same end, same history")


def events(shell: Shell) -> list[str]:
    """The events in the history, without the starts of commands."""
    records = shell.history("run")
    return [record["event"] for record in records if record["event"] != "start"]


LR = 1234567890.5  # of a command that diverges whatever the rollbacks make of it


def check_end(ended: Ended) -> None:
    assert ended.code == 3
    said = [line for line in ended.err.splitlines() if line.startswith("charlm: ")]
    assert said == [ended.last_note]
    for words in (
        "training diverged at step",
        "after 3 rollbacks",
        f"start a new run with a lower --lr (it was {LR})",
        "--clip 1",
    ):
        assert words in said[0]


@pytest.mark.promise(5, "A learning rate that is several times too high: the command recovers")
def test_command_that_recovers(charlm, figure):
    command = (*RELU, "--optimizer", "sgd", "--lr", 100, "--steps", 40, "--out", "run")
    ended = charlm(*command)
    assert ended.code == 0
    history = charlm.history("run")
    backs = [record for record in history if record["event"] == "rollback"]
    assert backs
    lines = [line for line in ended.err.splitlines() if "training diverged" in line]
    for back, line in zip(backs, lines, strict=True):
        assert f"with a peak learning rate of {back['peak_lr']:g} " in line
    first = next(record for record in history if record["event"] == "eval")
    assert history[-1]["perplexity"] < first["val_perplexity"]
    figure(f"--lr 100 lowered to {backs[-1]['peak_lr']:g} in {len(backs)} rollbacks, exit code 0")
