"""Long short-term memory with coupled gates (CIFG in Greff et al. 2017).

    z_t = [h_{t-1}, 1, x_t] W                   pre-activations, in the columns g, f, o
    g_t = tanh(z_g)                             candidate
    f_t = σ(z_f)                                forget gate
    o_t = σ(z_o)                                output gate
    c_t = f_t ∘ c_{t-1} + (1 - f_t) ∘ g_t       cell state
    h_t = o_t ∘ tanh(c_t)                       hidden state, the output

The input gate of the LSTM is 1 - f: the cell takes in as much as it forgets.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets, States, clear
from charlm.nn.elementwise import HALF
from charlm.nn.initialization import init_operand_weights
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.time_blocks import backwards, time_blocks
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class CoupledLSTM:
    """LSTM with coupled gates. Parameters: W `(H+1+I, 3H)`, columns g, f, o. State: h, c."""

    inputs: int
    width: int
    reads_ids: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"W": (H + 1 + self.inputs, 3 * H)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, W = self.width, p["W"]
        init_operand_weights(W, H, rng, reads_ids=self.reads_ids)
        W[H, H : 2 * H] = 1  # the forget gate starts open, as in the LSTM

    def state_widths(self) -> tuple[int, ...]:
        return (self.width, self.width)

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        h0, c0 = state  # (B, H) each
        number = work.begin()
        operand = Operand(h0, x, work, resets)
        H, T, B = operand.H, operand.T, operand.B
        W, h = p["W"], operand.h  # (H+1+I, 3H), (T+1, B, H)
        product = operand.product(W, gates=3)
        gates = work.array("gates", T, 3, B, H)
        c = work.array("c", T + 1, B, H)  # c[t] is the cell state before step t
        scratch = work.array("scratch", B, H)
        c[0] = c0
        cells = States(c, resets, work.scope("c"))
        for t in range(T):
            operand.reset(t)
            cells.reset(t)
            z, c_t = gates[t], c[t + 1]  # (3, B, H), (B, H)
            product(t, z)  # z = [h', 1, x] W
            # σ(z) = (1 + tanh(z/2)) / 2, so one call of tanh serves all three gates
            sigmoids = z[1:]  # (2, B, H)
            sigmoids *= HALF
            np.tanh(z, out=z)
            sigmoids *= HALF
            sigmoids += HALF
            g, f, o = z[0], z[1], z[2]  # (B, H) each
            np.subtract(c[t], g, out=c_t)  # c = f ∘ c' + (1 - f) ∘ g = g + f ∘ (c' - g)
            c_t *= f
            c_t += g
            np.tanh(c_t, out=scratch)  # h = o ∘ tanh(c)
            np.multiply(o, scratch, out=h[t + 1])

        def backward(grads: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            # The gradients of z overwrite the gates, step by step, in the order that the next
            # product needs. Read all of gates[t] before dz[t] is written.
            dz = gates.reshape(T, B, 3 * H)
            product_back = step_product(W[:H].T, B, T, work)
            zeros = np.zeros((2, B, H), work.dtype)
            dh, dc = zeros if dstate is None else (part.copy() for part in dstate)  # (B, H) each
            dc_before = np.empty_like(dc)
            for steps in reversed(time_blocks(T, 3 * B * H)):
                # (n, …, B, H) each
                dh_dc, dc_dz, dh_dzo = _derivatives(gates[steps], cells.after(steps), work)
                for k, t in backwards(steps):
                    dh += dy[t]  # y = h
                    np.multiply(dh, dh_dc[k], out=scratch)  # h = o ∘ tanh(c): dc += dh ∘ ∂h/∂c
                    dc += scratch
                    f = gates[t, 1]
                    np.multiply(dc, f, out=dc_before)  # c = f ∘ c' + (1 - f) ∘ g: dc' = dc ∘ f
                    dz_t = dz[t].reshape(B, 3, H).swapaxes(0, 1)  # (3, B, H); overwrites gates
                    np.multiply(dc, dc_dz[k], out=dz_t[:2])  # dz = dc ∘ ∂c/∂z, for g, f
                    np.multiply(dh, dh_dzo[k], out=dz_t[2])  # dz = dh ∘ ∂h/∂z, for o
                    dc, dc_before = dc_before, dc
                    product_back(dz[t], out=dh)  # z = [h', 1, x] W: dh' = dz Wᵀ
                    clear(resets, t, dh, dc)
            operand.write_gradient(grads["W"], dz)  # dW = Σ_t [h', 1, x]ᵀ dz
            dx = operand.input_gradient(W[H + 1 :], dz)  # dx = dz W_xᵀ
            return dx, (dh, dc)

        return operand.y, (h[T].copy(), c[T].copy()), backward


def _derivatives(gates: Array, c: Array, work: Workspace) -> tuple[Array, Array, Array]:
    """The local derivatives of n steps, which need no gradient.

    Args:
        gates: g, f, o, `(n, 3, B, H)`.
        c: the cell state after each step, `(n, B, H)`.
        work: scratch memory.

    Returns:
        ∂h/∂c `(n, B, H)`; ∂c/∂z for g, f `(n, 2, B, H)`; ∂h/∂z for o `(n, B, H)`.
    """
    n, _, B, H = gates.shape
    g, f, o = gates.swapaxes(0, 1)  # (n, B, H) each
    by_z = work.array("by_z", n, 3, B, H)
    dc_dzg, dc_dzf, dh_dzo = by_z.swapaxes(0, 1)  # (n, B, H) each
    tanh_c = work.array("tanh_c", n, B, H)
    np.tanh(c, out=tanh_c)
    np.square(g, out=dc_dzg)  # ∂c/∂z_g = (1 - g²) ∘ (1 - f)
    np.subtract(1, dc_dzg, out=dc_dzg)
    np.subtract(1, f, out=dc_dzf)
    dc_dzg *= dc_dzf
    dc_dzf *= c - g  # ∂c/∂z_f = f ∘ (1 - f) ∘ (c' - g), and f ∘ (c' - g) = c - g
    np.subtract(1, o, out=dh_dzo)  # ∂h/∂z_o = o ∘ (1 - o) ∘ tanh(c)
    dh_dzo *= o
    dh_dzo *= tanh_c
    dh_dc = np.square(tanh_c, out=tanh_c)  # ∂h/∂c = o ∘ (1 - tanh²(c)), in the memory of tanh(c)
    np.subtract(1, dh_dc, out=dh_dc)
    dh_dc *= o
    return dh_dc, by_z[:, :2], dh_dzo
