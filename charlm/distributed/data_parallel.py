"""The shards of a training step, carried by processes.

A batch is cut into a fixed number of shards, each process computes the gradients of some of
them with one BLAS thread, and the sums are taken in a fixed order. So the result depends on
the number of shards and not on who carried them.
"""

import math
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from charlm.config import ModelConfig
from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.reduction import add_up, nodes_within
from charlm.distributed.scheduling import deal, share, thread_map
from charlm.nn.cells import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import CACHE_LINE
from charlm.system.blas import blas_can_be_single
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.batches import Chunk

if TYPE_CHECKING:
    from charlm.distributed.worker_process import SharedMemory, Worker

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
        self.more: Params | None = None  # the gradients of a step's later chunks

    def loss_and_grad(
        self, chunks: Sequence[Chunk], state: State, seed: tuple[int, ...], scale: float
    ) -> tuple[float, State]:
        """The summed surprise of some chunks, and its gradient; see `CharLM.loss_and_grad`.

        Args:
            chunks: of the shard's streams, one after the other.
            state: before the first.
            seed: for what is drawn.
            scale: of the gradient.
        """
        rng = np.random.default_rng(seed)
        total, g = 0.0, self.g
        for x, y, after, is_first in chunks:
            keep = (rng.random((x.shape[1], 1)) >= RESET_PROBABILITY) & (not is_first)
            state = tuple(np.where(keep, part, 0) for part in state)
            with quiet_overflow():
                nats, state = self.model.loss_and_grad(
                    self.p, g, x, y, state, self.work, rng, scale, after
                )
                if g is not self.g:
                    self.g.flat += g.flat
            total += nats
            if len(chunks) > 1:
                g = self.more = self.more or self.g.zeros_like()
        if not all(np.isfinite(part).all() for part in state):
            total = math.nan  # the next chunk's would be
        return total, state


class DataParallel:
    """A batch's streams, dealt to shards, and the processes that carry them.

    Each rank carries some of the shards. Of these, this process carries the first and workers the
    others; workers carry all where BLAS would take several threads here, since that changes
    rounding. Where there can be no workers, threads carry the shards.

    Args:
        model: the model.
        p: its parameters, read at each step.
        batch_size: B, the streams of all shards.
        shards: how many parts; at most B.
        threads: how many carry this rank's shards at once; 0 for one a processor.
        ranks: who carries the others.
        in_order: whether gradients are summed in an order that does not depend on the ranks.

    Attributes:
        count: how many shards there are.
        streams: which of the batch's streams this rank's shards read.
    """

    def __init__(
        self,
        model: CharLM,
        p: Params,
        batch_size: int,
        shards: int,
        threads: int = 0,
        group: ProcessGroup = SINGLE_PROCESS,
        *,
        in_order: bool = True,
    ) -> None:
        self.model, self.p, self.group, self.batch_size = model, p, group, batch_size
        columns = deal(batch_size, shards)
        self.count = len(columns)
        shares = share(self.count, group.size)
        self.mine = shares[group.rank]
        mine = columns[self.mine.start : self.mine.stop]
        self.streams = slice(mine[0].start, mine[-1].stop) if mine else slice(0)
        first = self.streams.start or 0
        self.columns = [slice(each.start - first, each.stop - first) for each in mine]
        self.parts = _parts(len(mine), threads or group.cores)
        self._map = map if HAS_WORKERS else thread_map(len(mine), threads or group.cores)
        size = (1 + len(mine)) * _whole_lines(p.flat.size) * p.flat.itemsize
        self.memory = _shared_memory(size) if self.parts[1:] else None
        buffer = self.memory.buffer if self.memory else bytearray(size)
        self.shared, self.grads = _views(buffer, model, p.flat.dtype)
        self.total = self.grads[0] if group.size == 1 else p.zeros_like()
        nodes = [nodes_within(each, (0, self.count)) for each in shares]
        self.nodes = nodes[group.rank]
        self._exchange = group.exchange(nodes, self.total.flat, in_order=in_order)
        self.own = [Shard(model, p, self.grads[k]) for k in self.parts[0]]
        self.workers: list[Worker] = []
        weakref.finalize(self, _end, self.workers, self.memory)

    def loss_and_grad(
        self, chunks: Sequence[Chunk], state: State, seed: tuple[int, ...]
    ) -> tuple[float, Params, State]:
        """The mean surprise of what chunks predict, and its gradient, over all ranks.

        Args:
            chunks: one after the other, of this rank's streams.
            state: of these before the first, arrays `(B, features)`.
            seed: with the shard's number, seeds what the shard draws.

        Returns:
            Nats a character, the gradients (overwritten by the next call), the state after.

        Raises:
            WorkerError: a worker has ended.
            RankError: a rank does not answer.
        """
        characters = sum(len(chunk.x) for chunk in chunks) * self.batch_size
        tasks = [
            (
                [Chunk(c.x[:, k], c.y[:, k], c.after[:, k], c.is_first) for c in chunks],
                tuple(part[k] for part in state),
                (*seed, n),
                1 / characters,
            )
            for n, k in zip(self.mine, self.columns, strict=True)
        ]
        try:
            if self.memory:
                self._start_workers(self.memory)
                self.shared.flat[:] = self.p.flat
            results = self._carried(tasks)
        except BaseException:  # an interrupt, for one: answers that come later are nobody's
            _end(self.workers)
            raise
        self._add_up()
        everyone = self.group.all_gather([nats for nats, _ in results])
        if results:
            states = zip(*(after for _, after in results), strict=True)
            state = tuple(np.concatenate(parts) for parts in states)
        return sum(chain.from_iterable(everyone)) / characters, self.total, state

    def _add_up(self) -> None:
        """The gradients of all shards: as far as can be here, then together with the others."""
        with quiet_overflow():
            leaves = {(n, n + 1): g.flat for n, g in zip(self.mine, self.grads, strict=True)}
            self._exchange({node: add_up(leaves, node) for node in self.nodes})

    def _start_workers(self, memory: "SharedMemory") -> None:
        """At the first step, and at the next one after one was interrupted."""
        from charlm.distributed.worker_process import Worker

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
    parts = share(count, threads)[: max(1, count)]
    return parts if blas_can_be_single() else [range(0), *parts]


def _loss_and_grad(shard: Shard, task: tuple[Any, ...]) -> tuple[float, State]:
    return shard.loss_and_grad(*task)


def _whole_lines(numbers: int) -> int:
    """So many numbers, and what is missing to whole cache lines."""
    return -(-numbers // CACHE_LINE) * CACHE_LINE


def _shared_memory(size: int) -> "SharedMemory":
    from charlm.distributed.worker_process import SharedMemory

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
