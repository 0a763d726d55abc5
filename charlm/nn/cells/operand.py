"""The operand [h, 1, x] that a recurrent layer multiplies at each step.

With the bias as a row of the weights, z_t = [h_{t-1}, 1, x_t] W is one product, as the
textbooks write it, and the gradient of W is one product over all steps. All steps' operands
lie in one array `(T+1, B, columns)`: the h that step t computes is written where step t+1 reads
it, and the columns of h are at once the layer's output.

Where x is ids, the operand stops at [h, 1], and the rows of W that the ids name are added.
"""

from collections.abc import Callable

import numpy as np

from charlm.nn.products import step_product, sum_rows
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


class Operand:
    """All steps' [h, 1, x], and the products with weights.

    Args:
        h0: `(B, H)`, the state before the first step.
        x: `(T, B, inputs)`, or integer ids `(T, B)` below the number of inputs.
        work: holds the arrays.
    """

    def __init__(self, h0: Array, x: Array, work: Workspace) -> None:
        self.T = x.shape[0]
        self.B, self.H = h0.shape
        self.work = work
        self.ids = np.asarray(x, np.intp) if x.ndim == 2 else None
        inputs = 0 if x.ndim == 2 else x.shape[2]
        self.A = work.array("A", self.T + 1, self.B, self.H + 1 + inputs)
        self.h = self.A[:, :, : self.H]  # step t reads h[t] and writes h[t+1]
        self.h[0] = h0
        self.A[:, :, self.H] = 1
        if inputs:
            self.A[: self.T, :, self.H + 1 :] = x

    @property
    def y(self) -> Array:
        """The h after each step, `(T, B, H)`."""
        return self.h[1:]

    def product(self, W: Array, gates: int = 1) -> Callable[[int, Array], None]:
        """The product of a step: `step(t, out)` writes [h, 1, x_t] W, gate by gate.

        Args:
            W: `(H+1+inputs, gates·H)`.
            gates: out is `(gates, B, H)`.
        """
        A, ids = self.A, self.ids
        product = step_product(W[: A.shape[2]], self.B, self.T, self.work, gates)

        def step(t: int, out: Array) -> None:
            product(A[t], out)

        if ids is None:
            return step
        table = W[self.H + 1 :]
        rows = self.work.array("rows", self.B, W.shape[1])
        rows_by_gate = rows.reshape(self.B, gates, -1).swapaxes(0, 1)

        def step_with_rows(t: int, out: Array) -> None:
            product(A[t], out)
            np.take(table, ids[t], axis=0, out=rows, mode="clip")  # "clip": written unbuffered
            out += rows_by_gate

        return step_with_rows

    def input_product(self, W: Array, steps: slice) -> Array:
        """[1, x] W for a run of n steps at once, `(n, B, columns)`."""
        n, columns = steps.stop - steps.start, W.shape[1]
        z = self.work.array("input", n, self.B, columns)
        if self.ids is None:
            np.matmul(flat(self.A[steps, :, self.H :]), W, out=flat(z))
        else:
            np.take(W[1:], self.ids[steps], axis=0, out=z, mode="clip")
            z += W[0]
        return z

    def write_gradient(self, dW: Array, dz: Array, columns: slice = slice(None)) -> None:
        """Write the gradient of W, given that of z = [h, 1, x] W.

        Args:
            dW: `(H+1+inputs, R)`, overwritten; fewer rows with fewer columns.
            dz: `(T, B, R)`.
            columns: those of [h, 1, x] that z is a product with: `slice(H + 1)` for [h, 1],
                `slice(H, None)` for [1, x].
        """
        A = flat(self.A[: self.T, :, columns])
        np.matmul(A.T, flat(dz), out=dW[: A.shape[1]])
        if self.ids is not None and columns.stop is None:
            sum_rows(dW[A.shape[1] :], self.ids.ravel(), flat(dz))

    def input_gradient(self, Wx: Array, dz: Array) -> Array | None:
        """The gradient of x `(T, B, inputs)`, given dz `(T, B, R)`; None where x is ids."""
        if self.ids is not None:
            return None
        dx = self.work.array("dx", self.T, self.B, Wx.shape[0])
        np.matmul(flat(dz), Wx.T, out=flat(dx))
        return dx


def flat(sequence: Array) -> Array:
    """A sequence `(T, B, features)` as the rows of a matrix `(T·B, features)`, no copy."""
    return sequence.reshape(-1, sequence.shape[2])
