"""The trained models and the number of operations that they need.

The matrix products of a step of T characters in B streams, with G gates of H units (G is 1, 3, 4
for rnn, gru, lstm), layers l and vocabulary V; a multiplication and an addition are two operations:

    of each layer, [h, x] with its weights    forward        2 G H (H + I_l)
                                              backward       2 G H (H + I_l)   to dh and dx
                                              of the weights 2 G H (H + I_l)
    of the head                               all three      3 · 2 V H

    needed = T B (Σ_l 6 G H (H + I_l) + 6 V H),   I_1 = 0,  I_l = H above

The input of the first layer needs no multiplication: a one-hot vector times W is a row of W, and
the gradient of that row is a sum of rows. An implementation that multiplies by one-hot vectors, or
by ones for the bias, does more operations than needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

GATES = {"rnn": 1, "gru": 3, "lstm": 4}

# Estimated operations: per parameter in a step (Adam, clipping, the sum of the gradients of two
# shards), and per gate and unit at each time step, forward and backward.
PER_PARAMETER = 16
PER_GATE = 12


@dataclass(frozen=True)
class Task:
    """A model and the shape of its batches.

    Attributes:
        cell: rnn, gru or lstm.
        layers: number of layers.
        hidden: H, units per layer.
        batch: B, batch size.
        steps: T, truncated-BPTT length.
        vocabulary: V, vocabulary size.
    """

    cell: str = "lstm"
    layers: int = 1
    hidden: int = 256
    batch: int = 32
    steps: int = 64
    vocabulary: int = 65

    @property
    def name(self) -> str:
        """The name, such as `lstm 1x256, 32, 64`."""
        return f"{self.cell} {self.layers}x{self.hidden}, {self.batch}, {self.steps}"

    @property
    def characters(self) -> int:
        """Characters per step, T · B."""
        return self.steps * self.batch

    @property
    def needed(self) -> int:
        """Operations of the matrix products of a step; see the module docstring."""
        G, H, V = GATES[self.cell], self.hidden, self.vocabulary
        inner = H + (self.layers - 1) * 2 * H
        return self.characters * (6 * G * H * inner + 6 * V * H)

    @property
    def parameters(self) -> int:
        """Number of parameters without biases."""
        G, H, V = GATES[self.cell], self.hidden, self.vocabulary
        return G * H * (V + H + (self.layers - 1) * 2 * H) + V * H

    @property
    def arithmetic(self) -> int:
        """All operations of a step: products, element-wise work, softmax, optimizer."""
        gates = self.layers * GATES[self.cell] * self.hidden
        each = PER_GATE * gates + 6 * self.vocabulary
        return self.needed + self.characters * each + PER_PARAMETER * self.parameters


COMBINATIONS = [
    Task(cell, layers, hidden, batch, steps)
    for cell in GATES
    for layers, hidden, batch, steps in (
        (2, 128, 50, 50),
        (1, 256, 32, 64),
        (1, 512, 64, 64),
        (2, 512, 64, 64),
    )
]


SMALL = [Task(cell, 1, 64, 32, 32) for cell in GATES]


def chosen(only: str, among: Sequence[Task] = COMBINATIONS) -> list[Task]:
    """The models whose names contain `only`."""
    tasks = [task for task in among if only in task.name]
    if not tasks:
        names = "; ".join(task.name for task in among)
        raise SystemExit(f"no model has {only!r} in its name; choose from {names}")
    return tasks
