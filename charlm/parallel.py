"""The shards of a training step, carried by threads.

A batch is cut into a fixed number of shards, each thread computes the gradients of some of
them with one BLAS thread, and the sums are taken in a fixed order. So the result depends on
the number of shards and not on the number of threads. NumPy lets go of the interpreter's lock
while it computes, so the threads do run at once.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.cells import State
from charlm.config import BLAS_THREADS
from charlm.model import CharLM
from charlm.params import Params
from charlm.workspace import Workspace

Array = NDArray[Any]

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
    """Whether each of our threads can have one BLAS thread: by a variable, or threadpoolctl.

    Where neither holds, shards on threads of their own would fight with BLAS's for processors,
    and one after the other is many times faster.
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
    workers = min(threads or available_cores(), tasks) if blas_can_be_single() else 1
    return ThreadPoolExecutor(workers).map if workers > 1 else map


def quiet_overflow() -> np.errstate:
    """No warning of an overflow: what comes of it is looked at after each step."""
    return np.errstate(over="ignore", invalid="ignore")


class Shards:
    """A batch's columns, dealt to shards, and the threads that carry them.

    Args:
        model: the model.
        p: its parameters, read at each step.
        batch_size: B, the columns of a batch.
        shards: how many parts; at most B.
        threads: how many threads carry them; 0 takes every processor.
    """

    def __init__(
        self, model: CharLM, p: Params, batch_size: int, shards: int, threads: int = 0
    ) -> None:
        self.model = model
        self.p = p
        self.columns = deal(batch_size, shards)
        count = len(self.columns)
        self.grads = [p.zeros_like() for _ in self.columns]
        self.workspaces = [Workspace(p.flat.dtype) for _ in self.columns]
        self._map = thread_map(count, threads)

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
        """

        def one(k: int) -> tuple[float, State]:
            columns, g = self.columns[k], self.grads[k]
            g.flat.fill(0)
            rng = np.random.default_rng((*seed, k))
            keep = rng.random((columns.stop - columns.start, 1)) >= RESET_PROBABILITY
            with quiet_overflow():
                return self.model.loss_and_grad(
                    self.p,
                    g,
                    x[:, columns],
                    y[:, columns],
                    tuple(part[columns] * keep for part in state),
                    self.workspaces[k],
                    rng,
                    scale=1 / x.size,
                )

        nats, states = zip(*self._map(one, range(len(self.columns))), strict=True)
        total = self.grads[0]
        for g in self.grads[1:]:
            total.flat += g.flat
        merged = tuple(np.concatenate(parts) for parts in zip(*states, strict=True))
        return sum(nats) / x.size, total, merged
