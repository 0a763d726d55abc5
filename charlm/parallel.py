"""The shards of a training step, carried by processes; streams to be scored, by threads.

A batch is cut into a fixed number of shards, each process computes the gradients of some of
them with one BLAS thread, and the sums are taken in a fixed order. So the result depends on
the number of shards and not on who carried them.
"""

import math
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from charlm import workers
from charlm.arrays import CACHE_LINE, Array
from charlm.cells import State
from charlm.config import BLAS_THREADS, ModelConfig
from charlm.model import CharLM
from charlm.params import Params
from charlm.workspace import Workspace

# Before a chunk each stream's state is reset to zeros with this probability. A model that has
# hardly ever started from zeros in the middle of a text may fall from there into a state that it
# never leaves; yet that is where every prompt and every text to be scored starts.
RESET_PROBABILITY = 0.02


def default_shards(batch_size: int) -> int:
    """Two shards, more where each still has 32 streams; one for less than eight streams."""
    return max(2, batch_size // 32) if batch_size >= 8 else 1


def available_cores() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blas_can_be_single() -> bool:
    """Whether BLAS can be kept to one thread in this process: by a variable, or threadpoolctl.

    Where neither holds, our threads would fight with BLAS's for processors, and one task after
    the other is many times faster.
    """
    names = (*BLAS_THREADS, "OMP_NUM_THREADS")
    return any(os.environ.get(n) == "1" for n in names) or bool(find_spec("threadpoolctl"))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread, where threadpoolctl is installed to do it."""
    with ExitStack() as stack:
        with suppress(ImportError):
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(1, user_api="blas"))
        yield


def deal(batch_size: int, shards: int) -> list[slice]:
    """The columns of a batch in as many parts of like size, at most one a column."""
    edges = np.linspace(0, batch_size, min(shards, batch_size) + 1).round().astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def thread_map(tasks: int, threads: int = 0) -> Callable[..., Iterable[Any]]:
    """A `map` that runs so many tasks at once on threads, 0 for one a processor."""
    count = min(threads or available_cores(), tasks) if blas_can_be_single() else 1
    return ThreadPoolExecutor(count).map if count > 1 else map


def quiet_overflow() -> np.errstate:
    """No warning of an overflow: what comes of it is looked at after each step."""
    return np.errstate(over="ignore", invalid="ignore")


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
        self, x: Array, y: Array, state: State, seed: tuple[int, ...], scale: float
    ) -> tuple[float, State]:
        """As for `CharLM`, after some streams have forgotten their state."""
        rng = np.random.default_rng(seed)
        keep = rng.random((x.shape[1], 1)) >= RESET_PROBABILITY
        state = tuple(part * keep for part in state)
        with quiet_overflow():
            return self.model.loss_and_grad(
                self.p, self.g, x, y, state, self.work, rng, scale=scale
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
        self.p = p
        self.columns = deal(batch_size, shards)
        count = len(self.columns)
        self.parts = _parts(count, threads)
        self._map = map if workers.AVAILABLE else thread_map(count, threads)
        kind = p.flat.dtype
        memory = workers.SharedMemory((1 + count) * _whole_lines(p.flat.size) * kind.itemsize)
        self.shared, self.grads = _shared(memory.buffer, model, kind)
        self.own = [Shard(model, p, self.grads[k]) for k in self.parts[0]]
        self.workers = [
            workers.Worker(memory, carry, model.config, model.vocabulary, kind, part)
            for part in self.parts[1:]
        ]
        memory.close_file()
        weakref.finalize(self, _close, self.workers)

    def loss_and_grad(
        self, x: Array, y: Array, state: State, seed: tuple[int, ...]
    ) -> tuple[float, Params, State]:
        """The mean surprise of y given x, and its gradient.

        Args:
            x: input ids `(T, B)`.
            y: the id that follows each, `(T, B)`.
            state: the streams' state before, arrays `(B, features)`.
            seed: with the shard's number, seeds what the shard draws.

        Returns:
            Nats a character, the gradients (overwritten by the next call), the state after.

        Raises:
            WorkerError: a worker has ended.
        """
        if self.workers:
            self.shared.flat[:] = self.p.flat
        tasks = [
            (x[:, part], y[:, part], tuple(s[part] for s in state), (*seed, k), 1 / x.size)
            for k, part in enumerate(self.columns)
        ]
        try:
            nats, states = zip(*self._carried(tasks), strict=True)
        except BaseException:  # an interrupt, for one: answers that come later are nobody's
            _close(self.workers)
            raise
        total = self.grads[0]
        for g in self.grads[1:]:
            total.flat += g.flat
        merged = tuple(np.concatenate(parts) for parts in zip(*states, strict=True))
        return sum(nats) / x.size, total, merged

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
    if not workers.AVAILABLE:
        return [range(count)]
    parts = [range(p.start, p.stop) for p in deal(count, threads or available_cores())]
    return parts if blas_can_be_single() else [range(0), *parts]


def _loss_and_grad(shard: Shard, task: tuple[Any, ...]) -> tuple[float, State]:
    return shard.loss_and_grad(*task)


def _whole_lines(numbers: int) -> int:
    """So many numbers, and what is missing to whole cache lines."""
    return -(-numbers // CACHE_LINE) * CACHE_LINE


def _shared(buffer: Any, model: CharLM, dtype: DTypeLike) -> tuple[Params, list[Params]]:
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
    p, grads = _shared(buffer, model, dtype)
    shards = [Shard(model, p, grads[k]) for k in part]
    return lambda tasks: list(map(_loss_and_grad, shards, tasks))


def _close(running: list[workers.Worker]) -> None:
    for worker in running:
        worker.close()
