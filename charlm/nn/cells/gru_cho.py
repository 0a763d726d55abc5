"""The gated recurrent unit as it was first published (Cho et al. 2014).

    z_t = σ(h_{t-1} U_z + [1, x_t] V_z)                  update gate
    r_t = σ(h_{t-1} U_r + [1, x_t] V_r)                  reset gate
    h̃_t = tanh((r_t ∘ h_{t-1}) U_n + [1, x_t] V_n)       candidate
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ h̃_t

The reset gate acts before the recurrent product, so a step has two of them, one after the other;
in `gru` it acts after, and a step has one. U and V hold the columns in the order z, r, n.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand, flat
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.elementwise import sigmoid_
from charlm.nn.initialization import input_weights, orthogonal_blocks
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.time_blocks import backwards, time_blocks
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class ChoGRU:
    """GRU of Cho et al. Parameters: U `(H, 3H)`, V `(1+I, 3H)`, columns z, r, n. State: h."""

    inputs: int
    width: int
    reads_ids: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"U": (H, 3 * H), "V": (1 + self.inputs, 3 * H)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, V = self.width, p["V"]
        p["U"][...] = orthogonal_blocks(3, H, rng)
        V[0] = 0
        V[1:] = input_weights(self.inputs, 3 * H, rng, reads_ids=self.reads_ids)

    def state_widths(self) -> tuple[int, ...]:
        return (self.width,)

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        (h0,) = state
        number = work.begin()
        operand = Operand(h0, x, work)
        H, T, B = operand.H, operand.T, operand.B
        V, h = p["V"], operand.h
        U_zr, U_n = p["U"][:, : 2 * H], p["U"][:, 2 * H :]
        product_zr = step_product(U_zr, B, T, work.scope("zr"), gates=2)
        product_n = step_product(U_n, B, T, work.scope("n"))
        zrn = work.array("zrn", T, 3, B, H)
        rh = work.array("rh", T, B, H)  # r ∘ h'
        scratch = work.array("scratch", B, H)
        for steps in time_blocks(T, 3 * B * H):
            xV = operand.input_product(V, steps).reshape(-1, B, 3, H).swapaxes(1, 2)
            for k, t in enumerate(range(steps.start, steps.stop)):
                zr = zrn[t, :2]
                z, r, n = zrn[t]
                product_zr(h[t], zr)
                zr += xV[k, :2]
                sigmoid_(zr)
                np.multiply(r, h[t], out=rh[t])
                product_n(rh[t], n)
                n += xV[k, 2]
                np.tanh(n, out=n)
                # z ∘ h' + (1 - z) ∘ h̃ = h̃ + z ∘ (h' - h̃)
                np.subtract(h[t], n, out=scratch)
                scratch *= z
                np.add(n, scratch, out=h[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            d = work.array("d", T, B, 3 * H)  # of z, r, h̃
            product_zr_back = step_product(U_zr.T, B, T, work.scope("zr"))
            product_n_back = step_product(U_n.T, B, T, work.scope("n"))
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()
            drh = work.array("drh", B, H)
            for steps in reversed(time_blocks(T, 3 * B * H)):
                dz_dh, dr_drh, dn_dh = _slopes(zrn[steps], h[steps], work).swapaxes(0, 1)
                for k, t in backwards(steps):
                    dz, dr, dn = d[t].reshape(B, 3, H).swapaxes(0, 1)
                    dh += dy[t]
                    np.multiply(dh, dz_dh[k], out=dz)
                    np.multiply(dh, dn_dh[k], out=dn)
                    product_n_back(dn, drh)
                    np.multiply(drh, dr_drh[k], out=dr)
                    # h' reaches h directly, through r ∘ h', and through both gates
                    dh *= zrn[t, 0]
                    drh *= zrn[t, 1]
                    dh += drh
                    product_zr_back(d[t, :, : 2 * H], scratch)
                    dh += scratch
            before = flat(h[:T])
            np.matmul(before.T, flat(d[:, :, : 2 * H]), out=g["U"][:, : 2 * H])
            np.matmul(flat(rh).T, flat(d[:, :, 2 * H :]), out=g["U"][:, 2 * H :])
            operand.write_gradient(g["V"], d, slice(H, None))
            return operand.input_gradient(V[1:], d), (dh,)

        return operand.y, (h[T].copy(),), backward


def _slopes(zrn: Array, h: Array, work: Workspace) -> Array:
    """What gradients are multiplied with on their way back through m steps, `(m, 3, B, H)`.

    For z and h̃ before σ and tanh, what dh is multiplied with; for r, what d(r ∘ h') is.

    Args:
        zrn: z, r, h̃, `(m, 3, B, H)`.
        h: the state before each step, `(m, B, H)`.
        work: scratch memory.
    """
    z, r, n = zrn.swapaxes(0, 1)
    slopes = work.array("slopes", *zrn.shape)
    dz, dr, dn = slopes.swapaxes(0, 1)
    # h = h̃ + z ∘ (h' - h̃), tanh' = 1 - tanh², σ' = σ (1 - σ); dz serves as scratch
    np.subtract(1, z, out=dz)
    np.square(n, out=dn)
    np.subtract(1, dn, out=dn)
    dn *= dz
    dz *= z
    dz *= h - n
    np.subtract(1, r, out=dr)
    dr *= r
    dr *= h
    return slopes
