"""Split work into parts of about equal size, and run parts on threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier
from typing import Any

import numpy as np

from charlm.system.blas import available_cores, blas_can_be_single

STREAMS_PER_SHARD = 32


def default_shards(batch_size: int) -> int:
    """Return 1 shard for fewer than 8 streams, else one per 32 streams, but at least 2."""
    return max(2, batch_size // STREAMS_PER_SHARD) if batch_size >= 8 else 1


def deal(items: int, parts: int) -> list[slice]:
    """Split `range(items)` evenly into min(parts, items) consecutive slices, none of them empty.

    Sizes differ by at most one.
    """
    edges = np.linspace(0, items, min(parts, items) + 1).round().astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def share(items: int, parts: int) -> list[range]:
    """Split `range(items)` as `deal` does, and append empty ranges until there are `parts`."""
    dealt = [range(part.start, part.stop) for part in deal(items, parts)]
    return dealt + [range(0)] * (parts - len(dealt))


def thread_map(tasks: int, threads: int = 0) -> Callable[..., Iterable[Any]]:
    """Return a `map` that runs up to `tasks` calls at once on threads, 0 for one per core.

    It is the builtin `map` if one thread remains, BLAS cannot be limited to one thread, or the
    system refuses to start the threads.
    """
    count = min(threads or available_cores(), tasks) if blas_can_be_single() else 1
    if count <= 1:
        return map
    pool, all_started = ThreadPoolExecutor(count), Barrier(count)
    try:
        for _ in range(count):  # each starts a thread, because the threads before it wait
            pool.submit(all_started.wait)
    except RuntimeError:
        all_started.abort()
        return map
    return pool.map
