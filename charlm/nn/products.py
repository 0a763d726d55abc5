"""Matrix products: the product of a recurrent step, and the gradient of a table lookup."""

from functools import cache
from itertools import pairwise
from typing import Protocol

import numpy as np

from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.kernels import Blocks, blocks_in_use

NARROWEST = 8  # columns of a block; kernels are slow with fewer
FEW_STEPS = 4  # fewer steps do not repay a copy of the weights
SHORTEST_SUM = 128  # shorter parts of a sum do not repay their addition


class Product(Protocol):
    """A product with fixed weights."""

    def __call__(self, X: Array, out: Array) -> None:
        """Write X W into out."""


def step_product(W: Array, B: int, steps: int, work: Workspace, gates: int = 1) -> Product:
    """The product X W that every step of a sequence repeats.

    The weights are divided into blocks of columns, for kernels that are faster with them, and
    copied so that each block is contiguous.

    Args:
        W: `(K, gates·H)`.
        B: the number of rows of X `(B, K)`.
        steps: the number of repetitions.
        work: scratch memory.
        gates: the number of gates among the columns; out is `(gates, B, H)`, contiguous.
    """
    K, N = W.shape
    if B == 1:  # a product of a vector, which copies nothing
        return lambda X, out: np.matmul(X, W, out=out.reshape(1, N))
    H = N // gates
    is_transposed = W.strides[0] < W.strides[1]
    blocks = blocks_in_use()
    columns, count = division(K, B, H, blocks, is_transposed=is_transposed)
    is_copied = columns < H and steps > 1 and (blocks.is_split or not is_transposed)
    if blocks.is_split and steps < FEW_STEPS:
        columns, count, is_copied = H, 1, False
    edges = [K * n // count for n in range(count + 1)]
    parts = [
        (slice(a, b), _blocks(W[a:b], gates, columns, work.scope(str(a)) if is_copied else None))
        for a, b in pairwise(edges)
    ]
    (_, first), *others = parts

    def shaped(out: Array) -> Array:
        return out.reshape(gates, B, -1, columns).swapaxes(1, 2)  # (gates, H/columns, B, columns)

    def product(X: Array, out: Array) -> None:
        np.matmul(X, first, out=shaped(out))

    def summed(X: Array, out: Array) -> None:
        np.matmul(X[:, : edges[1]], first, out=shaped(out))
        more = work.array("more", *out.shape)
        for rows, part in others:
            np.matmul(X[:, rows], part, out=shaped(more))
            out += more

    return summed if others else product


def _blocks(W: Array, gates: int, columns: int, work: Workspace | None) -> Array:
    """Weights in blocks of columns, `(gates, H/columns, K, columns)`; a copy if there is memory."""
    blocks = W.reshape(len(W), gates, -1, columns).transpose(1, 2, 0, 3)
    if work is None:
        return blocks
    copied = work.array("blocks", *blocks.shape)
    copied[...] = blocks
    return copied


@cache
def division(K: int, B: int, H: int, blocks: Blocks, *, is_transposed: bool) -> tuple[int, int]:
    """The number of columns of a block, a divisor of H, and of parts of the sum.

    Args:
        K: the length of the sum.
        B: the number of rows.
        H: the number of columns.
        blocks: what the kernels need.
        is_transposed: whether the weights are transposed.
    """
    fits = blocks.size // (K * B)
    widest = (blocks.widest_transposed if is_transposed else blocks.widest) or H
    if not blocks.is_split:
        return _columns(H, min(fits, widest)), 1
    # The parts of a forward product are sums of all gates, so narrower blocks come before parts.
    columns = _columns(H, widest if is_transposed or fits >= widest else widest // 2)
    parts = -(-K * B * columns // blocks.size)
    return (columns, parts) if parts == 1 or K // parts >= SHORTEST_SUM else (H, 1)


def _columns(H: int, widest: int) -> int:
    """The largest divisor of H from `NARROWEST` to `widest`; H if there is none."""
    return max((n for n in range(NARROWEST, widest + 1) if H % n == 0), default=H)


def sum_rows(out: Array, ids: Array, rows: Array) -> None:
    """Write into row i of `out` the sum of the rows whose id is i: the gradient of `W[ids]`.

    Args:
        out: `(V, R)`, overwritten.
        ids: integers below V, `(N,)`.
        rows: `(N, R)`.
    """
    out.fill(0)
    order = np.argsort(ids, kind="stable")
    counts = np.bincount(ids, minlength=len(out))
    edges = [0, *np.cumsum(counts).tolist()]
    for i in np.flatnonzero(counts).tolist():
        np.add.reduce(rows[order[edges[i] : edges[i + 1]]], axis=0, out=out[i])
