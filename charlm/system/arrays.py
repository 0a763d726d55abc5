"""The array type of the library, and aligned allocation."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

CACHE_LINE = 64  # bytes


def aligned(size: int, dtype: DTypeLike) -> Array:
    """An uninitialized vector that starts at a cache-line boundary.

    Large NumPy arrays start 16 bytes into a cache line, so that 64-byte loads touch two lines.
    """
    dtype = np.dtype(dtype)
    buffer = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE
    return buffer[start : start + size * dtype.itemsize].view(dtype)
