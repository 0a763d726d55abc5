"""NumPy with the default kernels and threads of its BLAS."""

from collections.abc import Callable
from typing import Any

import numpy as np

from charlm.system.kernels import kernels


def facts() -> dict[str, Any]:
    """The kernels of BLAS."""
    return {"blas kernels by default": kernels().name}


def product(size: int) -> Callable[[], int]:
    """A large matrix product; counts operations."""
    A, B = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    out = np.empty_like(A)

    def work() -> int:
        np.matmul(A, B, out=out)
        return 2 * size**3

    work()
    return work
