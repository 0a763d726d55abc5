"""The operand [h, 1, x] of the matrix product in each step of a recurrent layer.

The bias is a row of the weights, so z_t = [h_{t-1}, 1, x_t] W is one product, as textbooks write
it, and the gradient of W is one product over all steps. One array `(T+1, B, columns)` holds the
operands of all steps: step t writes h where step t+1 reads it, and the columns of h are also the
output of the layer.

If x is ids, the operand is [h, 1], and the rows of W that the ids select are added.
"""

from collections.abc import Callable

import numpy as np

from charlm.nn.cells.resets import NO_RESETS, Resets, States
from charlm.nn.products import step_product, sum_rows
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


class Operand:
    """The operands [h, 1, x] of all steps, and their products with weights.

    Args:
        h0: the state before the first step, `(B, H)`.
        x: `(T, B, inputs)`, or integer ids `(T, B)` below the number of inputs.
        work: holds the arrays.
        resets: where h becomes zeros before a step.
    """

    def __init__(self, h0: Array, x: Array, work: Workspace, resets: Resets = NO_RESETS) -> None:
        self.T = x.shape[0]
        self.B, self.H = h0.shape
        self.work = work
        self.ids = np.asarray(x, np.intp) if x.ndim == 2 else None  # (T, B)
        inputs = 0 if x.ndim == 2 else x.shape[2]
        self.A = work.array("A", self.T + 1, self.B, self.H + 1 + inputs)
        self.h = self.A[:, :, : self.H]  # (T+1, B, H): step t reads h[t] and writes h[t+1]
        self.h[0] = h0
        self._states = States(self.h, resets, work)
        self.reset = self._states.reset
        self.A[:, :, self.H] = 1
        if inputs:
            self.A[: self.T, :, self.H + 1 :] = x

    @property
    def y(self) -> Array:
        """The hidden state after each step, `(T, B, H)`."""
        return self._states.after(slice(0, self.T))

    def product(self, W: Array, gates: int = 1) -> Callable[[int, Array], None]:
        """The product of a step: `step(t, out)` writes [h_{t-1}, 1, x_t] W into out.

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
        table = W[self.H + 1 :]  # (inputs, gates·H)
        rows = self.work.array("rows", self.B, W.shape[1])
        rows_by_gate = rows.reshape(self.B, gates, -1).swapaxes(0, 1)  # (gates, B, H)

        def step_with_rows(t: int, out: Array) -> None:
            product(A[t], out)
            np.take(table, ids[t], axis=0, out=rows, mode="clip")  # "clip" avoids a buffer
            out += rows_by_gate

        return step_with_rows

    def input_product(self, W: Array, steps: slice) -> Array:
        """[1, x] W for n steps at once, `(n, B, columns)`."""
        n, columns = steps.stop - steps.start, W.shape[1]
        z = self.work.array("input", n, self.B, columns)
        if self.ids is None:
            np.matmul(flat(self.A[steps, :, self.H :]), W, out=flat(z))
        else:
            np.take(W[1:], self.ids[steps], axis=0, out=z, mode="clip")
            z += W[0]
        return z

    def write_gradient(self, dW: Array, dz: Array, columns: slice = slice(None)) -> None:
        """Write dW, given dz, for z = [h, 1, x] W.

        Args:
            dW: `(H+1+inputs, R)`, overwritten; it has fewer rows if there are fewer columns.
            dz: `(T, B, R)`.
            columns: the columns of [h, 1, x] in the product: `slice(H + 1)` for [h, 1],
                `slice(H, None)` for [1, x].
        """
        A = flat(self.A[: self.T, :, columns])  # (T·B, columns)
        np.matmul(A.T, flat(dz), out=dW[: A.shape[1]])
        if self.ids is not None and columns.stop is None:
            sum_rows(dW[A.shape[1] :], self.ids.ravel(), flat(dz))

    def input_gradient(self, Wx: Array, dz: Array) -> Array | None:
        """dx `(T, B, inputs)`, given dz `(T, B, R)`; None if x is ids."""
        if self.ids is not None:
            return None
        dx = self.work.array("dx", self.T, self.B, Wx.shape[0])
        np.matmul(flat(dz), Wx.T, out=flat(dx))
        return dx


def flat(sequence: Array) -> Array:
    """A sequence `(T, B, features)` as a matrix `(T·B, features)`, without a copy."""
    return sequence.reshape(-1, sequence.shape[2])
