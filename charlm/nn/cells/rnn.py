"""The plain recurrent layer (Elman 1990).

    z_t = [h_{t-1}, 1, x_t] W
    h_t = f(z_t)                  hidden state, the output

f is tanh, sigmoid or relu. With relu, the recurrent weights start as a multiple of the identity, so
that an untrained layer sums its inputs with a slow decay (Le, Jaitly & Hinton 2015).
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.activations import ACTIVATIONS
from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets, clear
from charlm.nn.initialization import init_operand_weights
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

# The identity itself lets a state that is carried through a text grow without bound, and training
# diverges within a few steps; 0.9 times the identity diverges with several layers.
IDENTITY_SCALE = 0.5


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
            W[:H] = IDENTITY_SCALE * np.eye(H)

    def state_widths(self) -> tuple[int, ...]:
        return (self.width,)

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        (h0,) = state  # (B, H)
        number = work.begin()
        operand = Operand(h0, x, work, resets)
        H, T, B = operand.H, operand.T, operand.B
        W, h = p["W"], operand.h  # (H+1+I, H), (T+1, B, H)
        f = ACTIVATIONS[self.activation]
        product = operand.product(W)
        z = work.array("z", 1, B, H)
        for t in range(T):
            operand.reset(t)
            product(t, z)  # z = [h', 1, x] W
            f.apply(z[0], h[t + 1])  # h = f(z)

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            dz = work.array("dz", T, B, H)
            dh = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()  # (B, H)
            product_back = step_product(W[:H].T, B, T, work)
            f.derivative(operand.y, dz)  # ∂h/∂z of all steps
            for t in reversed(range(T)):
                dh += dy[t]  # y = h
                dz[t] *= dh  # h = f(z): dz = dh ∘ ∂h/∂z
                product_back(dz[t], out=dh)  # z = [h', 1, x] W: dh' = dz Wᵀ
                clear(resets, t, dh)
            operand.write_gradient(g["W"], dz)  # dW = Σ_t [h', 1, x]ᵀ dz
            dx = operand.input_gradient(W[H + 1 :], dz)  # dx = dz W_xᵀ
            return dx, (dh,)

        return operand.y, (h[T].copy(),), backward
