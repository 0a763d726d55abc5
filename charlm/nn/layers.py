"""Layers without a state: dropout, embedding, dense."""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.operand import flat
from charlm.nn.cells.protocol import Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets
from charlm.nn.initialization import glorot
from charlm.nn.params import Params
from charlm.nn.products import sum_rows
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout (Srivastava et al. 2014), with a new mask at every step.

    y = x ∘ m / (1 - rate), where m is 0 with probability `rate`, else 1; y = x without rng.
    """

    width: int
    rate: float

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        pass

    def state_widths(self) -> tuple[int, ...]:
        return ()

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        if rng is None:
            return x, (), lambda g, dy, dstate=None: (dy, ())
        number = work.begin()
        mask = work.array("mask", *x.shape)
        rng.random(out=mask, dtype=mask.dtype.type)
        np.greater_equal(mask, self.rate, out=mask)
        mask /= 1 - self.rate
        y = work.array("y", *x.shape)
        np.multiply(x, mask, out=y)

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            dy *= mask  # y = x ∘ mask: dx = dy ∘ mask
            return dy, ()

        return y, (), backward


@dataclass(frozen=True)
class Embedding:
    """Character embedding: y_t = W[x_t]. Parameters: W `(V, D)`."""

    vocabulary: int
    width: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"W": (self.vocabulary, self.width)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        p["W"][...] = rng.standard_normal((self.vocabulary, self.width))

    def state_widths(self) -> tuple[int, ...]:
        return ()

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        number = work.begin()
        y = work.array("y", *x.shape, self.width)
        np.take(p["W"], x, axis=0, out=y, mode="clip")

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            sum_rows(g["W"], x.ravel(), flat(dy))  # y_t = W[x_t]: dW[i] = Σ dy_t where x_t = i
            return None, ()

        return y, (), backward


@dataclass(frozen=True)
class Dense:
    """Dense tanh layer: y_t = tanh(x_t W + b). Parameters: W `(I, H)`, b `(H,)`."""

    inputs: int
    width: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"W": (self.inputs, self.width), "b": (self.width,)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        p["W"][...] = glorot(self.inputs, self.width, rng)
        p["b"].fill(0)

    def state_widths(self) -> tuple[int, ...]:
        return ()

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        number = work.begin()
        y = work.array("y", *x.shape[:2], self.width)
        np.matmul(flat(x), p["W"], out=flat(y))  # z = x W + b
        y += p["b"]
        np.tanh(y, out=y)

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            dz = work.array("dz", *y.shape)
            np.square(y, out=dz)  # y = tanh(z): dz = dy ∘ (1 - y²)
            np.subtract(1, dz, out=dz)
            dz *= dy
            np.matmul(flat(x).T, flat(dz), out=g["W"])  # z = x W + b: dW = Σ xᵀ dz
            flat(dz).sum(axis=0, out=g["b"])
            dx = work.array("dx", *x.shape)
            np.matmul(flat(dz), p["W"].T, out=flat(dx))  # dx = dz Wᵀ
            return dx, ()

        return y, (), backward
