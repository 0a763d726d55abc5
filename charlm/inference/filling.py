"""The most probable characters for the gaps of a text, given all that is around them.

A bidirectional model gives the distribution of one character given all others. For several gaps
that is not yet their joint distribution, but it determines it: with any filling c* to compare
with, Brook's lemma (1964) says

    ln p(c) / p(c*) = Σ_j ln p(c_j | c_1 … c_{j-1}, c*_{j+1} … c*_n)
                         / p(c*_j | c_1 … c_{j-1}, c*_{j+1} … c*_n)

where all that is known of the text is given as well. The sum goes from left to right, what is
right of gap j does not depend on c, and so a beam search finds the fillings that are most
probable. The best one is the next c*, until it stays the same: far from c* a model that was
never told to be consistent is less so.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.text.vocabulary import Ids, Vocabulary

CHUNK = 128  # characters in one forward pass
BEAM = 64  # fillings that are kept from gap to gap
ROUNDS = 8  # at most, until the best filling stays the same


@dataclass(frozen=True)
class Fillings:
    """Fillings of the gaps, the most probable one first.

    Attributes:
        ids: a filling a row, `(K, gaps)`.
        probabilities: of each, `(K,)`, among all that the last step of the search saw.
    """

    ids: NDArray[np.intp]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A gap of one or more characters.

    Attributes:
        place: its first character's place in the text, from 0.
        options: what may stand there and how probable that is, the most probable first.
    """

    place: int
    options: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Filled:
    """A text whose gaps were filled.

    Attributes:
        text: with the most probable filling of all gaps together.
        probability: of that filling.
        gaps: each run of adjacent gaps on its own, whatever is in the others.
    """

    text: str
    probability: float
    gaps: tuple[Gap, ...]


def fill_text(
    model: CharLM, p: Params, vocabulary: Vocabulary, text: str, is_gap: NDArray[np.bool_]
) -> Filled:
    """A text with its gaps filled. It is read as a line: between newlines, where those are known.

    Args:
        model: a bidirectional model.
        p: its parameters.
        vocabulary: its characters; others are passed over, and stay in the text.
        text: the text.
        is_gap: which of its characters are to be found, one at least.
    """
    known = vocabulary.reads(text) | is_gap
    places = np.flatnonzero(known)  # of what the model reads
    stand_in = vocabulary.characters[0]
    read = "".join(stand_in if is_gap[i] else text[i] for i in places.tolist())
    newline, _ = vocabulary.encode("\n")
    ids = np.concatenate([newline, vocabulary.encode(read)[0], newline])
    gaps = np.zeros(len(ids), np.bool_)
    gaps[len(newline) : len(newline) + len(places)] = is_gap[places]
    found = fill(model, p, ids, gaps, vocabulary.unk_id)
    fillings = [vocabulary.decode(row) for row in found.ids]
    characters = list(text)
    for place, character in zip(np.flatnonzero(is_gap).tolist(), fillings[0], strict=True):
        characters[place] = character
    best = float(found.probabilities[0])
    return Filled("".join(characters), best, _by_gap(is_gap, fillings, found.probabilities))


def _by_gap(
    is_gap: NDArray[np.bool_], fillings: list[str], probabilities: NDArray[np.float64]
) -> tuple[Gap, ...]:
    """What may stand in each run of adjacent gaps, added up over what is in the others."""
    edges = np.flatnonzero(np.diff(is_gap, prepend=False, append=False)).reshape(-1, 2)
    gaps, start = [], 0
    for place, end in edges.tolist():
        share: dict[str, float] = defaultdict(float)
        for filling, probability in zip(fillings, probabilities.tolist(), strict=True):
            share[filling[start : start + end - place]] += probability
        options = sorted(share.items(), key=lambda option: -option[1])
        gaps.append(Gap(place, tuple(options)))
        start += end - place
    return tuple(gaps)


def fill(
    model: CharLM, p: Params, ids: Ids, gaps: NDArray[np.bool_], excluded_id: int | None = None
) -> Fillings:
    """The most probable fillings of the gaps.

    Args:
        model: a bidirectional model.
        p: its parameters.
        ids: `(N,)`, anything at the gaps.
        gaps: which of the characters are to be found, `(N,)`, one at least.
        never: an id that is in no filling.
    """
    places = np.flatnonzero(gaps)
    known = ids[~gaps]
    # at first, what is right of a gap is read as if it had no gaps
    rights = _rights(model, p, known, places - np.arange(len(places)))
    found = _search(_Beam(model, p, excluded_id), ids, places, rights, None)
    for _ in range(ROUNDS):
        reference = found.ids[0]
        filled = ids.astype(np.intp)
        filled[places] = reference
        rights = _rights(model, p, filled, places + 1)
        found = _search(_Beam(model, p, excluded_id), ids, places, rights, reference)
        if (found.ids[0] == reference).all():
            break
    return found


def _rights(model: CharLM, p: Params, ids: Array, starts: NDArray[np.intp]) -> Array:
    """What the layers that read from the end make of ids[start:], for each start, `(n, width)`."""
    work = Workspace(p.flat.dtype)
    width = model.cells.width
    nothing = np.zeros((1, width), p.flat.dtype)
    if not len(ids):
        return np.repeat(nothing, len(starts), axis=0)
    return np.concatenate([model.read_back(p, ids[:, None], work)[:, 0], nothing])[starts]


def _search(
    beam: "_Beam",
    ids: Ids,
    places: NDArray[np.intp],
    rights: Array,
    reference: NDArray[np.intp] | None,
) -> Fillings:
    """Beam search over the gaps from left to right; without a reference, greedily by p alone."""
    for j, segment in enumerate(_known_before(ids, places)):
        beam.read(segment)
        beam.extend(rights[j], None if reference is None else int(reference[j]))
    return Fillings(beam.ids, np.exp(beam.scores - beam.total))


def _known_before(ids: Ids, places: NDArray[np.intp]) -> Iterator[Ids]:
    """What is known between each gap and the one before it."""
    start = 0
    for place in places.tolist():
        yield ids[start:place]
        start = place + 1


class _Beam:
    """Fillings of the gaps so far, the most probable ones, and what the model makes of them.

    Attributes:
        ids: `(K, gaps so far)`.
        scores: ln p up to a constant, `(K,)`, falling.
        total: ln of the sum of p over all that were looked at in the last step.
    """

    def __init__(self, model: CharLM, p: Params, excluded_id: int | None) -> None:
        self.model, self.p, self.excluded_id = model, p, excluded_id
        self.work = Workspace(p.flat.dtype)
        self.ids = np.empty((1, 0), np.intp)
        self.scores = np.zeros(1)
        self.total = 0.0
        self.left: Array = np.zeros((1, model.cells.width), p.flat.dtype)
        self.state: State = model.zero_state(1, p.flat.dtype)

    def read(self, segment: Ids) -> None:
        """Go on by the last gap's characters and what is known after it."""
        x = np.repeat(segment[:, None].astype(np.intp), len(self.ids), axis=1)
        x = np.concatenate([self.ids[:, -1:].T, x])  # no row before the first gap
        for start in range(0, len(x), CHUNK):
            chunk = x[start : start + CHUNK]
            left, self.state = self.model.read(self.p, chunk, self.state, self.work)
            self.left = left.copy()

    def extend(self, right: Array, reference: int | None) -> None:
        """Try every character in the next gap."""
        rights = np.repeat(right[None], len(self.ids), axis=0)
        logits = self.model.logits_between(self.p, self.left, rights, self.work)
        z = logits.astype(np.float64)
        if self.excluded_id is not None:
            z[:, self.excluded_id] = -np.inf
        if reference is None:
            z -= np.logaddexp.reduce(z, axis=1, keepdims=True)
        else:
            z -= z[:, reference, None].copy()
        scores = (self.scores[:, None] + z).ravel()
        self.total = float(np.logaddexp.reduce(scores))
        possible = int((scores > -np.inf).sum())
        best = np.argsort(-scores, kind="stable")[: min(BEAM, possible)]
        rows, characters = np.divmod(best, z.shape[1])
        self.ids = np.concatenate([self.ids[rows], characters[:, None]], axis=1)
        self.scores = scores[best]
        self.left = self.left[rows]
        self.state = tuple(array[rows] for array in self.state)
