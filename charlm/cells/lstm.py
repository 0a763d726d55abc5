"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    g_t = tanh(W_g [h_{t-1}; 1; x_t])   candidate
    i_t = σ(W_i [h_{t-1}; 1; x_t])      input gate
    f_t = σ(W_f [h_{t-1}; 1; x_t])      forget gate
    o_t = σ(W_o [h_{t-1}; 1; x_t])      output gate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    h_t = o_t ∘ tanh(c_t)

W holds the rows in the order g, i, f, o: the three that σ acts on lie together, and so do the
three whose gradient comes from c.
"""

import numpy as np

from charlm.cells.init import input_weights, orthogonal_blocks
from charlm.cells.operand import Operand
from charlm.cells.protocol import Array, Backward, State
from charlm.ops import chunks, step_product
from charlm.params import Params
from charlm.workspace import Workspace


class LSTM:
    """LSTM. Parameters: W `(4H, H+1+I)`, rows g, i, f, o. State: h, c."""

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
        W[2 * H : 3 * H, H] = 1  # a forget gate that starts open remembers (Jozefowicz et al. 2015)
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
            s = z[H:]
            product(t, z)
            # σ(z) = (1 + tanh(z/2)) / 2, so that one call of tanh serves all four
            s *= 0.5
            np.tanh(z, out=z)
            s *= 0.5
            s += 0.5
            g, i, f, o = z.reshape(4, H, B)
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
            dgif, do = dz_t[: 3 * H].reshape(3, H, B), dz_t[3 * H :]
            dc_t = work.array("scratch", H, B)
            back = step_product(W[:, :H].T, B)
            zero = np.zeros((2, H, B), work.dtype)
            dh, dc = zero if dstate is None else (part.copy() for part in dstate)
            for steps in reversed(chunks(T, 4 * H * B)):
                dc_dh, dz_dc, dz_dh = _slopes(gates[steps], c[steps], tanh_c[steps], work)
                for k, t in reversed(list(enumerate(range(steps.start, steps.stop)))):
                    dh += dy[:, t]
                    np.multiply(dh, dc_dh[k], out=dc_t)
                    dc += dc_t
                    np.multiply(dc, dz_dc[k], out=dgif)
                    np.multiply(dh, dz_dh[k], out=do)
                    dc *= gates[t, 2 * H : 3 * H]
                    dz[:, t] = dz_t
                    back(dz_t, dh)
            operand.add_gradient(grads["W"], dz)
            return operand.input_gradient(W[:, H + 1 :], dz), (dh, dc)

        return h, (h[:, -1].copy(), c[T].copy()), backward


def _slopes(gates: Array, c: Array, tanh_c: Array, work: Workspace) -> tuple[Array, Array, Array]:
    """What gradients are multiplied with on their way back through n steps.

    Args:
        gates: g, i, f, o, `(n, 4H, B)`.
        c: the memory before each step, `(n, H, B)`.
        tanh_c: of the memory after, `(n, H, B)`.
        work: scratch memory.

    Returns:
        ∂c/∂h `(n, H, B)`; ∂z/∂c for g, i, f `(n, 3, H, B)`; ∂z/∂h for o `(n, H, B)`.
    """
    n, H, B = c.shape
    g, i, _, o = gates.reshape(n, 4, H, B).swapaxes(0, 1)
    # h = o ∘ tanh(c)
    dc_dh = work.array("dc_dh", n, H, B)
    np.square(tanh_c, out=dc_dh)
    np.subtract(1, dc_dh, out=dc_dh)
    dc_dh *= o
    # tanh' = 1 - tanh², σ' = σ (1 - σ)
    slope = work.array("slope", n, 4, H, B)
    dg, di, df, do = slope.swapaxes(0, 1)
    np.square(g, out=dg)
    np.subtract(1, dg, out=dg)
    sigmas = gates[:, H:].reshape(n, 3, H, B)
    np.subtract(1, sigmas, out=slope[:, 1:])
    slope[:, 1:] *= sigmas
    # c = f ∘ c' + i ∘ g
    dg *= i
    di *= g
    df *= c
    do *= tanh_c
    return dc_dh, slope[:, :3], do
