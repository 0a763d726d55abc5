"""The few numerical functions that several layers share."""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# OpenBLAS's AVX-512 kernels multiply up to 100³ pairs of numbers without copying the operands
# into buffers first, a copy that is dear when one operand is a few columns.
# So there a step's product goes block by block of rows. (Other kernels gain nothing by it.)
SMALL_PRODUCT = 100**3 if os.environ.get("OPENBLAS_CORETYPE") == "SkylakeX" else 0
FEWEST_ROWS = 8

CACHED = 1 << 17


def step_product(W: Array, B: int) -> Callable[[Array, Array], object]:
    """The product that a step repeats: `product(X, out)` writes W X into out.

    Args:
        W: `(R, K)`.
        B: the columns of X `(K, B)` and of out `(R, B)`, which is contiguous.
    """
    R, K = W.shape
    rows = _rows_of_a_block(R, K * B, SMALL_PRODUCT)
    if rows == R:
        return partial(np.matmul, W)
    blocks = W.reshape(-1, rows, K)

    def product(X: Array, out: Array) -> None:
        np.matmul(blocks, X, out=out.reshape(-1, rows, B))

    return product


@cache
def _rows_of_a_block(R: int, row: int, most: int) -> int:
    """The most rows that divide R and make at most `most` pairs, each row being `row` of them."""
    fitting = (r for r in range(FEWEST_ROWS, R) if R % r == 0 and r * row <= most)
    return R if R * row <= most else max(fitting, default=R)


def chunks(T: int, size: int) -> list[slice]:
    """The steps 0 … T-1 in runs for which `size` numbers a step fit into the cache.

    What needs no earlier step is computed for a run of steps at once: fewer and larger calls.
    """
    n = max(1, CACHED // size)
    return [slice(start, min(start + n, T)) for start in range(0, T, n)]


def sigmoid_(z: Array) -> None:
    """Replace z by σ(z) = 1 / (1 + exp(-z)), any shape.

    Written as (1 + tanh(z/2)) / 2: no overflow for any z, and NumPy's tanh is vectorised.
    """
    z *= 0.5
    np.tanh(z, out=z)
    z *= 0.5
    z += 0.5


def add_columns(out: Array, ids: Array, columns: Array) -> None:
    """Add column n of `columns` to column ids[n] of `out`: the gradient of `W[:, ids]`.

    Equal ids are brought together by a sort and summed in one pass, so the cost does not
    depend on the width of `out`.

    Args:
        out: `(R, V)`, added to in place.
        ids: `(N,)` integers below V.
        columns: `(R, N)`.
    """
    order = np.argsort(ids, kind="stable")
    present, starts = np.unique(ids[order], return_index=True)
    out[:, present] += np.add.reduceat(columns[:, order], starts, axis=1)


def softmax_nats(logits: Array, targets: Array) -> NDArray[np.float64]:
    """Turn logits into probabilities in place; return the surprise of each target.

    Args:
        logits: `(V, N)`, overwritten by softmax over V.
        targets: `(N,)` integers below V.

    Returns:
        -ln p(target) in nats, `(N,)`.
    """
    logits -= logits.max(axis=0)
    picked = logits[targets, np.arange(targets.size)]
    np.exp(logits, out=logits)
    total = logits.sum(axis=0)
    logits /= total
    nats: NDArray[np.float64] = np.log(total).astype(np.float64) - picked
    return nats
