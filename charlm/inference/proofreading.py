"""The characters of a text that what is before and what is after them make improbable."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from charlm.inference.scoring import CHUNK
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.text.batches import Streams
from charlm.text.vocabulary import Ids, Vocabulary, code_points

ODDS = 10_000.0
MOST = 700.0  # nats, beyond which a float overflows
AROUND = 30  # characters that are shown on either side


@dataclass(frozen=True)
class Suspect:
    """A character that another one should perhaps replace.

    Attributes:
        place: its place in the text, from 0.
        suggestion: the most probable character there, given all that is around it.
        odds: how many times as probable that is.
    """

    place: int
    suggestion: int
    odds: float


@dataclass(frozen=True)
class Misfit:
    """A character of a text that another one should perhaps replace.

    Attributes:
        line: the line it is in, from 1.
        column: its place in the line, from 1.
        character: what stands there.
        suggestion: the most probable character there.
        odds: how many times as probable that is.
        before: up to `AROUND` characters of the line before it.
        after: likewise after it.
    """

    line: int
    column: int
    character: str
    suggestion: str
    odds: float
    before: str
    after: str


def proofread_text(
    model: CharLM,
    p: Params,
    vocabulary: Vocabulary,
    text: str,
    odds: float,
    progress: Callable[[int], object] = lambda characters: None,
) -> Iterator[Misfit]:
    """As `proofread`, on a text between newlines; what the vocabulary lacks is passed over."""
    points = code_points(text)
    places = np.flatnonzero(vocabulary.reads(text))
    starts = np.concatenate([[0], np.flatnonzero(points == ord("\n")) + 1])  # of lines
    newline, _ = vocabulary.encode("\n")
    ids = np.concatenate([newline, vocabulary.encode(text)[0], newline])
    for suspect in proofread(model, p, ids, odds, progress, vocabulary.unk_id):
        if suspect.place - len(newline) == len(places):
            return  # the newline after the text
        place = int(places[suspect.place - len(newline)])
        line = int(np.searchsorted(starts, place, side="right"))
        start = int(starts[line - 1])
        yield Misfit(
            line=line,
            column=place - start + 1,
            character=text[place],
            suggestion=vocabulary.decode(np.array([suspect.suggestion])),
            odds=suspect.odds,
            before=text[max(start, place - AROUND) : place],
            after=text[place + 1 : place + 1 + AROUND].partition("\n")[0],
        )


def proofread(
    model: CharLM,
    p: Params,
    ids: Ids,
    odds: float,
    progress: Callable[[int], object] = lambda characters: None,
    excluded_id: int | None = None,
) -> Iterator[Suspect]:
    """The characters in place of which another one is `odds` times as probable.

    Args:
        model: a bidirectional model.
        p: its parameters.
        ids: `(N,)`; the first one is context only.
        odds: above 1.
        progress: called with the number of characters looked at since it was last called.
        never: an id that is neither suspected nor suggested.
    """
    work, state = Workspace(p.flat.dtype), model.zero_state(1, p.flat.dtype)
    stream = Streams(ids, 1, CHUNK, model.lookahead)
    for step in range(stream.chunks_per_epoch):
        x, y, after, _ = stream.chunk(step)
        logits, state = model.logits(p, x, y, state, work, after)
        z = logits[:, 0].astype(np.float64)
        own = z[np.arange(len(y)), y[:, 0]]
        if excluded_id is not None:
            z[:, excluded_id] = -np.inf
        surplus = np.where(y[:, 0] == excluded_id, -np.inf, z.max(axis=1) - own)
        for t in np.flatnonzero(surplus >= math.log(odds)).tolist():
            suggestion = int(z[t].argmax())
            yield Suspect(step * CHUNK + t + 1, suggestion, math.exp(min(surplus[t], MOST)))
        progress(len(y))
