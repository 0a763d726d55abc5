"""The gated recurrent unit, in the form of cuDNN and PyTorch.

    z_t = σ([h_{t-1}, 1] U_z + [1, x_t] V_z)             update gate
    r_t = σ([h_{t-1}, 1] U_r + [1, x_t] V_r)             reset gate
    a_t = [h_{t-1}, 1] U_n
    h̃_t = tanh([1, x_t] V_n + r_t ∘ a_t)                 candidate
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ h̃_t

The reset gate acts after the recurrent product, so one product a step serves all three; in
Cho et al. 2014 it acts before. U holds the columns z, r, n and V the columns n, z, r: one array of
gradients (n, z, r, a) then serves both, V with its first three parts and U with its last.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.elementwise import sigmoid_
from charlm.nn.initialization import input_weights, orthogonal_blocks
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.time_blocks import backwards, time_blocks
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class GRU:
    """GRU. Parameters: U `(H+1, 3H)`, columns z, r, n; V `(1+I, 3H)`, columns n, z, r. State: h."""

    inputs: int
    width: int
    reads_ids: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"U": (H + 1, 3 * H), "V": (1 + self.inputs, 3 * H)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, U, V = self.width, p["U"], p["V"]
        U[:H] = orthogonal_blocks(3, H, rng)
        U[H] = 0
        V[0] = 0
        V[1:] = input_weights(self.inputs, 3 * H, rng, reads_ids=self.reads_ids)

    def state_widths(self) -> tuple[int, ...]:
        return (self.width,)

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        (h0,) = state
        number = work.begin()
        operand = Operand(h0, x, work)
        H, T, B = operand.H, operand.T, operand.B
        U, V = p["U"], p["V"]
        A, h = operand.A[:, :, : H + 1], operand.h
        zran = work.array("zran", T, 4, B, H)
        scratch = work.array("scratch", B, H)
        product = step_product(U, B, T, work, gates=3)
        for steps in time_blocks(T, 3 * B * H):
            xV = operand.input_product(V, steps).reshape(-1, B, 3, H).swapaxes(1, 2)
            for k, t in enumerate(range(steps.start, steps.stop)):
                product(A[t], zran[t, :3])
                zr = zran[t, :2]
                zr += xV[k, 1:]
                sigmoid_(zr)
                z, r, a, n = zran[t]
                np.multiply(r, a, out=n)
                n += xV[k, 0]
                np.tanh(n, out=n)
                # z ∘ h' + (1 - z) ∘ h̃ = h̃ + z ∘ (h' - h̃)
                np.subtract(h[t], n, out=scratch)
                scratch *= z
                np.add(n, scratch, out=h[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            d = zran.reshape(T, B, 4 * H)  # of n, z, r, a: takes their memory, step by step
            product_back = step_product(U[:H].T, B, T, work)
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()
            for steps in reversed(time_blocks(T, 4 * B * H)):
                slopes = _slopes(zran[steps], h[steps], work)
                for k, t in backwards(steps):
                    dh += dy[t]
                    np.multiply(dh, slopes[k, :2], out=slopes[k, :2])
                    np.multiply(slopes[k, 0], slopes[k, 2:], out=slopes[k, 2:])
                    dh *= zran[t, 0]
                    d[t].reshape(B, 4, H)[...] = slopes[k].swapaxes(0, 1)
                    product_back(d[t, :, H:], scratch)
                    dh += scratch
            operand.write_gradient(g["U"], d[:, :, H:], slice(H + 1))
            operand.write_gradient(g["V"], d[:, :, : 3 * H], slice(H, None))
            return operand.input_gradient(V[1:], d[:, :, : 3 * H]), (dh,)

        return operand.y, (h[T].copy(),), backward


def _slopes(zran: Array, h: Array, work: Workspace) -> Array:
    """What gradients are multiplied with on their way back through m steps.

    Args:
        zran: z, r, a, h̃, `(m, 4, B, H)`.
        h: the state before each step, `(m, B, H)`.
        work: scratch memory.

    Returns:
        `(m, 4, B, H)`: what dh is multiplied with for h̃ and z before tanh and σ, and what the
        former then is for r before σ, and for a.
    """
    z, r, a, n = zran.swapaxes(0, 1)
    slopes = work.array("slopes", *zran.shape)
    dn, dz, dr, da = slopes.swapaxes(0, 1)
    # h = h̃ + z ∘ (h' - h̃), tanh' = 1 - tanh², σ' = σ (1 - σ); da serves as scratch
    np.square(n, out=dn)
    np.subtract(1, dn, out=dn)
    np.subtract(1, z, out=da)
    dn *= da
    np.subtract(h, n, out=dz)
    dz *= z
    dz *= da
    # h̃ = tanh([1, x] V_n + r ∘ a)
    np.subtract(1, r, out=dr)
    dr *= r
    dr *= a
    da[...] = r
    return slopes
