"""The memory of a run does not grow with the number of its steps."""

import gc
import sys
from pathlib import Path

import pytest

from charlm.cli.training_display import Terminal
from charlm.training.events import Step
from charlm.training.loop import train
from charlm.training.run_directory import RunDirectory
from tests.helpers import small_trainer
from tests.reliability import only_full

FEW = 2_000  # steps, after which a run has all that it keeps
BLOCKS = 2_000  # of memory, which is less than one for each further step


def blocks_after(steps: int, out: Path | None) -> tuple[int, int]:
    """The blocks of memory that Python has after few steps of a run, and after all of them."""
    trainer = small_trainer(
        "rnn", hidden=1, steps=steps, seq_len=1, batch_size=1, eval_every=steps // 2 - 1
    )
    blocks = []
    with Terminal() as display:
        directory = RunDirectory(out) if out else None
        for record in train(trainer, directory, summary=display.summary):
            display.show(record)
            if isinstance(record, Step) and record.step in (FEW, steps):
                gc.collect()
                blocks.append(sys.getallocatedblocks())
    few, many = blocks
    return few, many


@pytest.mark.parametrize("has_files", [True, *only_full(False)])
@pytest.mark.parametrize("steps", [10 * FEW, *only_full(1_000_000)])
def test_memory_does_not_grow_with_the_steps(steps, has_files, tmp_path):
    few, many = blocks_after(steps, tmp_path if has_files else None)
    assert many - few < BLOCKS
