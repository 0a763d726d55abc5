"""Long short-term memory whose gates see the memory (Gers & Schmidhuber 2000).

    g_t = tanh([h_{t-1}, 1, x_t] W_g)                   candidate
    i_t = σ([h_{t-1}, 1, x_t] W_i + c_{t-1} ∘ P_i)      input gate
    f_t = σ([h_{t-1}, 1, x_t] W_f + c_{t-1} ∘ P_f)      forget gate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    o_t = σ([h_{t-1}, 1, x_t] W_o + c_t ∘ P_o)          output gate
    h_t = o_t ∘ tanh(c_t)

A peephole is a weight for each unit: the gates of a unit see its own memory and no other. The
output gate comes last and sees the new one.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.lstm import LSTM, slopes
from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.elementwise import sigmoid_
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.time_blocks import backwards, time_blocks
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class PeepholeLSTM:
    """LSTM with peepholes. Parameters: W as the LSTM's; P `(3, H)`, rows i, f, o. State: h, c."""

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

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        h0, c0 = state
        number = work.begin()
        operand = Operand(h0, x, work)
        H, T, B = operand.H, operand.T, operand.B
        W, h = p["W"], operand.h
        P_if, P_o = p["P"][:2, None], p["P"][2]  # (2, 1, H), beside c (B, H), and (H,)
        product = operand.product(W, gates=4)
        gates = work.array("gates", T, 4, B, H)
        c = work.array("c", T + 1, B, H)
        scratch = work.array("scratch", B, H)
        seen = work.array("seen", 2, B, H)
        c[0] = c0
        for t in range(T):
            z, c_t = gates[t], c[t + 1]
            product(t, z)
            g, i, f, o = z
            np.multiply(c[t], P_if, out=seen)
            z[1:3] += seen
            np.tanh(g, out=g)
            sigmoid_(z[1:3])
            np.multiply(f, c[t], out=c_t)
            np.multiply(i, g, out=scratch)
            c_t += scratch
            np.multiply(c_t, P_o, out=scratch)
            o += scratch
            sigmoid_(o)
            np.tanh(c_t, out=scratch)
            np.multiply(o, scratch, out=h[t + 1])

        def backward(grads: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            dz = gates.reshape(T, B, 4 * H)  # takes the gates' memory, step by step
            product_back = step_product(W[:H].T, B, T, work)
            zero = np.zeros((2, B, H), work.dtype)
            dh, dc = zero if dstate is None else (part.copy() for part in dstate)
            dc_before = np.empty_like(dc)
            dP = grads["P"]
            dP.fill(0)
            for steps in reversed(time_blocks(T, 4 * B * H)):
                dc_dh, dz_dc, dz_dh = slopes(gates[steps], c[steps.start : steps.stop + 1], work)
                for k, t in backwards(steps):
                    dz_t = dz[t].reshape(B, 4, H).swapaxes(0, 1)
                    f = gates[t, 2].copy()  # dz_t takes its place
                    dh += dy[t]
                    np.multiply(dh, dz_dh[k], out=dz_t[3])
                    np.multiply(dh, dc_dh[k], out=scratch)
                    dc += scratch
                    np.multiply(dz_t[3], P_o, out=scratch)
                    dc += scratch
                    np.multiply(dc, dz_dc[k], out=dz_t[:3])
                    np.multiply(dc, f, out=dc_before)
                    np.multiply(dz_t[1:3], P_if, out=seen)
                    dc_before += seen[0]
                    dc_before += seen[1]
                    dc, dc_before = dc_before, dc
                    product_back(dz[t], dh)
                d = dz[steps].reshape(-1, B, 4, H)
                dP[:2] += np.einsum("tbgh,tbh->gh", d[:, :, 1:3], c[steps])
                dP[2] += np.einsum("tbh,tbh->h", d[:, :, 3], c[steps.start + 1 : steps.stop + 1])
            operand.write_gradient(grads["W"], dz)
            return operand.input_gradient(W[H + 1 :], dz), (dh, dc)

        return operand.y, (h[T].copy(), c[T].copy()), backward
