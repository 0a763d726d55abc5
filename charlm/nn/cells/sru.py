"""The simple recurrent unit (Lei, Zhang & Artzi 2017, "Training RNNs as fast as CNNs").

    n_t = [1, x_t] W_n                            candidate
    f_t = σ([1, x_t] W_f)                         forget gate
    r_t = σ([1, x_t] W_r)                         reset gate
    c_t = f_t ∘ c_{t-1} + (1 - f_t) ∘ n_t         cell state
    h_t = r_t ∘ tanh(c_t) + (1 - r_t) ∘ s_t       output; s_t = x_t, or [1, x_t] W_s

Only c depends on the previous step, and only element-wise, so one product before the first step
serves all steps. The shortcut s carries the input past the cell state; if the input is not as wide
as the output, it has weights of its own. W holds the columns in the order n, f, r, s.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import Operand
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets, States, clear
from charlm.nn.elementwise import sigmoid_
from charlm.nn.initialization import input_weights
from charlm.nn.params import Params
from charlm.nn.time_blocks import backwards, time_blocks
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class SRU:
    """SRU. Parameters: W `(1+I, 4H)`, columns n, f, r, s; without s where x is H wide. State: c."""

    inputs: int
    width: int
    reads_ids: bool = False

    @property
    def blocks(self) -> int:
        """The blocks of columns of W: s has one unless x is as wide as the output."""
        return 4 if self.reads_ids or self.inputs != self.width else 3

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"W": (1 + self.inputs, self.blocks * self.width)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        W = p["W"]
        W[0] = 0
        W[1:] = input_weights(self.inputs, W.shape[1], rng, reads_ids=self.reads_ids)

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
        (c0,) = state  # (B, H)
        number = work.begin()
        operand = Operand(c0, x, work)  # its h only holds the output
        H, T, B, K = operand.H, operand.T, operand.B, self.blocks
        W, h = p["W"], operand.y  # (1+I, K·H), (T, B, H)
        gates = work.array("gates", K, T, B, H)
        c = work.array("c", T + 1, B, H)  # c[t] is the cell state before step t
        tanh_c = work.array("tanh_c", T, B, H)
        n, f, r = gates[:3]  # (T, B, H) each
        s = gates[3] if K == 4 else x  # (T, B, H)
        c[0] = c0
        cells = States(c, resets, work.scope("c"))
        for steps in time_blocks(T, K * B * H):
            xW = operand.input_product(W, steps).reshape(-1, B, K, H)  # (m, B, K, H)
            gates[:, steps] = np.moveaxis(xW, 2, 0)
            sigmoid_(gates[1:3, steps])
            added = work.array("added", *f[steps].shape)
            np.subtract(1, f[steps], out=added)  # c = f ∘ c' + (1 - f) ∘ n
            added *= n[steps]
            for k, t in enumerate(range(steps.start, steps.stop)):
                cells.reset(t)
                np.multiply(f[t], c[t], out=c[t + 1])
                c[t + 1] += added[k]
            np.tanh(cells.after(steps), out=tanh_c[steps])
            # h = r ∘ tanh(c) + (1 - r) ∘ s = s + r ∘ (tanh(c) - s)
            np.subtract(tanh_c[steps], s[steps], out=added)
            added *= r[steps]
            np.add(added, s[steps], out=h[steps])

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            d = work.array("d", T, B, K, H)  # of n, f, r, s before their activations
            dc = np.zeros((B, H), work.dtype) if dstate is None else dstate[0].copy()  # (B, H)
            for steps in reversed(time_blocks(T, K * B * H)):
                before = c[steps]  # (m, B, H)
                dn, df, dr = np.moveaxis(d[steps], 2, 0)[:3]  # (m, B, H) each
                np.multiply(dy[steps], r[steps], out=dr)  # dh ∘ r, to begin with
                dcs = work.array("dcs", *before.shape)
                np.square(tanh_c[steps], out=dcs)  # h = r ∘ tanh(c) + …: dc = dh ∘ r ∘ (1 - tanh²)
                np.subtract(1, dcs, out=dcs)
                dcs *= dr
                for k, t in backwards(steps):
                    dcs[k] += dc
                    np.multiply(dcs[k], f[t], out=dc)  # c = f ∘ c' + …: dc' = dc ∘ f
                    clear(resets, t, dc)
                # h = s + r ∘ (tanh(c) - s): dr = dh ∘ r ∘ (1 - r) ∘ (tanh(c) - s)
                dr *= 1 - r[steps]
                ds = dy[steps]  # ds = dh ∘ (1 - r), in the memory of dy
                ds *= 1 - r[steps]
                dr *= tanh_c[steps] - s[steps]
                if K == 4:
                    d[steps, :, 3] = ds
                np.subtract(1, f[steps], out=dn)  # c = f ∘ c' + (1 - f) ∘ n: dn = dc ∘ (1 - f)
                dn *= dcs
                np.multiply(dn, f[steps], out=df)  # df = dc ∘ f ∘ (1 - f) ∘ (c' - n)
                df *= before - n[steps]
            dz = d.reshape(T, B, K * H)  # of [1, x] W
            operand.write_gradient(g["W"], dz, slice(H, None))  # dW = Σ_t [1, x]ᵀ dz
            dx = operand.input_gradient(W[1:], dz)  # dx = dz W_xᵀ
            if K == 3 and dx is not None:
                dx += dy  # which is ds by now, and s is x
            return dx, (dc,)

        return h, (c[T].copy(),), backward
