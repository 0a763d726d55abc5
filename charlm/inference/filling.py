"""Filling the gaps of a text with the most probable characters, given the text around them.

A bidirectional model gives the distribution of one character given all others. These conditional
distributions determine the joint distribution of several gaps. With a reference filling c*,
Brook's lemma (1964) gives

    ln p(c) / p(c*) = Σ_j ln p(c_j | c_1 … c_{j-1}, c*_{j+1} … c*_n)
                         / p(c*_j | c_1 … c_{j-1}, c*_{j+1} … c*_n)

where every term is also conditioned on the known text. The text to the right of gap j does not
depend on c, so a beam search from left to right finds the most probable fillings. The best
filling becomes the next c*, until it no longer changes: the conditional distributions of a trained
model are not exactly consistent, and less so far from c*.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.errors import ConfigError, TextError
from charlm.inference.finite import finite_logits
from charlm.inference.parts import FORWARD_STEPS
from charlm.inference.text_input import Unknown, as_read, edge, encode, not_characters
from charlm.inference.trained_model import TrainedModel, check_bidirectional
from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.vocabulary import Ids

BEAM = 64  # fillings kept from gap to gap
ROUNDS = 8  # the maximum number of searches until the filling no longer changes
MAX_GAPS = 10_000  # each takes some milliseconds, and the time grows faster than their number
SHOWN = 40  # characters of a text in an error message


@dataclass(frozen=True)
class Fillings:
    """Fillings of all gaps, the most probable first.

    Attributes:
        ids: one filling per row, `(K, gaps)`.
        probabilities: their probabilities among all candidates of the last gap, `(K,)`.
    """

    ids: NDArray[np.intp]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A gap of one or more characters.

    Attributes:
        position: the index of its first character in the text.
        options: its possible fillings with their probabilities, the most probable first.
    """

    position: int
    options: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Filled:
    """A text whose gaps are filled.

    Attributes:
        text: the text with the most probable joint filling of all gaps.
        probability: the probability of that filling.
        gaps: each run of adjacent gaps, with its marginal distribution over the other gaps.
    """

    text: str
    probability: float
    gaps: tuple[Gap, ...]


def fill_text(
    model: TrainedModel, text: str, *, gap: str = "_", unknown: Unknown = "refuse"
) -> Filled:
    """Fill the gaps of a text; see `LanguageModel.fill`.

    The text is read as a line or a document: between two newlines or boundaries.
    """
    check_bidirectional(model)
    if len(gap) != 1:
        raise ConfigError("gap", gap, "a single character")
    text = as_read(model, text)
    is_gap = np.array([character == gap for character in text], np.bool_)
    if not is_gap.any():
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        raise TextError(
            f"the text {shown!r} has no gap; write {gap!r} in place of each missing character"
        )
    if is_gap.sum() > MAX_GAPS:
        raise TextError(
            f"the text has {is_gap.sum():,} gaps; at most {MAX_GAPS:,} can be filled at once"
        )
    vocabulary = model.vocabulary
    encode(model, text.replace(gap, ""), unknown=unknown)  # checks for unknown characters
    positions = np.flatnonzero(vocabulary.reads(text) | is_gap)  # the others are skipped
    placeholder = vocabulary.characters[0]
    read = "".join(placeholder if is_gap[i] else text[i] for i in positions.tolist())
    around = edge(model)
    ids = np.concatenate([around, vocabulary.encode(read)[0], around])
    gaps = np.zeros(len(ids), np.bool_)
    gaps[len(around) : len(around) + len(positions)] = is_gap[positions]
    with quiet_overflow():
        found = fill(model.network, model.params, ids, gaps, not_characters(model))
    fillings = [vocabulary.decode(row) for row in found.ids]
    filling = iter(fillings[0])
    filled = "".join(next(filling) if c == gap else c for c in text)
    best = float(found.probabilities[0])
    return Filled(filled, best, _marginals(is_gap, fillings, found.probabilities))


def _marginals(
    is_gap: NDArray[np.bool_], fillings: list[str], probabilities: NDArray[np.float64]
) -> tuple[Gap, ...]:
    """The distribution of each run of adjacent gaps, summed over the fillings of the others."""
    edges = np.flatnonzero(np.diff(is_gap, prepend=False, append=False)).reshape(-1, 2)
    gaps, start = [], 0
    for position, end in edges.tolist():
        marginal: dict[str, float] = defaultdict(float)
        for filling, probability in zip(fillings, probabilities.tolist(), strict=True):
            marginal[filling[start : start + end - position]] += probability
        options = sorted(marginal.items(), key=lambda option: -option[1])
        gaps.append(Gap(position, tuple(options)))
        start += end - position
    return tuple(gaps)


def fill(
    model: CharLM, p: Params, ids: Ids, gaps: NDArray[np.bool_], excluded_ids: Sequence[int] = ()
) -> Fillings:
    """The most probable fillings of the gaps.

    Args:
        model: a bidirectional model.
        p: its parameters.
        ids: the text `(N,)`, with any id at a gap.
        gaps: True at each gap, `(N,)`, with at least one gap.
        excluded_ids: ids that are in no filling.
    """
    positions = np.flatnonzero(gaps)
    # the first search has no reference: it reads the text to the right of a gap without its gaps
    rights = _rights(model, p, ids[~gaps], positions - np.arange(len(positions)))
    found = _search(_Beam(model, p, excluded_ids), ids, positions, rights, None)
    for _ in range(ROUNDS):
        reference = found.ids[0]
        filled = ids.astype(np.intp)
        filled[positions] = reference
        rights = _rights(model, p, filled, positions + 1)
        found = _search(_Beam(model, p, excluded_ids), ids, positions, rights, reference)
        if (found.ids[0] == reference).all():
            break
    return found


def _rights(model: CharLM, p: Params, ids: Array, starts: NDArray[np.intp]) -> Array:
    """The output of the backward layers for ids[start:], for each start, `(n, width)`."""
    work = Workspace(p.flat.dtype)
    nothing = np.zeros((1, model.cells.width), p.flat.dtype)
    if not len(ids):
        return np.repeat(nothing, len(starts), axis=0)
    return np.concatenate([model.read_back(p, ids[:, None], work)[:, 0], nothing])[starts]


def _search(
    beam: "_Beam",
    ids: Ids,
    positions: NDArray[np.intp],
    rights: Array,
    reference: NDArray[np.intp] | None,
) -> Fillings:
    """Beam search over the gaps, from left to right; without a reference, by p alone."""
    start = 0
    for j, position in enumerate(positions.tolist()):
        beam.read(ids[start:position])
        beam.extend(rights[j], None if reference is None else int(reference[j]))
        start = position + 1
    return Fillings(beam.ids, np.exp(beam.scores - beam.total))


class _Beam:
    """The most probable fillings of the gaps so far, and the model's state after each.

    Attributes:
        ids: `(K, gaps so far)`.
        scores: ln p up to a constant, `(K,)`, in descending order.
        total: ln of the sum of p over all candidates of the last gap.
    """

    def __init__(self, model: CharLM, p: Params, excluded_ids: Sequence[int]) -> None:
        self.model, self.p, self.excluded_ids = model, p, list(excluded_ids)
        self.work = Workspace(p.flat.dtype)
        self.ids = np.empty((1, 0), np.intp)
        self.scores = np.zeros(1)
        self.total = 0.0
        self.left: Array = np.zeros((1, model.cells.width), p.flat.dtype)
        self.state: State = model.zero_state(1, p.flat.dtype)

    def read(self, segment: Ids) -> None:
        """Read the characters of the last gap and the known text after it."""
        x = np.repeat(segment[:, None].astype(np.intp), len(self.ids), axis=1)
        x = np.concatenate([self.ids[:, -1:].T, x])  # no row before the first gap
        for start in range(0, len(x), FORWARD_STEPS):
            chunk = x[start : start + FORWARD_STEPS]
            left, self.state = self.model.read(self.p, chunk, self.state, self.work)
            self.left = left.copy()

    def extend(self, right: Array, reference: int | None) -> None:
        """Extend each filling by every character, and keep the best."""
        rights = np.repeat(right[None], len(self.ids), axis=0)
        z = finite_logits(self.model.logits_between(self.p, self.left, rights, self.work))
        z[:, self.excluded_ids] = -np.inf
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
