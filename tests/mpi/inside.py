"""What happens on each rank, kept in a file of its own: inside.py FUNCTION [ARGUMENT …]"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from charlm.system.blas import set_up_blas

set_up_blas()

import numpy as np  # noqa: E402

from charlm import evaluation  # noqa: E402
from charlm.config import Budget, ModelConfig, TrainConfig  # noqa: E402
from charlm.distributed.mpi_group import MPIGroup  # noqa: E402
from charlm.distributed.process_group import ProcessGroup, join  # noqa: E402
from charlm.nn.model import CharLM  # noqa: E402
from charlm.text.corpus import Corpus  # noqa: E402
from charlm.text.id_sequences import IdFile  # noqa: E402
from charlm.training.trainer import Trainer  # noqa: E402


def reads(group: ProcessGroup) -> list[list[int]]:
    """The places of the text that are read to train on all of it, `[first, last + 1]` each."""
    config = TrainConfig(batch_size=10, seq_len=15, shards=4)
    trainer = Trainer(Corpus.read(["corpus.txt"]), ModelConfig("rnn", 3), config, group=group)
    trainer.plan(Budget(epochs=1))
    places, get = [], IdFile.__getitem__

    def look(self: IdFile, part: slice) -> Any:
        places.append([part.start, part.stop])
        return get(self, part)

    IdFile.__getitem__ = look  # type: ignore[method-assign]
    while trainer.progress.step < trainer.progress.steps:
        trainer.step()
    return places


def scores(group: ProcessGroup, streams: str, forgets: str) -> list[Any]:
    """The score of a text, and how many characters are read for it here."""
    if forgets == "no":
        evaluation.WARM_UP = 1
    model = CharLM(ModelConfig("gru", 7, bidirectional=True), 9)
    p = model.init_params(np.random.default_rng(0))
    ids = np.random.default_rng(1).integers(9, size=9_000)
    read: list[int] = []
    score = evaluation.score(
        model, p, ids, streams=int(streams), shards=4, group=group, progress=read.append
    )
    return [score.nats.hex(), score.characters, score.parts, score.reread, sum(read)]


def agrees(group: ProcessGroup) -> list[Any]:
    """What the ranks tell each other."""
    told = group.all_gather("ab" * group.rank)
    first = group.broadcast(lambda: group.rank)
    with open("turns", "a") as file:
        group.in_turn(lambda: print(group.rank, file=file, flush=True))
    return [told, first, Path("turns").read_text().split()]


def waits(group: ProcessGroup) -> bool:
    """Whether a rank that has worked for a while waits for one that has more to do."""
    assert isinstance(group, MPIGroup)
    group.timeout = 0.5
    group.all_gather(None)
    time.sleep(3.0 if group.rank == 0 else 1.5)
    return group.all_gather(True)[0]


def raises(group: ProcessGroup, which: str) -> list[str]:
    """What is raised on all ranks, when some fail in their turn."""

    def fail() -> None:
        if str(group.rank) in which:
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
