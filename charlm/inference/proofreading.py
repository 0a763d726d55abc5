"""Finding the characters of a text that are improbable given the text on both sides."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charlm.config import DEFAULT_ODDS
from charlm.inference.finite import finite_logits, without_warnings
from charlm.inference.parts import FORWARD_STEPS
from charlm.inference.text_input import as_read, edge, not_characters
from charlm.inference.trained_model import TrainedModel, check_bidirectional
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.callbacks import Advance, ignore
from charlm.text.batches import Streams
from charlm.text.vocabulary import Ids, code_points, ids_type

MAX_NATS = 700.0  # exp of more overflows a float
AROUND = 30  # characters of context on either side


@dataclass(frozen=True)
class Suspect:
    """An id that is improbable at its position in a text.

    Attributes:
        position: its index in the text.
        suggestion: the most probable id there, given the text on both sides.
        odds: the ratio of the suggestion's probability to that of the id in the text.
    """

    position: int
    suggestion: int
    odds: float


@dataclass(frozen=True)
class Misfit:
    """A character that is improbable at its position in a text.

    Attributes:
        line: the number of its line, from 1.
        column: its column in the line, from 1.
        character: the character.
        suggestion: the most probable character there.
        odds: the ratio of the suggestion's probability to that of the character.
        before: up to `AROUND` characters before it in its line.
        after: up to `AROUND` characters after it in its line.
    """

    line: int
    column: int
    character: str
    suggestion: str
    odds: float
    before: str
    after: str


def proofread_text(
    model: TrainedModel, text: str, *, odds: float = DEFAULT_ODDS, progress: Advance = ignore
) -> Iterator[Misfit]:
    """Find the improbable characters of a text; see `LanguageModel.proofread`."""
    check_bidirectional(model)
    return without_warnings(_misfits(model, as_read(model, text), odds, progress))


def _misfits(model: TrainedModel, text: str, odds: float, progress: Advance) -> Iterator[Misfit]:
    """Read the text between two newlines or boundaries, and skip unknown characters.

    A model of lines reads a boundary in place of each newline.
    """
    vocabulary = model.vocabulary
    points = code_points(text)
    is_newline = points == ord("\n")
    line_starts = np.concatenate([[0], np.flatnonzero(is_newline) + 1])
    around = edge(model)
    numbers = vocabulary.numbers(points)
    if model.network.boundary is not None and model.text_config.lines:
        numbers[is_newline] = model.network.boundary
    if vocabulary.unk_id is not None:
        numbers[numbers < 0] = vocabulary.unk_id
    positions = np.flatnonzero(numbers >= 0)
    ids = np.concatenate([around, numbers[positions], around]).astype(
        ids_type(model.network.symbols)
    )
    excluded = not_characters(model)
    for suspect in proofread(model.network, model.params, ids, odds, progress, excluded):
        if suspect.position - len(around) == len(positions):
            return  # the newline after the text
        position = int(positions[suspect.position - len(around)])
        line = int(np.searchsorted(line_starts, position, side="right"))
        start = int(line_starts[line - 1])
        yield Misfit(
            line=line,
            column=position - start + 1,
            character=text[position],
            suggestion=vocabulary.decode(np.array([suspect.suggestion])),
            odds=suspect.odds,
            before=text[max(start, position - AROUND) : position],
            after=text[position + 1 : position + 1 + AROUND].partition("\n")[0],
        )


def proofread(
    model: CharLM,
    p: Params,
    ids: Ids,
    odds: float,
    progress: Advance = ignore,
    excluded_ids: Sequence[int] = (),
) -> Iterator[Suspect]:
    """Find the ids in place of which another one is at least `odds` times as probable.

    Args:
        model: a bidirectional model.
        p: its parameters.
        ids: the text `(N,)`; the first id is context only.
        odds: above 1.
        progress: called with the number of characters read since the last call.
        excluded_ids: ids that are neither suspected nor suggested.
    """
    work, state = Workspace(p.flat.dtype), model.zero_state(1, p.flat.dtype)
    stream = Streams(ids, 1, FORWARD_STEPS, model.lookahead)
    for step in range(stream.chunks_per_epoch):
        x, y, after, _ = stream.chunk(step)
        logits, state = model.logits(p, x, y, state, work, after)
        z = finite_logits(logits[:, 0])
        own = z[np.arange(len(y)), y[:, 0]]
        z[:, list(excluded_ids)] = -np.inf
        is_excluded = np.isin(y[:, 0], excluded_ids)
        surplus = np.where(is_excluded, -np.inf, z.max(axis=1) - own)
        for t in np.flatnonzero(surplus >= math.log(odds)).tolist():
            position = step * FORWARD_STEPS + t + 1
            suspect_odds = math.exp(min(surplus[t], MAX_NATS))
            yield Suspect(position, int(z[t].argmax()), suspect_odds)
        progress(len(y))
