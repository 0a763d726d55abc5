"""Scratch memory that is reused in every training step.

Writing to a new large array for the first time costs a page fault per 4 KB, which takes longer than
the arithmetic. So the arrays that a forward pass keeps for its backward pass stay here, by name.
"""

import math

import numpy as np
from numpy.typing import DTypeLike

from charlm.system.arrays import Array, aligned


class Workspace:
    """Named scratch arrays of one floating-point type, for one thread."""

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: dict[str, Array] = {}
        self._memory: dict[str, Array] = {}
        self._scopes: dict[str, Workspace] = {}
        self._pass = 0

    def array(self, name: str, *shape: int) -> Array:
        """The array of that name and shape, with the values last written to it.

        A smaller array, such as that of a short last chunk, uses the memory of the larger one.
        """
        array = self._arrays.get(name)
        if array is None or array.shape != shape:
            size = math.prod(shape)
            memory = self._memory.get(name)
            if memory is None or memory.size < size:
                memory = self._memory[name] = aligned(size, self.dtype)
            array = self._arrays[name] = memory[:size].reshape(shape)
        return array

    def scope(self, name: str) -> "Workspace":
        """A separate workspace within this one."""
        if name not in self._scopes:
            self._scopes[name] = Workspace(self.dtype)
        return self._scopes[name]

    def begin(self) -> int:
        """Start a forward pass on this memory; its backward pass calls `finish` with the number."""
        self._pass += 1
        return self._pass

    def finish(self, number: int) -> None:
        """Start the backward pass of forward pass `number`, once, before the next forward pass.

        Raises:
            RuntimeError: another pass has overwritten the arrays.
        """
        if number != self._pass:
            raise RuntimeError(
                "backward runs only once, before the next forward pass in its workspace"
            )
        self._pass += 1
