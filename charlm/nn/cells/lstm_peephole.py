"""Long short-term memory with peephole connections (Gers & Schmidhuber 2000).

    z_t = [h_{t-1}, 1, x_t] W               pre-activations, in the columns g, i, f, o
    g_t = tanh(z_g)                         candidate
    i_t = σ(z_i + c_{t-1} ∘ P_i)            input gate
    f_t = σ(z_f + c_{t-1} ∘ P_f)            forget gate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t         cell state
    o_t = σ(z_o + c_t ∘ P_o)                output gate
    h_t = o_t ∘ tanh(c_t)                   hidden state, the output

A peephole is one weight per unit: the gates of a unit see its own cell state and no other. The
output gate comes last and sees the new cell state.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.lstm import LSTM, derivatives
from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets, States, clear
from charlm.nn.elementwise import sigmoid_
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.time_blocks import backwards, time_blocks
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class PeepholeLSTM:
    """LSTM with peepholes. Parameters: W as in the LSTM; P `(3, H)`, rows i, f, o. State: h, c."""

    inputs: int
    width: int
    reads_ids: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"W": (H + 1 + self.inputs, 4 * H), "P": (3, H)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        LSTM(self.inputs, self.width, self.reads_ids).init(p, rng)
        p["P"][...] = rng.normal(scale=0.1, size=p["P"].shape)

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
        P_if, P_o = p["P"][:2, None], p["P"][2]  # (2, 1, H), which broadcasts with c (B, H); (H,)
        product = operand.product(W, gates=4)
        gates = work.array("gates", T, 4, B, H)
        c = work.array("c", T + 1, B, H)  # c[t] is the cell state before step t
        scratch = work.array("scratch", B, H)
        through_P = work.array("through_P", 2, B, H)
        c[0] = c0
        cells = States(c, resets, work.scope("c"))
        for t in range(T):
            operand.reset(t)
            cells.reset(t)
            z, c_t = gates[t], c[t + 1]  # (4, B, H), (B, H)
            product(t, z)  # z = [h', 1, x] W
            g, i, f, o = z  # (B, H) each
            np.multiply(c[t], P_if, out=through_P)  # z_i += c' ∘ P_i, z_f += c' ∘ P_f
            z[1:3] += through_P
            np.tanh(g, out=g)
            sigmoid_(z[1:3])
            np.multiply(f, c[t], out=c_t)  # c = f ∘ c' + i ∘ g
            np.multiply(i, g, out=scratch)
            c_t += scratch
            np.multiply(c_t, P_o, out=scratch)  # z_o += c ∘ P_o
            o += scratch
            sigmoid_(o)
            np.tanh(c_t, out=scratch)  # h = o ∘ tanh(c)
            np.multiply(o, scratch, out=h[t + 1])

        def backward(grads: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            # The gradients of z overwrite the gates, step by step, in the order that the next
            # product needs. What is needed of gates[t] is copied before dz[t] is written.
            dz = gates.reshape(T, B, 4 * H)
            product_back = step_product(W[:H].T, B, T, work)
            zeros = np.zeros((2, B, H), work.dtype)
            dh, dc = zeros if dstate is None else (part.copy() for part in dstate)  # (B, H) each
            dc_before = np.empty_like(dc)
            dP = grads["P"]
            dP.fill(0)
            for steps in reversed(time_blocks(T, 4 * B * H)):
                c_after = cells.after(steps)  # (n, B, H)
                # (n, …, B, H) each
                dh_dc, dc_dz, dh_dzo = derivatives(gates[steps], c[steps], c_after, work)
                for k, t in backwards(steps):
                    f = gates[t, 2].copy()
                    dz_t = dz[t].reshape(B, 4, H).swapaxes(0, 1)  # (4, B, H); overwrites gates
                    dh += dy[t]  # y = h
                    np.multiply(dh, dh_dzo[k], out=dz_t[3])  # dz = dh ∘ ∂h/∂z, for o
                    np.multiply(dh, dh_dc[k], out=scratch)  # h = o ∘ tanh(c): dc += dh ∘ ∂h/∂c
                    dc += scratch
                    np.multiply(dz_t[3], P_o, out=scratch)  # z_o += c ∘ P_o: dc += dz_o ∘ P_o
                    dc += scratch
                    np.multiply(dc, dc_dz[k], out=dz_t[:3])  # dz = dc ∘ ∂c/∂z, for g, i, f
                    np.multiply(dc, f, out=dc_before)  # c = f ∘ c' + i ∘ g: dc' = dc ∘ f
                    np.multiply(dz_t[1:3], P_if, out=through_P)  # z_if += c' ∘ P: dc' += dz ∘ P
                    dc_before += through_P[0]
                    dc_before += through_P[1]
                    dc, dc_before = dc_before, dc
                    product_back(dz[t], out=dh)  # z = [h', 1, x] W: dh' = dz Wᵀ
                    clear(resets, t, dh, dc)
                d = dz[steps].reshape(-1, B, 4, H)
                # z_if += c' ∘ P: dP = Σ_t Σ_b dz ∘ c'; z_o += c ∘ P_o: dP_o = Σ_t Σ_b dz_o ∘ c
                dP[:2] += np.einsum("tbgh,tbh->gh", d[:, :, 1:3], c[steps])
                dP[2] += np.einsum("tbh,tbh->h", d[:, :, 3], c_after)
            operand.write_gradient(grads["W"], dz)  # dW = Σ_t [h', 1, x]ᵀ dz
            dx = operand.input_gradient(W[H + 1 :], dz)  # dx = dz W_xᵀ
            return dx, (dh, dc)

        return operand.y, (h[T].copy(), c[T].copy()), backward
