"""Figures that are not finite: every function of inference refuses them with the same error.

A checkpoint has finite weights only, but weights of 3e38 make NaN or infinite logits. NumPy's
warnings about them are suppressed, because the error says more.
"""

import math
from collections.abc import Iterator
from contextvars import copy_context
from itertools import repeat
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from charlm.errors import ModelError
from charlm.system.arrays import Array

T = TypeVar("T")

# The sum of squares of logits below which differences of two are finite in float32, as a loss is.
LARGEST = float(np.finfo(np.float32).max / 2) ** 2

NOT_FINITE = "the model produces NaN or infinite values; retrain it with a lower `lr`"


def check_nats(nats: float, name: str = "") -> None:
    """Check an NLL.

    Args:
        nats: the NLL.
        name: the name of the model, if there are several.

    Raises:
        ModelError: it is NaN or infinite.
    """
    if not math.isfinite(nats):
        raise ModelError(f"{name}: {NOT_FINITE}" if name else NOT_FINITE)


def finite_logits(logits: Array) -> NDArray[np.float64]:
    """A copy of logits as float64.

    Raises:
        ModelError: one of them is NaN or infinite, or so large that a loss may be.
    """
    z: NDArray[np.float64] = logits.astype(np.float64)
    flat = z.ravel()
    if not flat.dot(flat) < LARGEST:  # the squares of float32 values do not overflow
        raise ModelError(NOT_FINITE)
    return z


def without_warnings(items: Iterator[T]) -> Iterator[T]:
    """The items of an iterator that computes each without NumPy's warnings about overflow.

    `quiet_overflow` within a generator would also apply to its caller. NumPy keeps its setting in a
    context variable, so here the iterator has a context of its own.
    """
    context = copy_context()
    context.run(np.seterr, over="ignore", invalid="ignore")
    return map(context.run, repeat(next), repeat(items))
