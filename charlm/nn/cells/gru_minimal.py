"""The gated recurrent unit without its reset gate.

    z_t = σ([h_{t-1}, 1, x_t] W_z)              update gate
    h̃_t = tanh([h_{t-1}, 1, x_t] W_n)           candidate
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ h̃_t

This is the form in which lectures introduce the GRU; the update gate alone keeps a memory. It is
not the minimal gated unit of Zhou et al. 2016, whose one gate also resets. W holds the columns
in the order z, n.
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

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        (h0,) = state
        number = work.begin()
        operand = Operand(h0, x, work)
        H, T, B = operand.H, operand.T, operand.B
        W, h = p["W"], operand.h
        product = operand.product(W, gates=2)
        zn = work.array("zn", T, 2, B, H)
        scratch = work.array("scratch", B, H)
        for t in range(T):
            z, n = zn[t]
            product(t, zn[t])
            # σ(z) = (1 + tanh(z/2)) / 2, so that one call of tanh serves both
            z *= HALF
            np.tanh(zn[t], out=zn[t])
            z *= HALF
            z += HALF
            # z ∘ h' + (1 - z) ∘ h̃ = h̃ + z ∘ (h' - h̃)
            np.subtract(h[t], n, out=scratch)
            scratch *= z
            np.add(n, scratch, out=h[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            d = zn.reshape(T, B, 2 * H)  # of z, h̃: takes their memory, step by step
            product_back = step_product(W[:H].T, B, T, work)
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()
            for steps in reversed(time_blocks(T, 2 * B * H)):
                slopes = _slopes(zn[steps], h[steps], work)
                for k, t in backwards(steps):
                    dh += dy[t]
                    np.multiply(dh, slopes[k], out=slopes[k])
                    dh *= zn[t, 0]
                    d[t].reshape(B, 2, H)[...] = slopes[k].swapaxes(0, 1)
                    product_back(d[t], scratch)
                    dh += scratch
            operand.write_gradient(g["W"], d)
            return operand.input_gradient(W[H + 1 :], d), (dh,)

        return operand.y, (h[T].copy(),), backward


def _slopes(zn: Array, h: Array, work: Workspace) -> Array:
    """What dh is multiplied with for z and h̃ before σ and tanh, `(m, 2, B, H)`.

    Args:
        zn: z, h̃, `(m, 2, B, H)`.
        h: the state before each step, `(m, B, H)`.
        work: scratch memory.
    """
    z, n = zn.swapaxes(0, 1)
    slopes = work.array("slopes", *zn.shape)
    dz, dn = slopes.swapaxes(0, 1)
    # h = h̃ + z ∘ (h' - h̃), tanh' = 1 - tanh², σ' = σ (1 - σ); dz serves as scratch
    np.subtract(1, z, out=dz)
    np.square(n, out=dn)
    np.subtract(1, dn, out=dn)
    dn *= dz
    dz *= z
    dz *= h - n
    return slopes
