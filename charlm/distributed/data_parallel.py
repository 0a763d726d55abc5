"""Data parallelism: a training step split into shards that several processes compute.

A batch is split into a fixed number of shards. Each process computes the gradients of some shards
with one BLAS thread, and the gradients are summed in a fixed order. The result depends on the
number of shards, but not on the number of processes.
"""

import os
import sys
import weakref
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.reduction import add_up, nodes_within
from charlm.distributed.scheduling import deal, share, thread_map
from charlm.distributed.shard import Result, Shard, Task, buffer_size, shard_worker, views
from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.system.blas import blas_can_be_single
from charlm.system.kernels import blocks_in_use
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.batches import Chunk

if TYPE_CHECKING:
    from charlm.distributed.worker_process import SharedMemory, Worker

# On Windows a new process cannot inherit an open file, and a frozen program has no interpreter
# to start. There, threads compute the shards.
HAS_WORKERS = os.name == "posix" and bool(sys.executable) and not hasattr(sys, "frozen")


class DataParallel:
    """Splits a batch into shards and computes its loss and gradient in several processes.

    Each rank computes some of the shards. This process computes the first of them and worker
    processes the rest. If BLAS would use several threads in this process, which changes rounding,
    workers compute all of them. On platforms without worker processes, threads compute the shards.

    Args:
        model: the model.
        p: its parameters, read at each step.
        batch_size: B, the number of streams of all shards.
        shards: the number of shards; at most B are made.
        threads: how many shards this rank computes at once, of those it has; 0 for one per core.
        group: the ranks that share the shards.
        in_order: whether to sum gradients in an order that does not depend on the ranks.
        newline: as for `Shard`.

    Attributes:
        count: the number of shards.
        threads: how many shards this rank computes at once.
        streams: the streams of the batch that the shards of this rank read.
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
        newline: int | None = None,
    ) -> None:
        self.model, self.p, self.group, self.batch_size = model, p, group, batch_size
        self.newline = newline
        columns = deal(batch_size, shards)
        self.count = len(columns)
        shares = share(self.count, group.size)
        self.mine = shares[group.rank]
        mine = columns[self.mine.start : self.mine.stop]
        self.streams = slice(mine[0].start, mine[-1].stop) if mine else slice(0)
        first = self.streams.start or 0
        self.columns = [slice(each.start - first, each.stop - first) for each in mine]
        self.threads = threads or group.cores
        self.parts = _parts(len(mine), self.threads)
        self._map = None if HAS_WORKERS else thread_map(len(mine), self.threads)
        size = buffer_size(p, len(mine))
        self.memory = _shared_memory(size) if self.parts[1:] else None
        buffer = self.memory.buffer if self.memory else bytearray(size)
        self.shared, self.grads = views(buffer, model, p.flat.dtype)
        self.total = self.grads[0] if group.size == 1 else p.zeros_like()
        nodes = [nodes_within(each, (0, self.count)) for each in shares]
        self.nodes = nodes[group.rank]
        self._all_reduce = group.make_all_reduce(nodes, self.total.flat, in_order=in_order)
        self.own = [Shard(model, p, self.grads[k], newline) for k in self.parts[0]]
        self.workers: list[Worker] = []
        weakref.finalize(self, _close, self.workers, self.memory)

    def loss_and_grad(
        self, chunks: Sequence[Chunk], state: State, seed: tuple[int, ...]
    ) -> tuple[float, Params, State]:
        """Compute the mean NLL of consecutive chunks and its gradient, over all ranks.

        Args:
            chunks: consecutive chunks of this rank's streams.
            state: the state of these streams before the first chunk, arrays `(B, features)`.
            seed: with the index of a shard, seeds the random numbers of that shard.

        Returns:
            The mean NLL in nats per character, 0 if only texts begin and nothing is predicted; the
            gradient, which the next call overwrites; the state after the last chunk.

        Raises:
            WorkerError: a worker process has ended or failed.
            LostRankError: another rank does not respond.
        """
        positions = sum(len(chunk.x) for chunk in chunks) * self.batch_size
        tasks: list[Task] = [
            (
                [chunk.columns(k) for chunk in chunks],
                tuple(part[k] for part in state),
                (*seed, n),
                1 / positions,
            )
            for n, k in zip(self.mine, self.columns, strict=True)
        ]
        results: list[Result] = []
        try:
            if self.memory:
                self._start_workers(self.memory)
                self.shared.flat[:] = self.p.flat
            for worker, part in zip(self.workers, self.parts[1:], strict=True):
                worker.submit([tasks[k] for k in part])
            if self._map:
                results += self._map(lambda k: self.own[k].loss_and_grad(*tasks[k]), self.parts[0])
            else:
                for k in self.parts[0]:
                    results.append(self.own[k].loss_and_grad(*tasks[k]))
            for worker in self.workers:
                results += worker.result()
        except BaseException:  # an interrupt too: discard results that workers have yet to send
            _close(self.workers)
            raise
        self._sum_gradients()
        characters = sum(chunk.characters for chunk in chunks)
        everyone = self.group.all_gather(([nats for nats, _ in results], characters))
        if results:
            states = zip(*(after for _, after in results), strict=True)
            state = tuple(np.concatenate(parts) for parts in states)
        nats = sum(chain.from_iterable(nats for nats, _ in everyone))
        predicted = sum(characters for _, characters in everyone)
        return nats / max(1, predicted), self.total, state

    def _sum_gradients(self) -> None:
        """Sum the gradients of this rank's shards along the tree, then those of all ranks."""
        with quiet_overflow():
            leaves = {(n, n + 1): g.flat for n, g in zip(self.mine, self.grads, strict=True)}
            self._all_reduce({node: add_up(leaves, node) for node in self.nodes})

    def _start_workers(self, memory: "SharedMemory") -> None:
        """Start the worker processes, unless they run: an interrupted step ends them."""
        from charlm.distributed.worker_process import Worker

        if not self.workers:
            for part in self.parts[1:]:
                arguments = (self.model, self.newline, self.p.flat.dtype, part, blocks_in_use())
                self.workers.append(Worker(memory, shard_worker, *arguments))


def _parts(count: int, threads: int) -> list[range]:
    """Return the shards of each process of this rank; the first part is that of this process."""
    if not HAS_WORKERS:
        return [range(count)]
    parts = share(count, min(threads, max(1, count)))
    return parts if blas_can_be_single() else [range(0), *parts]


def _shared_memory(size: int) -> "SharedMemory":
    from charlm.distributed.worker_process import SharedMemory

    return SharedMemory(size)


def _close(workers: "list[Worker]", memory: "SharedMemory | None" = None) -> None:
    """End the worker processes and close the file of their memory."""
    while workers:
        workers.pop().close()
    if memory:
        memory.close_file()
