"""What every cell is: whole sequences in, whole sequences out.

A cell holds sizes, never arrays and never state. Sequences of vectors are `(T, B, features)`: a
step's slice `[t]` holds a row for each stream of the batch, so that a step is `x_t W`, and a
weight's gradient is one product over all T·B rows. A first layer takes integer ids `(T, B)` in
their place, each of which picks a row of W.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

State = tuple[Array, ...]

Rng = np.random.Generator | None  # without one, nothing is drawn

# dx, dstate0 = backward(g, dy, dstate): overwrites the gradients g. `dy` is (T, B, width),
# `dstate` the gradient of the final state, or None where nothing comes back from later chunks.
# `dx` is None where x was ids. `dy` may be overwritten.
Gradients = tuple[Array | None, State]
Backward = Callable[[Params, Array, State | None], Gradients]

Pass = tuple[Array, State, Backward]


class Cell(Protocol):
    """A recurrent layer, or a combination of layers that acts as one."""

    @property
    def width(self) -> int:
        """The number of features of the output."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the parameters."""

    def init(self, p: Params, rng: np.random.Generator) -> None:
        """Write initial values into the parameters."""

    def state_widths(self) -> tuple[int, ...]:
        """The features of each array of the state; each array is `(B, features)`."""

    def forward(self, p: Params, x: Array, state: State, work: Workspace, rng: Rng = None) -> Pass:
        """Run over a whole sequence.

        Args:
            p: the cell's parameters.
            x: `(T, B, features)`, or integer ids `(T, B)` for a first layer.
            state: what went before, from `zero_state` or an earlier call.
            work: scratch memory. The output and what backward needs live in it until the next
                forward pass on it; the returned state is a copy.
            rng: draws what a training step draws, dropout's masks; without one, nothing drops.

        Returns:
            The output `(T, B, width)`, the state after the last step, and the backward pass,
            which can be called once.
        """


def zero_state(cell: Cell, batch: int, dtype: DTypeLike = np.float32) -> State:
    """The state before any text: zeros, one `(batch, features)` array for each part."""
    return tuple(np.zeros((batch, width), dtype) for width in cell.state_widths())
