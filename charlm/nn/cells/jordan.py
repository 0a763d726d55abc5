"""Jordan's network (1986): what it remembers is what it said, not what it thought.

    h_t = f([y_{t-1}, 1, x_t] W)
    o_t = [h_t, 1] O
    y_t = softmax(o_t)

The layer owns its output layer, and o are its outputs: the logits of the next character. Before
any text, y is zero. The distribution y goes back in whole, never a character drawn from it, so
gradients flow through the softmax.
"""

from dataclasses import dataclass, field

import numpy as np

from charlm.nn.cells.activations import ACTIVATIONS
from charlm.nn.cells.operand import Operand, flat
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.elementwise import softmax_
from charlm.nn.initialization import glorot, input_weights
from charlm.nn.params import Params
from charlm.nn.products import step_product
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class Jordan:
    """Jordan's network. Parameters: W `(V+1+I, H)`, O `(H+1, V)`. State: y `(B, V)`."""

    inputs: int
    hidden: int
    reads_ids: bool = False
    activation: str = "tanh"
    width: int = field(kw_only=True)  # V

    def shapes(self) -> dict[str, tuple[int, ...]]:
        H, V = self.hidden, self.width
        return {"W": (V + 1 + self.inputs, H), "O": (H + 1, V)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        H, V, W, O = self.hidden, self.width, p["W"], p["O"]  # noqa: E741
        W[:V] = input_weights(V, H, rng, reads_ids=True)  # y is close to one-hot
        W[V] = 0
        W[V + 1 :] = input_weights(self.inputs, H, rng, reads_ids=self.reads_ids)
        O[:H] = glorot(H, V, rng)
        O[H] = 0

    def state_widths(self) -> tuple[int, ...]:
        return (self.width,)

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        (y0,) = state
        number = work.begin()
        operand = Operand(y0, x, work)
        V, T, B, H = operand.H, operand.T, operand.B, self.hidden
        W, O, y, f = p["W"], p["O"], operand.h, ACTIVATIONS[self.activation]  # noqa: E741
        product = operand.product(W)
        product_out = step_product(O, B, T, work.scope("out"))
        z = work.array("z", 1, B, H)
        h = work.array("h", T, B, H + 1)  # [h, 1]
        o = work.array("o", T, B, V)
        h[:, :, H] = 1
        for t in range(T):
            product(t, z)
            f.apply(z[0], h[t, :, :H])
            product_out(h[t], o[t])
            y[t + 1] = o[t]
            softmax_(y[t + 1])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            do, dz = dy, work.array("dz", T, B, H)
            dy_t = np.zeros((B, V), work.dtype) if dstate is None else dstate[0].copy()
            dh = work.array("dh", B, H)
            product_back = step_product(W[:V].T, B, T, work)
            product_out_back = step_product(O[:H].T, B, T, work.scope("out"))
            f.slope(h[:, :, :H], dz)
            for t in reversed(range(T)):
                # y = softmax(o), so do = y ∘ (dy - Σ y ∘ dy), beside what comes from the loss
                dy_t *= y[t + 1]
                do[t] += dy_t
                do[t] -= y[t + 1] * dy_t.sum(axis=1, keepdims=True)
                product_out_back(do[t], dh)
                dz[t] *= dh
                product_back(dz[t], dy_t)
            np.matmul(flat(h).T, flat(do), out=g["O"])
            operand.write_gradient(g["W"], dz)
            return operand.input_gradient(W[V + 1 :], dz), (dy_t,)

        return o, (y[T].copy(),), backward
