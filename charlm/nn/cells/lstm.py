"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    g_t = tanh([h_{t-1}, 1, x_t] W_g)   candidate
    i_t = σ([h_{t-1}, 1, x_t] W_i)      input gate
    f_t = σ([h_{t-1}, 1, x_t] W_f)      forget gate
    o_t = σ([h_{t-1}, 1, x_t] W_o)      output gate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    h_t = o_t ∘ tanh(c_t)

W holds the columns in the order g, i, f, o: the three that σ acts on lie together, and so do
the three whose gradient comes from c.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
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
        W[H, 2 * H : 3 * H] = 1  # a forget gate that starts open remembers (Jozefowicz et al. 2015)

    def state_widths(self) -> tuple[int, ...]:
        return (self.width, self.width)

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        h0, c0 = state
        number = work.begin()
        operand = Operand(h0, x, work)
        H, T, B = operand.H, operand.T, operand.B
        W, h = p["W"], operand.h
        product = operand.product(W, gates=4)
        gates = work.array("gates", T, 4, B, H)
        c = work.array("c", T + 1, B, H)
        scratch = work.array("scratch", B, H)
        c[0] = c0
        for t in range(T):
            z, c_t = gates[t], c[t + 1]
            product(t, z)
            # σ(z) = (1 + tanh(z/2)) / 2, so that one call of tanh serves all four
            s = z[1:]
            s *= HALF
            np.tanh(z, out=z)
            s *= HALF
            s += HALF
            g, i, f, o = z[0], z[1], z[2], z[3]
            np.multiply(f, c[t], out=c_t)
            np.multiply(i, g, out=scratch)
            c_t += scratch
            np.tanh(c_t, out=scratch)
            np.multiply(o, scratch, out=h[t + 1])

        def backward(grads: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            dz = gates.reshape(T, B, 4 * H)  # takes the gates' memory, step by step
            product_back = step_product(W[:H].T, B, T, work)
            zero = np.zeros((2, B, H), work.dtype)
            dh, dc = zero if dstate is None else (part.copy() for part in dstate)
            dc_before = np.empty_like(dc)
            for steps in reversed(time_blocks(T, 4 * B * H)):
                dc_dh, dz_dc, dz_dh = slopes(gates[steps], c[steps.start : steps.stop + 1], work)
                for k, t in backwards(steps):
                    dh += dy[t]
                    np.multiply(dh, dc_dh[k], out=scratch)
                    dc += scratch
                    np.multiply(dc, gates[t, 2], out=dc_before)
                    dz_t = dz[t].reshape(B, 4, H).swapaxes(0, 1)
                    np.multiply(dc, dz_dc[k], out=dz_t[:3])
                    np.multiply(dh, dz_dh[k], out=dz_t[3])
                    dc, dc_before = dc_before, dc
                    product_back(dz[t], dh)
            operand.write_gradient(grads["W"], dz)
            return operand.input_gradient(W[H + 1 :], dz), (dh, dc)

        return operand.y, (h[T].copy(), c[T].copy()), backward


def slopes(gates: Array, c: Array, work: Workspace) -> tuple[Array, Array, Array]:
    """What gradients are multiplied with on their way back through n steps.

    Args:
        gates: g, i, f, o, `(n, 4, B, H)`.
        c: the memory before the first and after each step, `(n+1, B, H)`.
        work: scratch memory.

    Returns:
        ∂c/∂h `(n, B, H)`; ∂z/∂c for g, i, f `(n, 3, B, H)`; ∂z/∂h for o `(n, B, H)`.
    """
    n, _, B, H = gates.shape
    g, i, _, o = gates.swapaxes(0, 1)
    slope = work.array("slope", n, 4, B, H)
    dg, di, df, do = slope.swapaxes(0, 1)
    tanh_c = work.array("tanh_c", n, B, H)
    np.tanh(c[1:], out=tanh_c)
    # tanh' = 1 - tanh², σ' = σ (1 - σ)
    np.square(g, out=dg)
    np.subtract(1, dg, out=dg)
    np.subtract(1, gates[:, 1:], out=slope[:, 1:])
    slope[:, 1:] *= gates[:, 1:]
    # c = f ∘ c' + i ∘ g, h = o ∘ tanh(c)
    dg *= i
    di *= g
    df *= c[:-1]
    do *= tanh_c
    dc_dh = np.square(tanh_c, out=tanh_c)
    np.subtract(1, dc_dh, out=dc_dh)
    dc_dh *= o
    return dc_dh, slope[:, :3], do
