"""The plain recurrent layer (Elman 1990).

    h_t = f([h_{t-1}, 1, x_t] W)

f is tanh, sigmoid or relu. With relu, the recurrent weights start as a part of the identity, so
that an untrained layer adds up what it reads and slowly forgets it (Le, Jaitly & Hinton 2015).
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.activations import ACTIVATIONS
from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.initialization import init_operand_weights
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

# With the whole identity a state that is carried through a text grows without end, and training
# diverges within some steps; with 0.9 of it, that of several layers.
KEPT = 0.5


@dataclass(frozen=True)
class RNN:
    """Elman's network. Parameters: W `(H+1+I, H)`. State: h."""

    inputs: int
    width: int
    reads_ids: bool = False
    activation: str = "tanh"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H = self.width
        return {"W": (H + 1 + self.inputs, H)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, W = self.width, p["W"]
        init_operand_weights(W, H, rng, reads_ids=self.reads_ids)
        if self.activation == "relu":
            W[:H] = KEPT * np.eye(H)

    def state_widths(self) -> tuple[int, ...]:
        return (self.width,)

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        (h0,) = state
        number = work.begin()
        operand = Operand(h0, x, work)
        H, T, B = operand.H, operand.T, operand.B
        W, h, f = p["W"], operand.h, ACTIVATIONS[self.activation]
        product = operand.product(W)
        z = work.array("z", 1, B, H)
        for t in range(T):
            product(t, z)
            f.apply(z[0], h[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            dz = work.array("dz", T, B, H)
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()
            product_back = step_product(W[:H].T, B, T, work)
            f.slope(operand.y, dz)
            for t in reversed(range(T)):
                dh += dy[t]
                dz[t] *= dh
                product_back(dz[t], dh)
            operand.write_gradient(g["W"], dz)
            return operand.input_gradient(W[H + 1 :], dz), (dh,)

        return operand.y, (h[T].copy(),), backward
