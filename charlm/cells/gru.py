"""The gated recurrent unit, in the form of cuDNN and PyTorch.

    z_t = σ(U_z [h_{t-1}; 1] + V_z [1; x_t])             update gate
    r_t = σ(U_r [h_{t-1}; 1] + V_r [1; x_t])             reset gate
    a_t = U_n [h_{t-1}; 1]
    h̃_t = tanh(V_n [1; x_t] + r_t ∘ a_t)                 candidate
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ h̃_t

The reset gate acts after the recurrent product, so one product a step serves all three; in
Cho et al. 2014 it acts before. U holds the rows z, r, n and V the rows n, z, r: one array of
gradients (n, z, r, a) then serves both, V with its first three parts and U with its last.
"""

import numpy as np

from charlm.cells.init import input_weights, orthogonal_blocks
from charlm.cells.operand import Operand
from charlm.cells.protocol import Array, Backward, State
from charlm.ops import chunks, sigmoid_, step_product
from charlm.params import Params
from charlm.workspace import Workspace


class GRU:
    """GRU. Parameters: U `(3H, H+1)`, rows z, r, n; V `(3H, 1+I)`, rows n, z, r. State: h."""

    def __init__(self, inputs: int, hidden: int, *, reads_ids: bool = False) -> None:
        self.inputs = inputs
        self.reads_ids = reads_ids
        self.width = hidden

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"U": (3 * H, H + 1), "V": (3 * H, 1 + self.inputs)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, U, V = self.width, p["U"], p["V"]
        U[:, :H] = orthogonal_blocks(3, H, rng)
        U[:, H] = 0
        V[:, 0] = 0
        V[:, 1:] = input_weights(3 * H, self.inputs, rng, reads_ids=self.reads_ids)

    def state_widths(self) -> tuple[int, ...]:
        return (self.width,)

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State, Backward]:
        (h0,) = state
        number = work.begin()
        operand = Operand(h0, x, self.inputs, work)
        H, T, B = operand.H, operand.T, operand.B
        U, V = p["U"], p["V"]
        h, h1 = operand.A[:H], operand.A[: H + 1]  # step t reads h[:, t] and writes h[:, t+1]
        Vx = operand.input_product(V)  # (3H, T, B)
        zra = work.array("zra", T, 3 * H, B)
        candidate = work.array("candidate", T, H, B)
        difference = work.array("scratch", H, B)
        product = step_product(U, B)
        for t in range(T):
            product(h1[:, t], zra[t])
            gates, n = zra[t, : 2 * H], candidate[t]
            gates += Vx[H:, t]
            sigmoid_(gates)
            z, r, a = zra[t].reshape(3, H, B)
            np.multiply(r, a, out=n)
            n += Vx[:H, t]
            np.tanh(n, out=n)
            # z ∘ h' + (1 - z) ∘ h̃ = h̃ + z ∘ (h' - h̃)
            np.subtract(h[:, t], n, out=difference)
            difference *= z
            np.add(n, difference, out=h[:, t + 1])

        def backward(
            g: Params, dy: Array, dstate: State | None = None
        ) -> tuple[Array | None, State]:
            work.finish(number)
            d = work.array("d", 4 * H, T, B)
            d_t = work.array("d_t", 4 * H, B)
            d_nz, d_ra = d_t.reshape(2, 2, H, B)
            back = work.array("scratch", H, B)
            product_back = step_product(U[:, :H].T, B)
            dh = np.zeros((H, B), work.dtype) if dstate is None else dstate[0].copy()
            for steps in reversed(chunks(T, 4 * H * B)):
                slopes = _slopes(zra[steps], candidate[steps], h[:, steps], work)
                for k, t in reversed(list(enumerate(range(steps.start, steps.stop)))):
                    dh += dy[:, t]
                    np.multiply(dh, slopes[k, :2], out=d_nz)
                    np.multiply(d_nz[0], slopes[k, 2:], out=d_ra)
                    dh *= zra[t, :H]
                    d[:, t] = d_t
                    product_back(d_t[H:], back)
                    dh += back
            operand.add_gradient(g["U"], d[H:], slice(H + 1))
            operand.add_gradient(g["V"], d[: 3 * H], slice(H, None))
            return operand.input_gradient(V[:, 1:], d[: 3 * H]), (dh,)

        return operand.y, (h[:, T].copy(),), backward


def _slopes(zra: Array, candidate: Array, h: Array, work: Workspace) -> Array:
    """What gradients are multiplied with on their way back through m steps.

    Args:
        zra: z, r, a, `(m, 3H, B)`.
        candidate: h̃, `(m, H, B)`.
        h: the state before each step, `(H, m, B)`.
        work: scratch memory.

    Returns:
        `(m, 4, H, B)`: what dh is multiplied with for h̃ and z before tanh and σ, and what the
        former then is for r before σ, and for a.
    """
    m, H, B = candidate.shape
    z, r, a = zra.reshape(m, 3, H, B).swapaxes(0, 1)
    slopes = work.array("slopes", m, 4, H, B)
    dn, dz, dr, da = slopes.swapaxes(0, 1)
    # h = h̃ + z ∘ (h' - h̃), tanh' = 1 - tanh², σ' = σ (1 - σ); da serves as scratch
    np.square(candidate, out=dn)
    np.subtract(1, dn, out=dn)
    np.subtract(1, z, out=da)
    dn *= da
    np.subtract(h.swapaxes(0, 1), candidate, out=dz)
    dz *= z
    dz *= da
    # h̃ = tanh(V_n [1; x] + r ∘ a)
    np.subtract(1, r, out=dr)
    dr *= r
    dr *= a
    da[...] = r
    return slopes
