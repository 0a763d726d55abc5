"""The operand [h; 1; x] that a recurrent layer multiplies at each step.

With the bias as a column of the weights, z_t = W [h_{t-1}; 1; x_t] is one product, as the
textbooks write it, and the gradient of W is one product over all steps. All steps' operands
lie in one array `(rows, T+1, B)`: the h that step t computes is written where step t+1 reads
it, and the rows of h are at once the layer's output.

Where x is ids, [h; 1; x] either has dense one-hot rows, which is cheap for a small alphabet,
or stops at [h; 1], and the columns of W that the ids name are gathered and added.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.ops import add_columns, step_product
from charlm.workspace import Workspace

Array = NDArray[Any]

# Up to this many characters the multiplications by zero cost less than gathering columns.
ONE_HOT_LIMIT = 128


class Operand:
    """All steps' [h; 1; x], and the products of weights with them.

    Args:
        h0: `(H, B)`, the state before the first step.
        x: `(inputs, T, B)`, or integer ids `(T, B)` below `inputs`.
        inputs: the features of x.
        work: holds the arrays.
    """

    def __init__(self, h0: Array, x: Array, inputs: int, work: Workspace) -> None:
        self.H = h0.shape[0]
        self.T, self.B = x.shape[-2:]
        self.x = x
        self.inputs = inputs
        self.work = work
        self.gathers = x.ndim == 2 and inputs > ONE_HOT_LIMIT
        rows = self.H + 1 if self.gathers else self.H + 1 + inputs
        self.A = work.array("A", rows, self.T + 1, self.B)
        self.A[: self.H, 0] = h0
        self.A[self.H] = 1
        if x.ndim == 3:
            self.A[self.H + 1 :, : self.T] = x
        elif not self.gathers:
            one_hot(x, out=self.A[self.H + 1 :, : self.T])

    @property
    def y(self) -> Array:
        """The h after each step, `(H, T, B)`."""
        return self.A[: self.H, 1:]

    def product(self, W: Array) -> Callable[[int, Array], None]:
        """The product of a step: `step(t, out)` writes W [h; 1; x_t], `(R, B)`, into out."""
        A = self.A
        product = step_product(W[:, : A.shape[0]], self.B)

        def step(t: int, out: Array) -> None:
            product(A[:, t], out)

        def step_with_gathered(t: int, out: Array) -> None:
            step(t, out)
            out += gathered[:, t]

        if not self.gathers:
            return step
        gathered = self._gather(W[:, self.H + 1 :])
        return step_with_gathered

    def input_product(self, W: Array) -> Array:
        """W [1; x] for all steps at once, `(R, T, B)`."""
        if self.gathers:
            z = self._gather(W[:, 1:])
            z += W[:, :1, None]
            return z
        z = self.work.array("Wx", W.shape[0], self.T, self.B)
        np.matmul(W, flat(self.A[self.H :, : self.T]), out=flat(z))
        return z

    def _gather(self, columns: Array) -> Array:
        out = self.work.array("Wx", columns.shape[0], self.T, self.B)
        np.take(columns, self.x, axis=1, out=out, mode="clip")  # "clip" writes without a buffer
        return out

    def add_gradient(self, dW: Array, dz: Array, rows: slice = slice(None)) -> None:
        """Add the gradient of W, given that of z = W [h; 1; x].

        Args:
            dW: `(R, H+1+inputs)`, added to in place; fewer columns with fewer rows.
            dz: `(R, T, B)`.
            rows: those of [h; 1; x] that z is a product with: `slice(H + 1)` for [h; 1],
                `slice(H, None)` for [1; x].
        """
        A = flat(self.A[rows, : self.T])
        product = self.work.array(f"dW{rows.start}", dW.shape[0], A.shape[0])
        np.matmul(flat(dz), A.T, out=product)
        dW[:, : A.shape[0]] += product
        if self.gathers and rows.stop is None:
            add_columns(dW[:, A.shape[0] :], self.x.ravel(), flat(dz))

    def input_gradient(self, Wx: Array, dz: Array) -> Array | None:
        """The gradient of x `(inputs, T, B)`, given dz `(R, T, B)`; None where x is ids."""
        if self.x.ndim == 2:
            return None
        dx = self.work.array("dx", self.inputs, self.T, self.B)
        np.matmul(Wx.T, flat(dz), out=flat(dx))
        return dx


def one_hot(ids: Array, out: Array) -> None:
    """Write the one-hot vectors of ids `(T, B)` into `out`, `(V, T, B)`."""
    out[...] = 0
    T, B = ids.shape
    out[ids, np.arange(T)[:, None], np.arange(B)] = 1


def flat(sequence: Array) -> Array:
    """A sequence `(features, T, B)` as the columns of a matrix `(features, T·B)`, no copy."""
    return sequence.reshape(sequence.shape[0], -1)
