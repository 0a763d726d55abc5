"""Jordan's network (1986): its state is its last output, not its hidden layer.

    z_t = [y_{t-1}, 1, x_t] W
    h_t = f(z_t)                  hidden layer
    o_t = [h_t, 1] O              logits of the next character, the output
    y_t = softmax(o_t)            state

The cell has its own output layer. The initial state is zeros. The whole distribution y is fed back,
not a character sampled from it, so gradients flow through the softmax.
"""

from dataclasses import dataclass, field

import numpy as np

from charlm.nn.cells.activations import ACTIVATIONS
from charlm.nn.cells.operand import Operand, flat
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets, clear
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

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        (y0,) = state  # (B, V)
        number = work.begin()
        operand = Operand(y0, x, work, resets)
        V, T, B, H = operand.H, operand.T, operand.B, self.hidden
        W, O, y = p["W"], p["O"], operand.h  # noqa: E741  # (V+1+I, H), (H+1, V), (T+1, B, V)
        f = ACTIVATIONS[self.activation]
        product = operand.product(W)
        product_out = step_product(O, B, T, work.scope("out"))
        z = work.array("z", 1, B, H)
        h = work.array("h", T, B, H + 1)  # [h, 1]
        o = work.array("o", T, B, V)
        h[:, :, H] = 1
        for t in range(T):
            operand.reset(t)
            product(t, z)  # z = [y', 1, x] W
            f.apply(z[0], h[t, :, :H])  # h = f(z)
            product_out(h[t], o[t])  # o = [h, 1] O
            y[t + 1] = o[t]
            softmax_(y[t + 1])  # y = softmax(o)

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            do = dy  # o is the output, (T, B, V)
            dz = work.array("dz", T, B, H)
            dy_t = np.zeros((B, V), work.dtype) if dstate is None else dstate[0].copy()  # (B, V)
            dh = work.array("dh", B, H)
            product_back = step_product(W[:V].T, B, T, work)
            product_out_back = step_product(O[:H].T, B, T, work.scope("out"))
            f.derivative(h[:, :, :H], dz)  # ∂h/∂z of all steps
            y_after = operand.y  # (T, B, V)
            for t in reversed(range(T)):
                dy_t *= y_after[t]  # y = softmax(o): do += y ∘ dy - y Σ (y ∘ dy)
                do[t] += dy_t
                do[t] -= y_after[t] * dy_t.sum(axis=1, keepdims=True)
                product_out_back(do[t], out=dh)  # o = [h, 1] O: dh = do Oᵀ
                dz[t] *= dh  # h = f(z): dz = dh ∘ ∂h/∂z
                product_back(dz[t], out=dy_t)  # z = [y', 1, x] W: dy' = dz Wᵀ
                clear(resets, t, dy_t)
            np.matmul(flat(h).T, flat(do), out=g["O"])  # dO = Σ_t [h, 1]ᵀ do
            operand.write_gradient(g["W"], dz)  # dW = Σ_t [y', 1, x]ᵀ dz
            dx = operand.input_gradient(W[V + 1 :], dz)  # dx = dz W_xᵀ
            return dx, (dy_t,)

        return o, (y[T].copy(),), backward
