"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    i_t = σ(W_i [h_{t-1}; 1; x_t])      input gate
    f_t = σ(W_f [h_{t-1}; 1; x_t])      forget gate
    o_t = σ(W_o [h_{t-1}; 1; x_t])      output gate
    g_t = tanh(W_g [h_{t-1}; 1; x_t])   candidate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    h_t = o_t ∘ tanh(c_t)

W holds the rows of the gates in the order i, f, o, g.
"""

import numpy as np

from charlm.cells.init import input_weights, orthogonal_blocks
from charlm.cells.operand import Operand
from charlm.cells.protocol import Array, Backward, State
from charlm.ops import step_product
from charlm.params import Params
from charlm.workspace import Workspace


class LSTM:
    """LSTM. Parameters: W `(4H, H+1+I)`, gates i, f, o, g. State: h, c."""

    def __init__(self, inputs: int, hidden: int, *, reads_ids: bool = False) -> None:
        self.inputs = inputs
        self.reads_ids = reads_ids
        self.width = hidden

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"W": (4 * H, H + 1 + self.inputs)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, W = self.width, p["W"]
        W[:, :H] = orthogonal_blocks(4, H, rng)
        W[:, H] = 0
        W[H : 2 * H, H] = 1  # a forget gate that starts open remembers (Jozefowicz et al. 2015)
        W[:, H + 1 :] = input_weights(4 * H, self.inputs, rng, reads_ids=self.reads_ids)

    def state_widths(self) -> tuple[int, ...]:
        return (self.width, self.width)

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State, Backward]:
        h0, c0 = state
        number = work.begin()
        operand = Operand(h0, x, self.inputs, work)
        H, T, B = operand.H, operand.T, operand.B
        W, h = p["W"], operand.y
        product = operand.product(W)
        gates = work.array("gates", T, 4 * H, B)
        c = work.array("c", T + 1, H, B)
        tanh_c = work.array("tanh_c", T, H, B)
        ig = work.array("scratch", H, B)
        c[0] = c0
        for t in range(T):
            z = gates[t]
            s = z[: 3 * H]
            product(t, z)
            # σ(z) = (1 + tanh(z/2)) / 2, so that one call of tanh serves all four
            s *= 0.5
            np.tanh(z, out=z)
            s *= 0.5
            s += 0.5
            i, f, o, g = z.reshape(4, H, B)
            np.multiply(f, c[t], out=c[t + 1])
            np.multiply(i, g, out=ig)
            c[t + 1] += ig
            np.tanh(c[t + 1], out=tanh_c[t])
            np.multiply(o, tanh_c[t], out=h[:, t])

        def backward(
            grads: Params, dy: Array, dstate: State | None = None
        ) -> tuple[Array | None, State]:
            work.finish(number)
            dz = work.array("dz", 4 * H, T, B)
            dz_t = work.array("dz_t", 4 * H, B)
            di, df, do, dg = dz_t.reshape(4, H, B)
            slope = work.array("slope", 4 * H, B)
            dtanh = work.array("scratch", H, B)
            back = step_product(W[:, :H].T, B)
            zero = np.zeros((2, H, B), work.dtype)
            dh, dc = zero if dstate is None else (part.copy() for part in dstate)
            for t in reversed(range(T)):
                s, g = gates[t, : 3 * H], gates[t, 3 * H :]
                i, f, o = s.reshape(3, H, B)
                dh += dy[:, t]
                # h = o ∘ tanh(c)
                np.multiply(dh, tanh_c[t], out=do)
                np.square(tanh_c[t], out=dtanh)
                np.subtract(1, dtanh, out=dtanh)
                dtanh *= o
                dtanh *= dh
                dc += dtanh
                # c = f ∘ c' + i ∘ g
                np.multiply(dc, g, out=di)
                np.multiply(dc, c[t], out=df)
                np.multiply(dc, i, out=dg)
                dc *= f
                # σ' = σ (1 - σ), tanh' = 1 - tanh²
                np.subtract(1, s, out=slope[: 3 * H])
                slope[: 3 * H] *= s
                np.square(g, out=slope[3 * H :])
                np.subtract(1, slope[3 * H :], out=slope[3 * H :])
                np.multiply(dz_t, slope, out=dz_t)
                # z = W [h'; 1; x]
                dz[:, t] = dz_t
                back(dz_t, dh)
            operand.add_gradient(grads["W"], dz)
            return operand.input_gradient(W[:, H + 1 :], dz), (dh, dc)

        return h, (h[:, -1].copy(), c[T].copy()), backward
