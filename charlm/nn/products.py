"""Matrix products: that of a recurrent step, and the gradient of a table lookup."""

import os
from collections.abc import Callable
from functools import cache

import numpy as np

from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

# OpenBLAS's AVX-512 kernels multiply up to 100³ pairs of numbers without copying the operands
# into buffers first, a copy that is dear when one operand is a few rows.
# So there a step's product goes block by block of columns. (Other kernels gain nothing by it.)
SMALL_PRODUCT = 100**3 if os.environ.get("OPENBLAS_CORETYPE") == "SkylakeX" else 0

# These kernels are slow with narrower blocks, and with wider ones of a transposed matrix.
NARROWEST, WIDEST_TRANSPOSED = 8, 32


def step_product(
    W: Array, B: int, steps: int, work: Workspace, gates: int = 1
) -> Callable[[Array, Array], None]:
    """The product that a step repeats: `product(X, out)` writes X W into out, gate by gate.

    Args:
        W: `(K, gates·H)`.
        B: the rows of X `(B, K)`.
        steps: how often it will be repeated.
        work: scratch memory.
        gates: into how many parts the columns fall; out is `(gates, B, H)`, contiguous.
    """
    K, N = W.shape
    if B == 1:
        gates = 1  # of a single row, they lie side by side in any case
    H = N // gates
    transposed = W.strides[0] < W.strides[1]
    widest = min(H, SMALL_PRODUCT // (K * B), WIDEST_TRANSPOSED if transposed else H)
    columns = _columns_of_a_block(H, widest)
    # (gates, H/columns, K, columns)
    blocks = W.reshape(K, gates, -1, columns).transpose(1, 2, 0, 3)
    if columns < H and not transposed and steps > 1:
        apart, blocks = blocks, work.array("blocks", *blocks.shape)
        blocks[...] = apart  # a block's rows next to each other

    def product(X: Array, out: Array) -> None:
        np.matmul(X, blocks, out=out.reshape(gates, B, -1, columns).swapaxes(1, 2))

    return product


@cache
def _columns_of_a_block(H: int, widest: int) -> int:
    """The most columns, up to `widest`, that divide the H of a gate; all where too few do."""
    return max((n for n in range(NARROWEST, widest + 1) if H % n == 0), default=H)


def sum_rows(out: Array, ids: Array, rows: Array) -> None:
    """Write into row i of `out` the sum of the rows whose id is i: the gradient of `W[ids]`.

    Args:
        out: `(V, R)`, overwritten.
        ids: `(N,)` integers below V.
        rows: `(N, R)`.
    """
    out.fill(0)
    order = np.argsort(ids, kind="stable")
    present, starts = np.unique(ids[order], return_index=True)
    for i, group in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
        np.add.reduce(rows[group], axis=0, out=out[i])
