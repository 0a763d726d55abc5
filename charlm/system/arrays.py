"""Arrays as the library knows them."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

CACHE_LINE = 64  # bytes


def aligned(size: int, dtype: DTypeLike) -> Array:
    """An uninitialised vector that starts with a cache line.

    NumPy's own start a quarter of a line later, and every wide load from them touches two.
    """
    dtype = np.dtype(dtype)
    room = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + size * dtype.itemsize].view(dtype)
