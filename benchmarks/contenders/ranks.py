"""Steps of training on the processes that mpiexec started, timed part by part.

`mpiexec -n N python -m benchmarks.contenders.ranks SETTINGS`, also with N = 1 and without mpiexec;
SETTINGS are those of `measure`, as JSON. Rank 0 prints what came out as a line of JSON. The
variables of BLAS are set by whoever starts it.

A step has five parts, of which all but the first and the last are there with several ranks only:

    compute     chunks, forward, backward, the sum of the shards that this rank carries
    wait        until all ranks are there, where that is measured apart
    exchange    the sums of all ranks are moved and added; the waiting too, where it is not apart
    gather      each rank gets the losses of all
    update      clipping and the optimiser, on all parameters, the same on each rank
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.contenders import blas, data
from benchmarks.tasks import Task
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.distributed.join import join
from charlm.distributed.process_group import ProcessGroup
from charlm.distributed.reduction import add_up
from charlm.system.arrays import Array
from charlm.text.corpus import Corpus
from charlm.training.trainer import Trainer

PARTS = ("compute", "wait", "exchange", "gather", "update")
TRIES = 9  # of what is measured beside steps
MESSAGES = 200  # one after the other, for a latency
LEAVES = 1024  # of a sum, to time what a node of its tree costs beside the addition


class Clock:
    """A trainer whose steps tell how long each part took on this rank.

    Args:
        trainer: its shards and its ranks are wrapped.

    Attributes:
        apart: whether ranks wait for each other before they exchange, to tell the one time from
            the other.
        loss: of the last step.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.ranks, self.apart, self.loss = trainer, trainer.ranks, False, 0.0
        self.marks: list[float] = []
        self._exchange, self._gather = trainer.shards._exchange, trainer.ranks.all_gather
        trainer.shards._exchange = self.exchange
        trainer.ranks.all_gather = self.all_gather  # type: ignore[method-assign]

    def exchange(self, sums: Any) -> None:
        """As that of the shards."""
        self._mark()
        if self.apart:
            wait_for_all(self.ranks)
        self._mark()
        self._exchange(sums)
        self._mark()

    def all_gather(self, value: Any) -> list[Any]:
        """As that of the ranks."""
        result = self._gather(value)
        self._mark()
        return result

    def steps(self, count: int, *, apart: bool = False) -> list[list[list[float]]]:
        """Make so many steps; of each rank and each step, the seconds of its parts."""
        self.apart = apart
        mine = [self._step() for _ in range(count)]
        return self._gather(mine)

    def _step(self) -> list[float]:
        self.marks.clear()
        self._mark()
        self.loss = self.trainer.step().nats_per_char
        self._mark()
        return np.diff(self.marks).tolist()

    def _mark(self) -> None:
        self.marks.append(time.perf_counter())


def wait_for_all(ranks: Any) -> None:
    """A barrier, if there are several ranks."""
    if ranks.size > 1:
        ranks.wait(ranks.world.Ibarrier())


def measure(
    ranks: ProcessGroup,
    task: dict[str, Any],
    *,
    threads: int,
    shards: int,
    in_order: bool,
    steps: int,
    apart: int,
    beside: bool,
) -> dict[str, Any]:
    """The parts of steps on all ranks, first as they are, then with the waiting apart.

    Args:
        ranks: the processes.
        task: fields of `Task`.
        threads: of each rank.
        shards: of the batch.
        in_order: how the ranks' sums are added.
        steps: how many, as they are.
        apart: how many with the waiting apart.
        beside: whether to time messages and additions alone as well.
    """
    shape = Task(**task)
    config = replace(data.train_config(shape, shards), in_order=in_order)
    trainer = _trainer(shape, ranks, threads, config)
    clock = Clock(trainer)
    clock.steps(1)
    found = {
        "plain": clock.steps(steps),
        "apart": clock.steps(apart, apart=True),
        "characters": shape.characters,
        "parameters": trainer.p.flat.size,
        "weights": crc32(trainer.p.flat.tobytes()),
        "loss": clock.loss,
        "kernels": blas.kernels(),
    }
    if beside:
        p = trainer.p.flat
        found |= {"add": _addition(p), "node": _node(), **_link(ranks, p)}
    return found


def _trainer(task: Task, ranks: ProcessGroup, threads: int, config: TrainConfig) -> Trainer:
    """A trainer on random text; it has no end."""
    text = data.text(task.characters * data.CHUNKS + 1 + data.HELD_OUT, task.vocabulary)
    model = ModelConfig(task.cell, task.hidden, task.layers)
    trainer = Trainer(Corpus.of(text), model, config, threads=threads, ranks=ranks)
    trainer.plan(Budget(steps=10**9))
    return trainer


def _median(action: Callable[[], object]) -> float:
    """The seconds that something takes, after a first time that does not count."""
    seconds = []
    for _ in range(1 + TRIES):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))


def _addition(p: Array) -> float:
    """Seconds to add a number to another, in vectors as long as the model's."""
    a, b = np.ones_like(p), np.ones_like(p)
    return _median(lambda: np.add(a, b, out=a)) / p.size


def _node() -> float:
    """Seconds that a node of the tree of sums takes beside the addition itself."""
    parts = {(n, n + 1): np.ones(1, np.float32) for n in range(LEAVES)}
    return _median(lambda: add_up(parts, (0, LEAVES))) / (LEAVES - 1)


def _link(ranks: Any, p: Array) -> dict[str, float]:
    """Between two ranks: seconds of a short message, bytes a second both ways at once."""
    other = 1 - ranks.rank

    def swap(send: Array, receive: Array) -> None:
        ranks.wait(ranks.world.Irecv(receive, other), ranks.world.Isend(send, other))

    short, long = p[:2], p[: p.size // 2]
    came = np.empty_like(long)
    wait_for_all(ranks)
    latency = _median(lambda: [swap(short, came[:2]) for _ in range(MESSAGES)]) / MESSAGES
    return {"latency": latency, "bandwidth": long.nbytes / _median(lambda: swap(long, came))}


def main() -> None:
    """Measure, and print."""
    ranks = join(timeout=60)
    found = measure(ranks, **json.loads(sys.argv[1]))
    if ranks.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
