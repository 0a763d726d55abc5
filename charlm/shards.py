"""The shards of a training step, carried by processes.

A batch is cut into a fixed number of shards, each process computes the gradients of some of
them with one BLAS thread, and the sums are taken in a fixed order. So the result depends on
the number of shards and not on who carried them.
"""

import math
import os
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from charlm.arrays import CACHE_LINE, Array
from charlm.cells import State
from charlm.config import ModelConfig
from charlm.model import CharLM
from charlm.ops import quiet_overflow
from charlm.parallel import available_cores, blas_can_be_single, deal, thread_map
from charlm.params import Params
from charlm.workspace import Workspace

if TYPE_CHECKING:
    from charlm.workers import SharedMemory, Worker

# Windows hands no open file to a new process, and a frozen program has no interpreter to start.
HAS_WORKERS = os.name == "posix" and bool(sys.executable) and not hasattr(sys, "frozen")

# Before a chunk each stream's state is reset to zeros with this probability. A model that has
# hardly ever started from zeros in the middle of a text may fall from there into a state that it
# never leaves; yet that is where every prompt and every text to be scored starts.
RESET_PROBABILITY = 0.02


class Shard:
    """A part of the batch: its gradients and its scratch memory.

    Args:
        model: the model.
        p: its parameters, read at each step.
        g: takes the gradients.
    """

    def __init__(self, model: CharLM, p: Params, g: Params) -> None:
        self.model, self.p, self.g = model, p, g
        self.work = Workspace(p.flat.dtype)

    def loss_and_grad(
        self,
        x: Array,
        y: Array,
        state: State,
        seed: tuple[int, ...],
        scale: float,
        after: Array,
    ) -> tuple[float, State]:
        """As for `CharLM`, after some streams have forgotten their state."""
        rng = np.random.default_rng(seed)
        keep = rng.random((x.shape[1], 1)) >= RESET_PROBABILITY
        state = tuple(part * keep for part in state)
        with quiet_overflow():
            return self.model.loss_and_grad(
                self.p, self.g, x, y, state, self.work, rng, scale, after
            )


class Shards:
    """A batch's streams, dealt to shards, and the processes that carry them.

    This process carries the first shards and workers the others; workers carry all where BLAS
    would take several threads here, since that changes rounding. Where there can be no workers,
    threads carry the shards.

    Args:
        model: the model.
        p: its parameters, read at each step.
        batch_size: B, the columns of a batch of ids.
        shards: how many parts; at most B.
        threads: how many carry them at once; 0 for one a processor.
    """

    def __init__(
        self, model: CharLM, p: Params, batch_size: int, shards: int, threads: int = 0
    ) -> None:
        self.model, self.p = model, p
        self.columns = deal(batch_size, shards)
        self.parts = _parts(len(self.columns), threads)
        self._map = map if HAS_WORKERS else thread_map(len(self.columns), threads)
        size = (1 + len(self.columns)) * _whole_lines(p.flat.size) * p.flat.itemsize
        self.memory = _shared_memory(size) if self.parts[1:] else None
        buffer = self.memory.buffer if self.memory else bytearray(size)
        self.shared, self.grads = _views(buffer, model, p.flat.dtype)
        self.own = [Shard(model, p, self.grads[k]) for k in self.parts[0]]
        self.workers: list[Worker] = []
        weakref.finalize(self, _end, self.workers, self.memory)

    def loss_and_grad(
        self, x: Array, y: Array, state: State, seed: tuple[int, ...], after: Array | None = None
    ) -> tuple[float, Params, State]:
        """The mean surprise of y given x, and its gradient.

        Args:
            x: input ids `(T, B)`.
            y: the id that follows each, `(T, B)`.
            state: the streams' state before, arrays `(B, features)`.
            seed: with the shard's number, seeds what the shard draws.
            after: ids that follow y, `(R, B)`, for a bidirectional model.

        Returns:
            Nats a character, the gradients (overwritten by the next call), the state after.

        Raises:
            WorkerError: a worker has ended.
        """
        after = x[:0] if after is None else after
        tasks = [
            (x[:, k], y[:, k], tuple(s[k] for s in state), (*seed, n), 1 / x.size, after[:, k])
            for n, k in enumerate(self.columns)
        ]
        try:
            if self.memory:
                self._start_workers(self.memory)
                self.shared.flat[:] = self.p.flat
            nats, states = zip(*self._carried(tasks), strict=True)
        except BaseException:  # an interrupt, for one: answers that come later are nobody's
            _end(self.workers)
            raise
        total = self.grads[0]
        for g in self.grads[1:]:
            total.flat += g.flat
        merged = tuple(np.concatenate(parts) for parts in zip(*states, strict=True))
        return sum(nats) / x.size, total, merged

    def _start_workers(self, memory: "SharedMemory") -> None:
        """At the first step, and at the next one after one was interrupted."""
        from charlm.workers import Worker

        if not self.workers:
            config, vocabulary = self.model.config, self.model.vocabulary
            for part in self.parts[1:]:
                arguments = (carry, config, vocabulary, self.p.flat.dtype, part)
                self.workers.append(Worker(memory, *arguments))

    def _carried(self, tasks: list[tuple[Any, ...]]) -> list[tuple[float, State]]:
        """The results of all tasks, in their order."""
        for worker, part in zip(self.workers, self.parts[1:], strict=True):
            worker.ask([tasks[k] for k in part])
        results = list(self._map(_loss_and_grad, self.own, tasks[: len(self.own)]))
        for worker in self.workers:
            results += worker.answer()
        return results


def _parts(count: int, threads: int) -> list[range]:
    """Which shards each process carries, this one first."""
    if not HAS_WORKERS:
        return [range(count)]
    parts = [range(p.start, p.stop) for p in deal(count, threads or available_cores())]
    return parts if blas_can_be_single() else [range(0), *parts]


def _loss_and_grad(shard: Shard, task: tuple[Any, ...]) -> tuple[float, State]:
    return shard.loss_and_grad(*task)


def _whole_lines(numbers: int) -> int:
    """So many numbers, and what is missing to whole cache lines."""
    return -(-numbers // CACHE_LINE) * CACHE_LINE


def _shared_memory(size: int) -> "SharedMemory":
    from charlm.workers import SharedMemory

    return SharedMemory(size)


def _views(buffer: Any, model: CharLM, dtype: DTypeLike) -> tuple[Params, list[Params]]:
    """What the processes share: the weights, and each shard's gradients."""
    shapes = model.shapes()
    size = sum(math.prod(shape) for shape in shapes.values())
    p, *grads = np.frombuffer(buffer, dtype).reshape(-1, _whole_lines(size))[:, :size]
    return Params(shapes, flat=p), [Params(shapes, flat=g) for g in grads]


def carry(
    buffer: Any, config: ModelConfig, vocabulary: int, dtype: DTypeLike, part: range
) -> Callable[[list[tuple[Any, ...]]], list[tuple[float, State]]]:
    """What a worker does: the gradients of some shards."""
    model = CharLM(config, vocabulary)
    p, grads = _views(buffer, model, dtype)
    shards = [Shard(model, p, grads[k]) for k in part]
    return lambda tasks: list(map(_loss_and_grad, shards, tasks))


def _end(workers: "list[Worker]", memory: "SharedMemory | None" = None) -> None:
    """End the workers, and give back the file of their memory."""
    while workers:
        workers.pop().close()
    if memory:
        memory.close_file()
