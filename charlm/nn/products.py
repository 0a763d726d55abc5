"""Matrix products: the product of a recurrent step, and the gradient of a table lookup."""

import os
from functools import cache
from typing import Protocol

import numpy as np

from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

# The AVX-512 kernels of OpenBLAS multiply operands of up to 100³ products without copying them into
# buffers first. The copy is expensive if one operand has few rows, so a step multiplies the weights
# in blocks of columns. Other kernels do not benefit.
SMALL_PRODUCT = 100**3 if os.environ.get("OPENBLAS_CORETYPE") == "SkylakeX" else 0

# These kernels are slow with narrower blocks, and with wider blocks of a transposed matrix.
NARROWEST, WIDEST_TRANSPOSED = 8, 32


class Product(Protocol):
    """A product with fixed weights."""

    def __call__(self, X: Array, out: Array) -> None:
        """Write X W into out."""


def step_product(W: Array, B: int, steps: int, work: Workspace, gates: int = 1) -> Product:
    """The product X W that every step of a sequence repeats.

    Args:
        W: `(K, gates·H)`.
        B: the number of rows of X `(B, K)`.
        steps: the number of repetitions.
        work: scratch memory.
        gates: the number of gates among the columns; out is `(gates, B, H)`, contiguous.
    """
    K, N = W.shape
    if B == 1:
        gates = 1  # the gates of a single row are contiguous anyway
    H = N // gates
    transposed = W.strides[0] < W.strides[1]
    widest = min(H, SMALL_PRODUCT // (K * B), WIDEST_TRANSPOSED if transposed else H)
    columns = _columns_of_a_block(H, widest)
    blocks = W.reshape(K, gates, -1, columns).transpose(
        1, 2, 0, 3
    )  # (gates, H/columns, K, columns)
    if columns < H and not transposed and steps > 1:
        scattered, blocks = blocks, work.array("blocks", *blocks.shape)
        blocks[...] = scattered  # makes the rows of a block adjacent

    def product(X: Array, out: Array) -> None:
        np.matmul(X, blocks, out=out.reshape(gates, B, -1, columns).swapaxes(1, 2))

    return product


@cache
def _columns_of_a_block(H: int, widest: int) -> int:
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
    present, starts = np.unique(ids[order], return_index=True)
    for i, group in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
        np.add.reduce(rows[group], axis=0, out=out[i])
