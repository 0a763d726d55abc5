"""Layers that are combined into one cell: a stack, and a residual connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from charlm.nn.cells.protocol import Backward, Cell, Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets
from charlm.nn.params import Params, scoped
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


class Stack:
    """A stack of layers: the output of each is the input of the next.

    Args:
        layers: by name, from the bottom up; the parameters of layer `name` start with `name.`.
    """

    def __init__(self, layers: Mapping[str, Cell]) -> None:
        self.layers = dict(layers)
        ends = list(accumulate(len(cell.state_widths()) for cell in layers.values()))
        self._parts = [slice(a, b) for a, b in pairwise([0, *ends])]  # of the state, per layer
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
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        final: State = ()
        undo: list[tuple[str, Backward]] = []
        for (name, cell), part in zip(self.layers.items(), self._parts, strict=True):
            x, after, backward = cell.forward(
                p.scope(name), x, state[part], work.scope(name), rng, resets
            )
            final += after
            undo.append((name, backward))

        def backward_all(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            dstate0: State = ()
            dx: Array | None = dy
            for (name, backward), part in zip(reversed(undo), reversed(self._parts), strict=True):
                assert dx is not None, "only the lowest layer reads ids"
                dx, before = backward(g.scope(name), dx, None if dstate is None else dstate[part])
                dstate0 = before + dstate0
            return dx, dstate0

        return x, final, backward_all


@dataclass(frozen=True)
class Residual:
    """A residual connection: y = x + cell(x) (He et al. 2016).

    The output of the cell is as wide as its input.
    """

    cell: Cell

    @property
    def width(self) -> int:
        return self.cell.width

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.cell.shapes()

    def init(self, p: Params, rng: np.random.Generator) -> None:
        self.cell.init(p, rng)

    def state_widths(self) -> tuple[int, ...]:
        return self.cell.state_widths()

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        inner, final, inner_backward = self.cell.forward(
            p, x, state, work.scope("cell"), rng, resets
        )
        y = work.array("y", *x.shape)
        np.add(x, inner, out=y)

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            shortcut = work.array("shortcut", *dy.shape)
            shortcut[...] = dy  # the cell may overwrite dy
            dx, dstate0 = inner_backward(g, dy, dstate)
            assert dx is not None, "ids cannot be added to vectors"
            dx += shortcut  # y = x + cell(x): dx = dx_cell + dy
            return dx, dstate0

        return y, final, backward
