"""What is trained, and how much arithmetic that needs.

The matrix products of a step, T characters of B streams, with G gates of H units (G is 1, 3, 4
for rnn, gru, lstm), layers l, V characters, counted as two operations (multiply, add) for each
pair of numbers:

    of each layer, [h, x] with its weights    forward        2 G H (H + I_l)
                                              backward       2 G H (H + I_l)   to dh and dx
                                              of the weights 2 G H (H + I_l)
    of the head                               all three      3 · 2 V H

    needed = T B (Σ_l 6 G H (H + I_l) + 6 V H),   I_1 = 0,  I_l = H above

The first layer reads characters, which takes no multiplication: a one-hot vector times W is a row
of W, and the gradient of that row a sum of rows. A program may choose to multiply by the zeros and
ones all the same, or by ones for the bias; what it did is then more than what was needed.
"""

from dataclasses import dataclass

GATES = {"rnn": 1, "gru": 3, "lstm": 4}

# Operations on each parameter in a step of Adam, its clipping, and the sum of the gradients of
# two shards; and on each unit at each step of the sequence, forward and backward. Estimates.
PER_PARAMETER = 16
PER_GATE = 12


@dataclass(frozen=True)
class Task:
    """A model and the shape of its batches.

    Attributes:
        cell: rnn, gru or lstm.
        layers: how many are stacked.
        hidden: H, the width of each.
        batch: B, streams side by side.
        steps: T, characters between two truncations.
        vocabulary: V, distinct characters.
    """

    cell: str = "lstm"
    layers: int = 1
    hidden: int = 256
    batch: int = 32
    steps: int = 64
    vocabulary: int = 65

    @property
    def name(self) -> str:
        """Such as `lstm 1x256, 32, 64`."""
        return f"{self.cell} {self.layers}x{self.hidden}, {self.batch}, {self.steps}"

    @property
    def characters(self) -> int:
        """In a step: T · B."""
        return self.steps * self.batch

    @property
    def needed(self) -> int:
        """Operations that the matrix products of a step need; see the module."""
        G, H, V = GATES[self.cell], self.hidden, self.vocabulary
        inner = H + (self.layers - 1) * 2 * H
        return self.characters * (6 * G * H * inner + 6 * V * H)

    @property
    def parameters(self) -> int:
        """The numbers that are learnt, biases not counted."""
        G, H, V = GATES[self.cell], self.hidden, self.vocabulary
        return G * H * (V + H + (self.layers - 1) * 2 * H) + V * H

    @property
    def arithmetic(self) -> int:
        """All operations of a step: products, element-wise work, softmax, optimiser."""
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


def chosen(only: str) -> list[Task]:
    """The combinations whose names contain a text; all for an empty one."""
    tasks = [task for task in COMBINATIONS if only in task.name]
    if not tasks:
        names = "; ".join(task.name for task in COMBINATIONS)
        raise SystemExit(f"no combination is called like {only!r}; there are {names}")
    return tasks
