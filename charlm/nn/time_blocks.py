"""A sequence in blocks of steps that fit into the cache."""

from collections.abc import Iterator

CACHED = 1 << 17  # numbers


def time_blocks(T: int, size: int) -> list[slice]:
    """The steps 0 … T-1 in blocks for which `size` numbers per step fit into the cache.

    Operations that do not depend on earlier steps run on a whole block: fewer and larger calls.
    """
    n = max(1, CACHED // size)
    return [slice(start, min(start + n, T)) for start in range(0, T, n)]


def backwards(steps: slice) -> Iterator[tuple[int, int]]:
    """The steps of a block in reverse: the index within the block, and the step."""
    for t in reversed(range(steps.start, steps.stop)):
        yield t - steps.start, t
