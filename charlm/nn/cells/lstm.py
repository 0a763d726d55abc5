"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    z_t = [h_{t-1}, 1, x_t] W               pre-activations, in the columns g, i, f, o
    g_t = tanh(z_g)                         candidate
    i_t = σ(z_i)                            input gate
    f_t = σ(z_f)                            forget gate
    o_t = σ(z_o)                            output gate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t         cell state
    h_t = o_t ∘ tanh(c_t)                   hidden state, the output

The three columns that σ acts on are adjacent, and so are the three whose gradients come from c.
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
class LSTM:
    """LSTM. Parameters: W `(H+1+I, 4H)`, columns g, i, f, o. State: h, c."""

    inputs: int
    width: int
    reads_ids: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"W": (H + 1 + self.inputs, 4 * H)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, W = self.width, p["W"]
        init_operand_weights(W, H, rng, reads_ids=self.reads_ids)
        W[H, 2 * H : 3 * H] = 1  # the forget gate starts open (Jozefowicz et al. 2015)

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
        W, h = p["W"], operand.h  # (H+1+I, 4H), (T+1, B, H)
        product = operand.product(W, gates=4)
        gates = work.array("gates", T, 4, B, H)
        c = work.array("c", T + 1, B, H)  # c[t] is the cell state before step t
        scratch = work.array("scratch", B, H)
        c[0] = c0
        cells = States(c, resets, work.scope("c"))
        for t in range(T):
            operand.reset(t)
            cells.reset(t)
            z, c_t = gates[t], c[t + 1]  # (4, B, H), (B, H)
            product(t, z)  # z = [h', 1, x] W
            # σ(z) = (1 + tanh(z/2)) / 2, so one call of tanh serves all four gates
            sigmoids = z[1:]  # (3, B, H)
            sigmoids *= HALF
            np.tanh(z, out=z)
            sigmoids *= HALF
            sigmoids += HALF
            g, i, f, o = z[0], z[1], z[2], z[3]  # (B, H) each
            np.multiply(f, c[t], out=c_t)  # c = f ∘ c' + i ∘ g
            np.multiply(i, g, out=scratch)
            c_t += scratch
            np.tanh(c_t, out=scratch)  # h = o ∘ tanh(c)
            np.multiply(o, scratch, out=h[t + 1])

        def backward(grads: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            # The gradients of z overwrite the gates, step by step, in the order that the next
            # product needs. Read all of gates[t] before dz[t] is written.
            dz = gates.reshape(T, B, 4 * H)
            product_back = step_product(W[:H].T, B, T, work)
            zeros = np.zeros((2, B, H), work.dtype)
            dh, dc = zeros if dstate is None else (part.copy() for part in dstate)  # (B, H) each
            dc_before = np.empty_like(dc)
            for steps in reversed(time_blocks(T, 4 * B * H)):
                c_after = cells.after(steps)  # (n, B, H)
                # (n, …, B, H) each
                dh_dc, dc_dz, dh_dzo = derivatives(gates[steps], c[steps], c_after, work)
                for k, t in backwards(steps):
                    dh += dy[t]  # y = h
                    np.multiply(dh, dh_dc[k], out=scratch)  # h = o ∘ tanh(c): dc += dh ∘ ∂h/∂c
                    dc += scratch
                    f = gates[t, 2]
                    np.multiply(dc, f, out=dc_before)  # c = f ∘ c' + i ∘ g: dc' = dc ∘ f
                    dz_t = dz[t].reshape(B, 4, H).swapaxes(0, 1)  # (4, B, H); overwrites gates
                    np.multiply(dc, dc_dz[k], out=dz_t[:3])  # dz = dc ∘ ∂c/∂z, for g, i, f
                    np.multiply(dh, dh_dzo[k], out=dz_t[3])  # dz = dh ∘ ∂h/∂z, for o
                    dc, dc_before = dc_before, dc
                    product_back(dz[t], out=dh)  # z = [h', 1, x] W: dh' = dz Wᵀ
                    clear(resets, t, dh, dc)
            operand.write_gradient(grads["W"], dz)  # dW = Σ_t [h', 1, x]ᵀ dz
            dx = operand.input_gradient(W[H + 1 :], dz)  # dx = dz W_xᵀ
            return dx, (dh, dc)

        return operand.y, (h[T].copy(), c[T].copy()), backward


def derivatives(
    gates: Array, c_before: Array, c: Array, work: Workspace
) -> tuple[Array, Array, Array]:
    """The local derivatives of n steps, which need no gradient.

    Args:
        gates: g, i, f, o, `(n, 4, B, H)`.
        c_before: the cell state before each step, `(n, B, H)`.
        c: the cell state after each step, `(n, B, H)`.
        work: scratch memory.

    Returns:
        ∂h/∂c `(n, B, H)`; ∂c/∂z for g, i, f `(n, 3, B, H)`; ∂h/∂z for o `(n, B, H)`.
    """
    n, _, B, H = gates.shape
    g, i, _, o = gates.swapaxes(0, 1)  # (n, B, H) each
    by_z = work.array("by_z", n, 4, B, H)
    dc_dzg, dc_dzi, dc_dzf, dh_dzo = by_z.swapaxes(0, 1)  # (n, B, H) each
    tanh_c = work.array("tanh_c", n, B, H)
    np.tanh(c, out=tanh_c)
    np.square(g, out=dc_dzg)  # ∂g/∂z = 1 - g²
    np.subtract(1, dc_dzg, out=dc_dzg)
    np.subtract(1, gates[:, 1:], out=by_z[:, 1:])  # ∂σ/∂z = σ (1 - σ), for i, f, o
    by_z[:, 1:] *= gates[:, 1:]
    dc_dzg *= i  # c = f ∘ c' + i ∘ g
    dc_dzi *= g
    dc_dzf *= c_before
    dh_dzo *= tanh_c  # h = o ∘ tanh(c)
    dh_dc = np.square(tanh_c, out=tanh_c)  # ∂h/∂c = o ∘ (1 - tanh²(c)), in the memory of tanh(c)
    np.subtract(1, dh_dc, out=dh_dc)
    dh_dc *= o
    return dh_dc, by_z[:, :3], dh_dzo
