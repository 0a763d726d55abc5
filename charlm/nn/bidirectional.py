"""Layers that read from the end, and from both ends (Schuster & Paliwal 1997).

    →h_t = forward(x_1 … x_t)        ←h_t = backward(x_T … x_t)
    y_t = [→h_t, ←h_t]

A layer that reads from the end needs the whole sequence, so it cannot generate text.
"""

from dataclasses import dataclass

import numpy as np

from charlm.nn.cells.protocol import Cell, Gradients, Pass, Rng, State
from charlm.nn.cells.resets import NO_RESETS, Resets
from charlm.nn.params import Params, scoped
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array


@dataclass(frozen=True)
class Reverse:
    """A layer that reads its input from the last step to the first.

    Its output at a step depends on that step and all later ones; its final state is that after the
    first step.
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
        last = len(x) - 1
        reversed_ = {last - t: rows for t, rows in resets.items()}
        y, final, inner_backward = self.cell.forward(p, x[::-1], state, work, rng, reversed_)

        def backward(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            dx, dstate0 = inner_backward(g, dy[::-1], dstate)
            return None if dx is None else dx[::-1], dstate0

        return y[::-1], final, backward


class Bidirectional:
    """Two layers that read the same input from both ends; their outputs are concatenated.

    Args:
        forward: reads from the first step; its parameters start with `forward.`.
        backward: reads from the last step; its parameters start with `backward.`.
    """

    def __init__(self, forward: Cell, backward: Cell) -> None:
        self.halves: tuple[Cell, Cell] = (forward, Reverse(backward))
        self.width = forward.width + backward.width

    def shapes(self) -> dict[str, tuple[int, ...]]:
        forward, backward = self.halves
        return scoped("forward", forward.shapes()) | scoped("backward", backward.shapes())

    def init(self, p: Params, rng: np.random.Generator) -> None:
        for name, half in zip(("forward", "backward"), self.halves, strict=True):
            half.init(p.scope(name), rng)

    def state_widths(self) -> tuple[int, ...]:
        forward, backward = self.halves
        return (*forward.state_widths(), *backward.state_widths())

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        forward, backward = self.halves
        number, middle, parts = work.begin(), forward.width, len(forward.state_widths())
        right, after_right, backward_right = forward.forward(
            p.scope("forward"), x, state[:parts], work.scope("forward"), rng, resets
        )
        left, after_left, backward_left = backward.forward(
            p.scope("backward"), x, state[parts:], work.scope("backward"), rng, resets
        )
        y = work.array("y", *x.shape[:2], self.width)
        y[:, :, :middle], y[:, :, middle:] = right, left

        def backward_both(g: Params, dy: Array, dstate: State | None = None) -> Gradients:
            work.finish(number)
            ends = (None, None) if dstate is None else (dstate[:parts], dstate[parts:])
            dx, before_right = backward_right(g.scope("forward"), dy[:, :, :middle], ends[0])
            more, before_left = backward_left(g.scope("backward"), dy[:, :, middle:], ends[1])
            if dx is not None and more is not None:
                dx += more
            return dx, before_right + before_left

        return y, after_right + after_left, backward_both
