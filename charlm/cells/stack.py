"""Combinations of layers that act as one cell: a stack, dropout, character vectors."""

from collections.abc import Mapping
from itertools import accumulate, pairwise

import numpy as np

from charlm.arrays import Array
from charlm.cells.operand import flat
from charlm.cells.protocol import Backward, Cell, State
from charlm.ops import sum_rows
from charlm.params import Params, scoped
from charlm.workspace import Workspace


class Stack:
    """Layers one upon the other: the output of each is the input of the next.

    Args:
        layers: named, from the bottom up; layer `name` keeps its parameters under `name.`.
    """

    def __init__(self, layers: Mapping[str, Cell]) -> None:
        self.layers = dict(layers)
        ends = list(accumulate(len(cell.state_widths()) for cell in layers.values()))
        self._parts = [slice(a, b) for a, b in pairwise([0, *ends])]  # of the state, layer by layer
        self.width = list(self.layers.values())[-1].width

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            name: shape
            for layer, cell in self.layers.items()
            for name, shape in scoped(layer, cell.shapes()).items()
        }

    def init(self, p: Params, rng: np.random.Generator) -> None:
        for name, cell in self.layers.items():
            cell.init(p.scope(name), rng)

    def state_widths(self) -> tuple[int, ...]:
        return tuple(w for cell in self.layers.values() for w in cell.state_widths())

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State, Backward]:
        final: State = ()
        undo: list[tuple[str, Backward]] = []
        for (name, cell), part in zip(self.layers.items(), self._parts, strict=True):
            x, after, backward = cell.forward(p.scope(name), x, state[part], work.scope(name), rng)
            final += after
            undo.append((name, backward))

        def backward_all(
            g: Params, dy: Array, dstate: State | None = None
        ) -> tuple[Array | None, State]:
            dstate0: State = ()
            dx: Array | None = dy
            for (name, backward), part in zip(reversed(undo), reversed(self._parts), strict=True):
                assert dx is not None, "only the lowest layer reads ids"
                dx, before = backward(g.scope(name), dx, None if dstate is None else dstate[part])
                dstate0 = before + dstate0
            return dx, dstate0

        return x, final, backward_all


class Dropout:
    """Inverted dropout (Srivastava et al. 2014), a mask of its own at every step.

    y = x ∘ m / (1 - rate), where m is 0 with probability `rate`, else 1; y = x without rng.
    """

    def __init__(self, width: int, rate: float) -> None:
        self.width = width
        self.rate = rate

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
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State, Backward]:
        if rng is None:
            return x, (), lambda g, dy, dstate=None: (dy, ())
        number = work.begin()
        mask = work.array("mask", *x.shape)
        rng.random(out=mask, dtype=mask.dtype.type)
        np.greater_equal(mask, self.rate, out=mask)
        mask /= 1 - self.rate
        y = work.array("y", *x.shape)
        np.multiply(x, mask, out=y)

        def backward(
            g: Params, dy: Array, dstate: State | None = None
        ) -> tuple[Array | None, State]:
            work.finish(number)
            dy *= mask
            return dy, ()

        return y, (), backward


class Embedding:
    """A vector for each character: y_t = W[x_t]. Parameters: W `(V, D)`."""

    def __init__(self, vocabulary: int, width: int) -> None:
        self.vocabulary = vocabulary
        self.width = width

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
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State, Backward]:
        number = work.begin()
        y = work.array("y", *x.shape, self.width)
        np.take(p["W"], x, axis=0, out=y, mode="clip")

        def backward(
            g: Params, dy: Array, dstate: State | None = None
        ) -> tuple[Array | None, State]:
            work.finish(number)
            sum_rows(g["W"], x.ravel(), flat(dy))
            return None, ()

        return y, (), backward
