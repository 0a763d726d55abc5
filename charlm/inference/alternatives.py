"""The characters that a model finds most probable at each position of a text."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.inference.finite import finite_logits
from charlm.inference.text_input import not_characters
from charlm.inference.trained_model import TrainedModel
from charlm.nn.cells.protocol import State
from charlm.nn.elementwise import softmax_
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

MOST_LOGITS = 1 << 22  # that are in memory at once


@dataclass(frozen=True)
class Alternatives:
    """The K most probable characters at some positions of a text of N, the most probable first.

    The boundary and the unknown token are not among them, but they have a part of the probability:
    that of a character is e to the power of its negated surprisal.

    Attributes:
        ids: the characters, `(N, K)`; -1 where nothing is predicted.
        probabilities: the probability of each, `(N, K)`.
        positions: where characters are predicted, in rising order.
        excluded: the ids that are not characters.
    """

    ids: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    positions: NDArray[np.intp]
    excluded: list[int]

    @classmethod
    def at(cls, is_predicted: NDArray[np.bool_], model: TrainedModel, top: int) -> "Alternatives":
        """Room for `top` characters, or all that there are, where a mask `(N,)` is set."""
        excluded = not_characters(model)
        shape = len(is_predicted), min(top, model.network.symbols - len(excluded))
        positions = np.flatnonzero(is_predicted)
        ids, probabilities = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        return cls(ids, probabilities, positions, excluded)

    def note(self, first: int, logits: Array) -> None:
        """Note the logits `(T, V)` of the predicted characters from number `first` on."""
        z = finite_logits(logits)
        p = z.copy()
        softmax_(p)
        z[:, self.excluded] = -np.inf
        ids = np.argsort(-z, axis=1, kind="stable")[:, : self.ids.shape[1]]
        where = self.positions[first : first + len(z)]
        self.ids[where] = ids
        self.probabilities[where] = np.take_along_axis(p, ids, axis=1)


def logits_by_stream(
    model: CharLM, p: Params, x: Array, y: Array, state: State, work: Workspace, after: Array
) -> Iterator[Array]:
    """Yield the logits `(T, V)` that predict each stream of y; see `CharLM.logits`."""
    T, B = y.shape
    size = max(1, MOST_LOGITS // (T * model.symbols))
    for first in range(0, B, size):
        some = slice(first, first + size)
        before = tuple(array[some] for array in state)
        logits, _ = model.logits(p, x[:, some], y[:, some], before, work, after[:, some])
        yield from logits.swapaxes(0, 1)
