"""The gated recurrent unit as first published (Cho et al. 2014).

    z_t = σ(h_{t-1} U_z + [1, x_t] V_z)                  update gate
    r_t = σ(h_{t-1} U_r + [1, x_t] V_r)                  reset gate
    n_t = tanh((r_t ∘ h_{t-1}) U_n + [1, x_t] V_n)       candidate
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ n_t                hidden state, the output

The reset gate acts before the recurrent product, so a step has two products, one after the other;
in `gru` it acts after, and a step has one. U and V hold the columns in the order z, r, n.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand, flat
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets, clear
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

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        (h0,) = state  # (B, H)
        number = work.begin()
        operand = Operand(h0, x, work, resets)
        H, T, B = operand.H, operand.T, operand.B
        V, h = p["V"], operand.h  # (1+I, 3H), (T+1, B, H)
        U_zr, U_n = p["U"][:, : 2 * H], p["U"][:, 2 * H :]  # (H, 2H), (H, H)
        product_zr = step_product(U_zr, B, T, work.scope("zr"), gates=2)
        product_n = step_product(U_n, B, T, work.scope("n"))
        zrn = work.array("zrn", T, 3, B, H)
        rh = work.array("rh", T, B, H)  # r ∘ h'
        scratch = work.array("scratch", B, H)
        for steps in time_blocks(T, 3 * B * H):
            xV = operand.input_product(V, steps).reshape(-1, B, 3, H).swapaxes(1, 2)  # (n, 3, B, H)
            for k, t in enumerate(range(steps.start, steps.stop)):
                operand.reset(t)
                zr = zrn[t, :2]  # (2, B, H)
                z, r, n = zrn[t]  # (B, H) each
                product_zr(h[t], zr)  # h' U, into z, r
                zr += xV[k, :2]
                sigmoid_(zr)
                np.multiply(r, h[t], out=rh[t])
                product_n(rh[t], n)  # n = tanh((r ∘ h') U_n + [1, x] V_n)
                n += xV[k, 2]
                np.tanh(n, out=n)
                np.subtract(h[t], n, out=scratch)  # h = z ∘ h' + (1 - z) ∘ n = n + z ∘ (h' - n)
                scratch *= z
                np.add(n, scratch, out=h[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            d = work.array("d", T, B, 3 * H)  # of z, r, n before their activations
            product_zr_back = step_product(U_zr.T, B, T, work.scope("zr"))
            product_n_back = step_product(U_n.T, B, T, work.scope("n"))
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()  # (B, H)
            drh = work.array("drh", B, H)
            for steps in reversed(time_blocks(T, 3 * B * H)):
                local = _derivatives(zrn[steps], h[steps], work)  # (m, 3, B, H)
                dh_dz, drh_dr, dh_dn = local.swapaxes(0, 1)  # (m, B, H) each
                for k, t in backwards(steps):
                    dz, dr, dn = d[t].reshape(B, 3, H).swapaxes(0, 1)  # (B, H) each
                    dh += dy[t]  # y = h
                    np.multiply(dh, dh_dz[k], out=dz)  # dz = dh ∘ ∂h/∂z
                    np.multiply(dh, dh_dn[k], out=dn)  # dn = dh ∘ ∂h/∂n
                    product_n_back(dn, out=drh)  # (r ∘ h') U_n: d(r ∘ h') = dn U_nᵀ
                    np.multiply(drh, drh_dr[k], out=dr)  # dr = d(r ∘ h') ∘ ∂(r ∘ h')/∂r
                    dh *= zrn[t, 0]  # h = z ∘ h' + …: dh' = dh ∘ z
                    drh *= zrn[t, 1]  # dh' += d(r ∘ h') ∘ r
                    dh += drh
                    product_zr_back(d[t, :, : 2 * H], out=scratch)  # h' U_zr: dh' += [dz, dr] U_zrᵀ
                    dh += scratch
                    clear(resets, t, dh)
            before = flat(h[:T])  # (T·B, H)
            dzr, dn = d[:, :, : 2 * H], d[:, :, 2 * H :]  # (T, B, 2H), (T, B, H)
            np.matmul(before.T, flat(dzr), out=g["U"][:, : 2 * H])  # dU_zr = Σ_t h'ᵀ [dz, dr]
            np.matmul(flat(rh).T, flat(dn), out=g["U"][:, 2 * H :])  # dU_n = Σ_t (r ∘ h')ᵀ dn
            operand.write_gradient(g["V"], d, slice(H, None))  # dV = Σ_t [1, x]ᵀ [dz, dr, dn]
            dx = operand.input_gradient(V[1:], d)  # dx = [dz, dr, dn] V_xᵀ
            return dx, (dh,)

        return operand.y, (h[T].copy(),), backward


def _derivatives(zrn: Array, h: Array, work: Workspace) -> Array:
    """The local derivatives of m steps, which need no gradient.

    Args:
        zrn: z, r, n, `(m, 3, B, H)`.
        h: the hidden state before each step, `(m, B, H)`.
        work: scratch memory.

    Returns:
        ∂h/∂z, ∂(r ∘ h')/∂r and ∂h/∂n, `(m, 3, B, H)`, where z, r and n are taken before their
        activations.
    """
    z, r, n = zrn.swapaxes(0, 1)  # (m, B, H) each
    local = work.array("local", *zrn.shape)
    dh_dz, drh_dr, dh_dn = local.swapaxes(0, 1)  # (m, B, H) each
    np.subtract(1, z, out=dh_dz)  # 1 - z, to begin with
    np.square(n, out=dh_dn)  # h = n + z ∘ (h' - n): ∂h/∂n = (1 - z) ∘ (1 - n²)
    np.subtract(1, dh_dn, out=dh_dn)
    dh_dn *= dh_dz
    dh_dz *= z  # ∂h/∂z = (h' - n) ∘ z ∘ (1 - z)
    dh_dz *= h - n
    np.subtract(1, r, out=drh_dr)  # ∂(r ∘ h')/∂r = h' ∘ r ∘ (1 - r)
    drh_dr *= r
    drh_dr *= h
    return local
