"""Long runs: memory does not grow with the number of steps, nor with the length of the history."""

import gc
import json
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from charlm import Budget
from charlm.cli.training_display import Terminal
from charlm.training import history
from charlm.training.budget import plan
from charlm.training.events import Done, Record, Step
from charlm.training.loop import train
from charlm.training.run_directory import RunDirectory
from charlm.training.summary import Summary
from charlm.training.trainer import Trainer
from tests.helpers import resumed, run, small_trainer

FEW = 2_000  # steps, after which a run has all that it keeps
BLOCKS = 2_000  # of memory, far fewer than one for each further step


def shown(trainer: Trainer, out: Path | None) -> Iterator[Record]:
    """The events of a run that is displayed as the command does."""
    with Terminal() as terminal:
        directory = RunDirectory(out) if out else None
        for record in train(trainer, directory, summary=terminal.summary):
            terminal.show(record)
            yield record


@pytest.mark.promise(13, "The memory of a run does not grow with the number of its steps")
def test_many_steps(tmp_path, counted, figure):
    steps = counted(10 * FEW, 1_000_000)
    size = {"hidden": 1, "seq_len": 1, "batch_size": 1}
    trainer = small_trainer("rnn", steps=steps, eval_every=steps // 2 - 1, **size)
    blocks = {}
    for record in shown(trainer, tmp_path):
        if isinstance(record, Step) and record.step in (FEW, steps):
            gc.collect()
            blocks[record.step] = sys.getallocatedblocks()
    more = blocks[steps] - blocks[FEW]
    assert more < BLOCKS
    figure(
        f"{blocks[FEW]:,} blocks of memory after {FEW:,} steps, {more:,} more after {steps:,} steps"
    )


def extend(path: Path, lines: int) -> None:
    """Make a history longer by repeating its first step, with a few evaluations."""
    with path.open() as file:
        start, first, step, *rest = file
    with path.open("w") as file:
        file.writelines([start, first])
        for _ in range(10):
            file.writelines([step] * (lines // 10))
            file.write(first)
        file.writelines(rest)


@contextmanager
def little_memory(most: int) -> Iterator[list[int]]:
    """Check the peak memory of what is done, in bytes, and yield a list for it."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peak[0] < most


@pytest.mark.promise(13, "A history of any length is read, and its run resumed, in little memory")
def test_long_history(tmp_path, counted, figure):
    lines = counted(20_000, 1_000_000)
    path = tmp_path / "history.jsonl"
    run(small_trainer(), tmp_path)
    extend(path, lines)
    with little_memory(1_000_000) as reading:
        assert history.last(path)["event"] == Done.event
        assert sum(1 for _ in history.read(path)) > lines
        summary = history.rewind(path, 16, 0, Summary())
    assert summary.train.count == lines + 15
    assert history.last(path)["event"] == "eval"
    with little_memory(8_000_000) as resuming:
        trainer = resumed(tmp_path)
        plan(trainer, Budget(steps=18))
        *_, done = shown(trainer, tmp_path)
    assert isinstance(done, Done)
    assert json.loads(path.read_text().splitlines()[-1]) == done.as_dict()
    figure(
        f"{lines:,} lines: {reading[0] / 1e6:.2f} MB to read them, {resuming[0] / 1e6:.2f} MB to "
        "resume the run"
    )
