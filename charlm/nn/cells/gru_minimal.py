"""The gated recurrent unit without a reset gate.

    z_t = σ([h_{t-1}, 1, x_t] W_z)              update gate
    n_t = tanh([h_{t-1}, 1, x_t] W_n)           candidate
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ n_t       hidden state, the output

Lectures introduce the GRU in this form: the update gate alone is enough to keep the state. It is
not the minimal gated unit of Zhou et al. 2016, whose only gate also resets. W holds the columns in
the order z, n.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets, clear
from charlm.nn.elementwise import HALF
from charlm.nn.initialization import init_operand_weights
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.time_blocks import backwards, time_blocks
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class MinimalGRU:
    """GRU without a reset gate. Parameters: W `(H+1+I, 2H)`, columns z, n. State: h."""

    inputs: int
    width: int
    reads_ids: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"W": (H + 1 + self.inputs, 2 * H)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        init_operand_weights(p["W"], self.width, rng, reads_ids=self.reads_ids)

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
        W, h = p["W"], operand.h  # (H+1+I, 2H), (T+1, B, H)
        product = operand.product(W, gates=2)
        zn = work.array("zn", T, 2, B, H)
        scratch = work.array("scratch", B, H)
        for t in range(T):
            operand.reset(t)
            z, n = zn[t]  # (B, H) each
            product(t, zn[t])  # [h', 1, x] W, into z, n
            # σ(z) = (1 + tanh(z/2)) / 2, so one call of tanh serves both
            z *= HALF
            np.tanh(zn[t], out=zn[t])
            z *= HALF
            z += HALF
            np.subtract(h[t], n, out=scratch)  # h = z ∘ h' + (1 - z) ∘ n = n + z ∘ (h' - n)
            scratch *= z
            np.add(n, scratch, out=h[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            # The gradients of z and n before their activations overwrite them, step by step, in
            # the order that the product needs. Read zn[t] before d[t] is written.
            d = zn.reshape(T, B, 2 * H)
            product_back = step_product(W[:H].T, B, T, work)
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()  # (B, H)
            for steps in reversed(time_blocks(T, 2 * B * H)):
                local = _derivatives(zn[steps], h[steps], work)  # (m, 2, B, H)
                for k, t in backwards(steps):
                    dh += dy[t]  # y = h
                    dzn = np.multiply(dh, local[k], out=local[k])  # dz = dh ∘ ∂h/∂z, dn likewise
                    dh *= zn[t, 0]  # h = z ∘ h' + …: dh' = dh ∘ z
                    d[t].reshape(B, 2, H)[...] = dzn.swapaxes(0, 1)  # overwrites z and n
                    product_back(d[t], out=scratch)  # [h', 1, x] W: dh' += d Wᵀ
                    dh += scratch
                    clear(resets, t, dh)
            operand.write_gradient(g["W"], d)  # dW = Σ_t [h', 1, x]ᵀ d
            dx = operand.input_gradient(W[H + 1 :], d)  # dx = d W_xᵀ
            return dx, (dh,)

        return operand.y, (h[T].copy(),), backward


def _derivatives(zn: Array, h: Array, work: Workspace) -> Array:
    """The local derivatives of m steps, which need no gradient.

    Args:
        zn: z, n, `(m, 2, B, H)`.
        h: the hidden state before each step, `(m, B, H)`.
        work: scratch memory.

    Returns:
        ∂h/∂z and ∂h/∂n, `(m, 2, B, H)`, where z and n are taken before their activations.
    """
    z, n = zn.swapaxes(0, 1)  # (m, B, H) each
    local = work.array("local", *zn.shape)
    dh_dz, dh_dn = local.swapaxes(0, 1)  # (m, B, H) each
    np.subtract(1, z, out=dh_dz)  # 1 - z, to begin with
    np.square(n, out=dh_dn)  # h = n + z ∘ (h' - n): ∂h/∂n = (1 - z) ∘ (1 - n²)
    np.subtract(1, dh_dn, out=dh_dn)
    dh_dn *= dh_dz
    dh_dz *= z  # ∂h/∂z = (h' - n) ∘ z ∘ (1 - z)
    dh_dz *= h - n
    return local
