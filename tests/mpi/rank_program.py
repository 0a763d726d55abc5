"""Call a function on each rank and write its result to RANK.json.

mpiexec -n N python rank_program.py FUNCTION [ARGUMENT ...]
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from charlm.system.blas import set_up_blas

set_up_blas()

import numpy as np  # noqa: E402

from charlm.config import Budget, ModelConfig, TrainConfig  # noqa: E402
from charlm.distributed.join import join  # noqa: E402
from charlm.distributed.mpi_group import MPIGroup  # noqa: E402
from charlm.distributed.process_group import ProcessGroup  # noqa: E402
from charlm.inference import parts, scoring  # noqa: E402
from charlm.nn.model import CharLM  # noqa: E402
from charlm.text.corpus import Corpus  # noqa: E402
from charlm.text.id_sequences import IdFile  # noqa: E402
from charlm.training.budget import plan  # noqa: E402
from charlm.training.setup import set_up  # noqa: E402


def reads(group: ProcessGroup) -> list[list[int]]:
    """Train on all of the text; return the ranges `[start, stop]` of it that are read."""
    config = TrainConfig(batch_size=10, seq_len=15, shards=4)
    trainer = set_up(Corpus.read(["corpus.txt"]), ModelConfig("rnn", 3), config, group=group)
    plan(trainer, Budget(epochs=1))
    ranges, get = [], IdFile.__getitem__

    def recorded(self: IdFile, part: slice) -> Any:
        ranges.append([part.start, part.stop])
        return get(self, part)

    IdFile.__getitem__ = recorded  # type: ignore[method-assign]
    while trainer.progress.step < trainer.progress.steps:
        trainer.step()
    return ranges


def scores(group: ProcessGroup, streams: str, warm_up: str) -> list[Any]:
    """Score a text; return the score and the number of characters that this rank reads."""
    parts.WARM_UP = int(warm_up)
    model = CharLM(ModelConfig("gru", 7, bidirectional=True), 9)
    p = model.init_params(np.random.default_rng(0))
    ids = np.random.default_rng(1).integers(9, size=9_000)
    read: list[int] = []
    score = scoring.score(
        model, p, ids, streams=int(streams), shards=4, group=group, progress=read.append
    )
    return [score.nats.hex(), score.characters, score.parts, score.reread, sum(read)]


def collectives(group: ProcessGroup) -> list[Any]:
    """Return an all-gathered and a broadcast value, and the order in which ranks take turns."""
    gathered = group.all_gather("ab" * group.rank)
    first = group.broadcast(lambda: group.rank)
    with open("turns", "a") as file:
        group.in_turn(lambda: print(group.rank, file=file, flush=True))
    return [gathered, first, Path("turns").read_text().split()]


def waits(group: ProcessGroup) -> bool:
    """Return whether a rank waits past its time limit if it has worked itself."""
    assert isinstance(group, MPIGroup)
    group.timeout = 0.5
    group.all_gather(None)
    time.sleep(3.0 if group.rank == 0 else 1.5)
    return group.all_gather(True)[0]


def raises(group: ProcessGroup, ranks: str) -> list[str]:
    """Return what this rank raises if an action fails on some ranks, such as `02`."""

    def fail() -> None:
        if str(group.rank) in ranks:
            raise ValueError(f"rank {group.rank}")

    raised = []
    for call in (group.broadcast, group.in_turn):
        try:
            call(fail)
        except ValueError as error:
            raised.append(str(error))
    return raised


if __name__ == "__main__":
    group = join()
    result = globals()[sys.argv[1]](group, *sys.argv[2:])
    Path(f"{group.rank}.json").write_text(json.dumps(result))
