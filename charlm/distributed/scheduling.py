"""How work is dealt, and the threads that share it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from charlm.system.blas import available_cores, blas_can_be_single


def default_shards(batch_size: int) -> int:
    """Two shards, more where each still has 32 streams; one for less than eight streams."""
    return max(2, batch_size // 32) if batch_size >= 8 else 1


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
