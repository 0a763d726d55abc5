"""Training steps on MPI ranks, timed in parts.

`mpiexec -n N python -m benchmarks.contenders.ranks SETTINGS`, also with N = 1 and without mpiexec.
SETTINGS are the arguments of `measure` as JSON. Rank 0 prints the result as a line of JSON. The
caller sets the environment variables of BLAS.

A step has five parts; wait, exchange and gather occur with several ranks only:

    compute     chunks, forward, backward, the sum over the shards of this rank
    wait        barrier before the exchange, if waiting is measured separately
    exchange    all-reduce of the gradients; includes waiting if there is no barrier
    gather      all-gather of the losses
    update      clipping and the optimizer, on all parameters, the same on each rank
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.contenders import data
from benchmarks.tasks import Task
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.distributed.join import join
from charlm.distributed.process_group import ProcessGroup
from charlm.distributed.reduction import add_up
from charlm.system.arrays import Array
from charlm.system.kernels import kernels
from charlm.training.budget import plan
from charlm.training.setup import set_up
from charlm.training.trainer import Trainer

PARTS = ("compute", "wait", "exchange", "gather", "update")
TRIES = 9  # repetitions of each measurement other than steps
MESSAGES = 200  # in sequence, to measure latency
LEAVES = 1024  # of a sum, to measure the overhead per node of its tree


class Clock:
    """Times the parts of the steps of a trainer on this rank.

    Args:
        trainer: the trainer; the methods of its shards and its group that communicate are wrapped.

    Attributes:
        apart: whether a barrier before the exchange separates waiting from exchanging.
        loss: the loss of the last step.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.group, self.apart, self.loss = trainer, trainer.group, False, 0.0
        self.marks: list[float] = []
        self._all_reduce, self._gather = trainer.parallel._all_reduce, trainer.group.all_gather
        trainer.parallel._all_reduce = self.all_reduce
        trainer.group.all_gather = self.all_gather  # type: ignore[method-assign]

    def all_reduce(self, sums: Any) -> None:
        """The all-reduce of the shards, timed."""
        self._mark()
        if self.apart:
            barrier(self.group)
        self._mark()
        self._all_reduce(sums)
        self._mark()

    def all_gather(self, value: Any) -> list[Any]:
        """The all-gather of the group, timed."""
        result = self._gather(value)
        self._mark()
        return result

    def steps(self, count: int, *, apart: bool = False) -> list[list[list[float]]]:
        """Make `count` steps; return the seconds of the parts by rank and step."""
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


def barrier(group: Any) -> None:
    """Wait for all ranks, if there are several."""
    if group.size > 1:
        group.wait(group.world.Ibarrier())


def measure(
    group: ProcessGroup,
    task: dict[str, Any],
    *,
    threads: int,
    shards: int,
    in_order: bool,
    steps: int,
    apart: int,
    beside: bool,
) -> dict[str, Any]:
    """The parts of steps on all ranks, first without a barrier, then with one.

    Args:
        group: the process group.
        task: fields of `Task`.
        threads: threads per rank.
        shards: shards of the batch.
        in_order: whether the sums of the ranks are added in a fixed order.
        steps: steps without a barrier.
        apart: steps with a barrier.
        beside: whether to measure messages and additions by themselves as well.
    """
    shape = Task(**task)
    config = replace(data.train_config(shape, shards), in_order=in_order)
    trainer = _trainer(shape, group, threads, config)
    clock = Clock(trainer)
    clock.steps(1)
    found = {
        "plain": clock.steps(steps),
        "apart": clock.steps(apart, apart=True),
        "characters": shape.characters,
        "parameters": trainer.p.flat.size,
        "weights": crc32(trainer.p.flat.tobytes()),
        "loss": clock.loss,
        "kernels": kernels().name,
    }
    if beside:
        p = trainer.p.flat
        found |= {"add": _addition(p), "node": _node(), **_link(group, p)}
    return found


def _trainer(task: Task, group: ProcessGroup, threads: int, config: TrainConfig) -> Trainer:
    """A trainer on random text."""
    model = ModelConfig(task.cell, task.hidden, task.layers)
    trainer = set_up(data.corpus(task), model, config, threads=threads, group=group)
    plan(trainer, Budget(steps=10**9))
    return trainer


def _median(action: Callable[[], object]) -> float:
    """The median seconds of an action; the first call is ignored."""
    seconds = []
    for _ in range(1 + TRIES):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))


def _addition(p: Array) -> float:
    """Seconds per addition, in vectors as long as the parameters."""
    a, b = np.ones_like(p), np.ones_like(p)
    return _median(lambda: np.add(a, b, out=a)) / p.size


def _node() -> float:
    """Overhead in seconds per node of the tree of sums, without the addition."""
    parts = {(n, n + 1): np.ones(1, np.float32) for n in range(LEAVES)}
    return _median(lambda: add_up(parts, (0, LEAVES))) / (LEAVES - 1)


def _link(group: Any, p: Array) -> dict[str, float]:
    """Latency in seconds and bandwidth in bytes per second, both ways at once, of two ranks."""
    other = 1 - group.rank

    def swap(send: Array, receive: Array) -> None:
        group.wait(group.world.Irecv(receive, other), group.world.Isend(send, other))

    short, long = p[:2], p[: p.size // 2]
    came = np.empty_like(long)
    barrier(group)
    latency = _median(lambda: [swap(short, came[:2]) for _ in range(MESSAGES)]) / MESSAGES
    return {"latency": latency, "bandwidth": long.nbytes / _median(lambda: swap(long, came))}


def main() -> None:
    """Measure and print the result."""
    group = join(timeout=60)
    found = measure(group, **json.loads(sys.argv[1]))
    if group.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
