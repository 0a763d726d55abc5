"""The few numerical functions that several layers share."""

import os
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from charlm.arrays import Array
from charlm.workspace import Workspace

# A half as an array: NumPy takes twice as long to begin a call with a Python number.
HALF = np.array(0.5, np.float32)

# OpenBLAS's AVX-512 kernels multiply up to 100³ pairs of numbers without copying the operands
# into buffers first, a copy that is dear when one operand is a few rows.
# So there a step's product goes block by block of columns. (Other kernels gain nothing by it.)
SMALL_PRODUCT = 100**3 if os.environ.get("OPENBLAS_CORETYPE") == "SkylakeX" else 0

# These kernels are slow with narrower blocks, and with wider ones of a transposed matrix.
NARROWEST, WIDEST_TRANSPOSED = 8, 32

CACHED = 1 << 17


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


def chunks(T: int, size: int) -> list[slice]:
    """The steps 0 … T-1 in runs for which `size` numbers a step fit into the cache.

    What needs no earlier step is computed for a run of steps at once: fewer and larger calls.
    """
    n = max(1, CACHED // size)
    return [slice(start, min(start + n, T)) for start in range(0, T, n)]


def quiet_overflow() -> np.errstate:
    """No warning of an overflow: what comes of it is looked at after each step."""
    return np.errstate(over="ignore", invalid="ignore")


def backwards(steps: slice) -> Iterator[tuple[int, int]]:
    """The steps of a run from the last to the first: the number within the run, and the step."""
    for t in reversed(range(steps.start, steps.stop)):
        yield t - steps.start, t


def sigmoid_(z: Array) -> None:
    """Replace z by σ(z) = 1 / (1 + exp(-z)), any shape.

    Written as (1 + tanh(z/2)) / 2: no overflow for any z, and NumPy's tanh is vectorised.
    """
    z *= HALF
    np.tanh(z, out=z)
    z *= HALF
    z += HALF


def softmax_(z: Array) -> None:
    """Replace each row of z by its softmax, `(N, V)`."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)


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


def surprise(logits: Array, targets: Array) -> tuple[NDArray[np.float64], Array]:
    """The surprise -ln softmax(logits) of each target in nats, and the softmax but for a factor.

    Args:
        logits: `(N, V)`, overwritten by exp(logits - their maximum).
        targets: `(N,)` integers below V.

    Returns:
        The surprise `(N,)`, and what each row of logits now sums up to, `(N, 1)`.
    """
    logits -= logits.max(axis=1, keepdims=True)
    picked = logits[np.arange(targets.size), targets]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    nats: NDArray[np.float64] = np.log(total[:, 0]).astype(np.float64) - picked
    return nats, total
