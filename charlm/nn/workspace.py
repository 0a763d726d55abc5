"""Scratch memory that a training step uses again and again.

A fresh large array costs a page fault for every 4 KB when it is first written, which is more
than the arithmetic done on it. So the arrays that a forward pass leaves for its backward pass
live here, by name, from step to step.
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
        """The array of that name and shape, holding whatever was last left in it.

        A smaller shape, of a last short chunk, lies in the memory of a larger one.
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
        """A workspace of its own within this one."""
        if name not in self._scopes:
            self._scopes[name] = Workspace(self.dtype)
        return self._scopes[name]

    def begin(self) -> int:
        """Start a forward pass on this memory; its backward pass shows the number to `finish`."""
        self._pass += 1
        return self._pass

    def finish(self, number: int) -> None:
        """Start the backward pass of forward pass `number`, once, before the next forward.

        Raises:
            RuntimeError: the arrays that the forward pass left here are no longer its own.
        """
        if number != self._pass:
            raise RuntimeError("backward runs once, before the next forward on its workspace")
        self._pass += 1
