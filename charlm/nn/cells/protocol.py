"""The interface of a cell: it maps whole sequences to whole sequences.

A cell holds sizes only, no arrays and no state. Sequences of vectors are `(T, B, features)`: the
slice `[t]` has one row per stream of the batch, so a step is `x_t W`, and the gradient of a weight
is one product over all T·B rows. A first layer takes integer ids `(T, B)` instead, each of which
selects a row of W.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from charlm.nn.cells.resets import NO_RESETS, Resets
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

State = tuple[Array, ...]

Rng = np.random.Generator | None  # None disables dropout

# dx, dstate0 = backward(g, dy, dstate) overwrites the gradients g of the parameters. `dy` is
# (T, B, width) and may be overwritten. `dstate` is the gradient of the final state, or None for
# zeros. `dx` is None if x was ids.
Gradients = tuple[Array | None, State]
Backward = Callable[[Params, Array, State | None], Gradients]

Pass = tuple[Array, State, Backward]


class Cell(Protocol):
    """A recurrent layer, or a combination of layers with the same interface."""

    @property
    def width(self) -> int:
        """The number of features of the output."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the parameters."""

    def init(self, p: Params, rng: np.random.Generator) -> None:
        """Write initial values into the parameters."""

    def state_widths(self) -> tuple[int, ...]:
        """The features of each array of the state; each array is `(B, features)`."""

    def forward(
        self,
        p: Params,
        x: Array,
        state: State,
        work: Workspace,
        rng: Rng = None,
        resets: Resets = NO_RESETS,
    ) -> Pass:
        """Run over a whole sequence.

        Args:
            p: the cell's parameters.
            x: `(T, B, features)`, or integer ids `(T, B)` for a first layer.
            state: the state before the first step, from `zero_state` or an earlier call.
            work: scratch memory. It holds the output, and what the backward pass needs, until the
                next forward pass that uses it; the returned state is a copy.
            rng: the generator of dropout masks; without one, there is no dropout.
            resets: where the state becomes zeros before a step.

        Returns:
            The output `(T, B, width)`, the state after the last step, and the backward pass,
            which can be called once.
        """


def zero_state(cell: Cell, batch: int, dtype: DTypeLike = np.float32) -> State:
    """The initial state: zeros, an array `(batch, features)` for each part."""
    return tuple(np.zeros((batch, width), dtype) for width in cell.state_widths())
