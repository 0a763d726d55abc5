"""How work is dealt, and the threads that share it."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from charlm.config import BLAS_THREADS


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
    return _a_variable_says_so() or bool(find_spec("threadpoolctl"))


def _a_variable_says_so() -> bool:
    return any(os.environ.get(name) == "1" for name in (*BLAS_THREADS, "OMP_NUM_THREADS"))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread where no variable has, if threadpoolctl is installed to do it."""
    with ExitStack() as stack:
        if not _a_variable_says_so() and find_spec("threadpoolctl"):
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(1, user_api="blas"))
        yield


def deal(items: int, parts: int) -> list[slice]:
    """So many items in as many parts of like size, none of them empty."""
    edges = np.linspace(0, items, min(parts, items) + 1).round().astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def thread_map(tasks: int, threads: int = 0) -> Callable[..., Iterable[Any]]:
    """A `map` that runs so many tasks at once on threads, 0 for one a processor."""
    count = min(threads or available_cores(), tasks) if blas_can_be_single() else 1
    return ThreadPoolExecutor(count).map if count > 1 else map


def share(items: int, parts: int) -> list[range]:
    """As `deal`, as ranges, of which the last are empty if there are too few items."""
    dealt = [range(part.start, part.stop) for part in deal(items, parts)]
    return dealt + [range(0)] * (parts - len(dealt))
