"""The steps of a sequence in runs that fit into the cache."""

from collections.abc import Iterator

CACHED = 1 << 17


def time_blocks(T: int, size: int) -> list[slice]:
    """The steps 0 … T-1 in runs for which `size` numbers a step fit into the cache.

    What needs no earlier step is computed for a run of steps at once: fewer and larger calls.
    """
    n = max(1, CACHED // size)
    return [slice(start, min(start + n, T)) for start in range(0, T, n)]


def backwards(steps: slice) -> Iterator[tuple[int, int]]:
    """The steps of a run from the last to the first: the number within the run, and the step."""
    for t in reversed(range(steps.start, steps.stop)):
        yield t - steps.start, t
