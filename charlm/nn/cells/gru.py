"""The gated recurrent unit, in the form of cuDNN and PyTorch.

    z_t = σ([h_{t-1}, 1] U_z + [1, x_t] V_z)             update gate
    r_t = σ([h_{t-1}, 1] U_r + [1, x_t] V_r)             reset gate
    a_t = [h_{t-1}, 1] U_n
    n_t = tanh([1, x_t] V_n + r_t ∘ a_t)                 candidate
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ n_t                hidden state, the output

The reset gate acts after the recurrent product, so one product per step serves all three; in
Cho et al. 2014 it acts before. U holds the columns z, r, n and V the columns n, z, r: one array of
gradients (n, z, r, a) then serves both, V with its first three parts and U with its last three.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand
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
        U, V = p["U"], p["V"]  # (H+1, 3H), (1+I, 3H)
        A, h = operand.A[:, :, : H + 1], operand.h  # [h, 1] (T+1, B, H+1), h (T+1, B, H)
        zran = work.array("zran", T, 4, B, H)
        scratch = work.array("scratch", B, H)
        product = step_product(U, B, T, work, gates=3)
        for steps in time_blocks(T, 3 * B * H):
            xV = operand.input_product(V, steps).reshape(-1, B, 3, H).swapaxes(1, 2)  # (n, 3, B, H)
            for k, t in enumerate(range(steps.start, steps.stop)):
                operand.reset(t)
                product(A[t], zran[t, :3])  # [h', 1] U, into z, r, a
                zr = zran[t, :2]  # (2, B, H)
                zr += xV[k, 1:]
                sigmoid_(zr)
                z, r, a, n = zran[t]  # (B, H) each
                np.multiply(r, a, out=n)  # n = tanh([1, x] V_n + r ∘ a)
                n += xV[k, 0]
                np.tanh(n, out=n)
                np.subtract(h[t], n, out=scratch)  # h = z ∘ h' + (1 - z) ∘ n = n + z ∘ (h' - n)
                scratch *= z
                np.add(n, scratch, out=h[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            # The gradients of n, z, r (before their activations) and a overwrite the gates, step
            # by step, in the order that the products need. Read zran[t] before d[t] is written.
            d = zran.reshape(T, B, 4 * H)
            product_back = step_product(U[:H].T, B, T, work)
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()  # (B, H)
            for steps in reversed(time_blocks(T, 4 * B * H)):
                local = _derivatives(zran[steps], h[steps], work)  # (m, 4, B, H)
                for k, t in backwards(steps):
                    dh += dy[t]  # y = h
                    dh_dnz, dn_dra = local[k, :2], local[k, 2:]  # (2, B, H) each
                    dnz = np.multiply(dh, dh_dnz, out=dh_dnz)  # dn = dh ∘ ∂h/∂n, dz = dh ∘ ∂h/∂z
                    np.multiply(dnz[0], dn_dra, out=dn_dra)  # dr = dn ∘ ∂n/∂r, da = dn ∘ ∂n/∂a
                    dh *= zran[t, 0]  # h = z ∘ h' + …: dh' = dh ∘ z
                    d[t].reshape(B, 4, H)[...] = local[k].swapaxes(0, 1)  # overwrites gates
                    product_back(d[t, :, H:], out=scratch)  # [h', 1] U: dh' += [dz, dr, da] Uᵀ
                    dh += scratch
                    clear(resets, t, dh)
            dzra, dnzr = d[:, :, H:], d[:, :, : 3 * H]  # (T, B, 3H) each
            operand.write_gradient(g["U"], dzra, slice(H + 1))  # dU = Σ_t [h', 1]ᵀ [dz, dr, da]
            operand.write_gradient(g["V"], dnzr, slice(H, None))  # dV = Σ_t [1, x]ᵀ [dn, dz, dr]
            dx = operand.input_gradient(V[1:], dnzr)  # dx = [dn, dz, dr] V_xᵀ
            return dx, (dh,)

        return operand.y, (h[T].copy(),), backward


def _derivatives(zran: Array, h: Array, work: Workspace) -> Array:
    """The local derivatives of m steps, which need no gradient.

    Args:
        zran: z, r, a, n, `(m, 4, B, H)`.
        h: the hidden state before each step, `(m, B, H)`.
        work: scratch memory.

    Returns:
        ∂h/∂n, ∂h/∂z, ∂n/∂r and ∂n/∂a, `(m, 4, B, H)`, where n, z and r are taken before their
        activations.
    """
    z, r, a, n = zran.swapaxes(0, 1)  # (m, B, H) each
    local = work.array("local", *zran.shape)
    dh_dn, dh_dz, dn_dr, dn_da = local.swapaxes(0, 1)  # (m, B, H) each
    one_minus_z = np.subtract(1, z, out=dn_da)  # dn_da serves as scratch
    np.square(n, out=dh_dn)  # h = n + z ∘ (h' - n): ∂h/∂n = (1 - z) ∘ (1 - n²)
    np.subtract(1, dh_dn, out=dh_dn)
    dh_dn *= one_minus_z
    np.subtract(h, n, out=dh_dz)  # ∂h/∂z = (h' - n) ∘ z ∘ (1 - z)
    dh_dz *= z
    dh_dz *= one_minus_z
    np.subtract(1, r, out=dn_dr)  # tanh([1, x] V_n + r ∘ a): ∂n/∂r = a ∘ r ∘ (1 - r), ∂n/∂a = r
    dn_dr *= r
    dn_dr *= a
    dn_da[...] = r
    return local
