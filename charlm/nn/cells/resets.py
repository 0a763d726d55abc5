"""Resets: where the state of a stream becomes zeros within a sequence, because a text begins there.

A cell sets the state before such a step to zeros, and after the backward step the gradient of that
state. The state after the step before it remains as it was: that is an output of the cell.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

Resets = Mapping[int, NDArray[np.intp]]  # for some steps, the streams whose state becomes zeros
NO_RESETS: Resets = {}


def resets_where(mask: NDArray[np.bool_]) -> Resets:
    """The resets before the steps and in the streams where a mask `(T, B)` is true."""
    if not mask.any():
        return NO_RESETS
    return {t: np.flatnonzero(mask[t]) for t in np.flatnonzero(mask.any(axis=1)).tolist()}


def clear(resets: Resets, t: int, *arrays: Array) -> None:
    """Set the rows of arrays `(B, H)` that are reset before step t to zeros."""
    rows = resets.get(t)
    if rows is not None:
        for array in arrays:
            array[rows] = 0


class States:
    """A state before the first of T steps and after each of them, with resets in between.

    Step t calls `reset(t)`, reads `array[t]` and writes `array[t+1]`.

    Args:
        array: `(T+1, B, H)`.
        resets: the resets.
        work: scratch memory for `after`.
    """

    def __init__(self, array: Array, resets: Resets, work: Workspace) -> None:
        self.array, self.resets, self.work = array, resets, work
        self._ended: dict[int, Array] = {}  # the rows that a reset has overwritten, by step

    def reset(self, t: int) -> None:
        """Set the state before step t to zeros where it is reset."""
        rows = self.resets.get(t)
        if rows is not None:
            self._ended[t] = self.array[t, rows]
            self.array[t, rows] = 0

    def after(self, steps: slice) -> Array:
        """The state after each of n steps, `(n, B, H)`; without resets, a view."""
        after = self.array[steps.start + 1 : steps.stop + 1]
        ends = self._ended.keys() & range(steps.start + 1, steps.stop + 1)
        if not ends:
            return after
        copy = self.work.array("after", *after.shape)
        copy[...] = after
        for t in ends:
            copy[t - steps.start - 1, self.resets[t]] = self._ended[t]
        return copy
