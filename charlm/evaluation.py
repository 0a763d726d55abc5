"""How surprised a model is by a text."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from charlm.cells import State
from charlm.model import CharLM
from charlm.parallel import deal, default_shards, thread_map
from charlm.params import Params
from charlm.text import Ids, Streams
from charlm.workspace import Workspace

CHUNK = 128  # steps a forward pass; any number gives the same figures

# Up to this length a text is read as one stream by default, beyond it as this many.
ONE_STREAM_LIMIT = 250_000
STREAMS = 32


def default_streams(characters: int) -> int:
    """At how many places a text of that length is read at once, where nobody says."""
    return 1 if characters <= ONE_STREAM_LIMIT else STREAMS


def perplexity(nats_per_char: float) -> float:
    """exp of a mean surprise, infinite where no float can hold it."""
    try:
        return math.exp(nats_per_char)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Score:
    """The surprise of a text.

    Attributes:
        nats: the sum of -ln p over the scored characters.
        characters: how many characters were scored.
        streams: at how many places the text was read at once.
        unknown_characters: how many the model does not know; they were passed over.
    """

    nats: float
    characters: int
    streams: int = 1
    unknown_characters: int = 0

    @property
    def nats_per_char(self) -> float:
        """Mean surprise in nats."""
        return self.nats / self.characters

    @property
    def bits_per_char(self) -> float:
        """Mean surprise in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of the mean surprise: among how many equally likely characters one is as lost."""
        return perplexity(self.nats_per_char)


def score(
    model: CharLM,
    p: Params,
    ids: Ids,
    *,
    streams: int = 1,
    threads: int = 0,
    progress: Callable[[int], object] = lambda characters: None,
) -> Score:
    """Score all characters but the first, each given those before it.

    With one stream each character's context is the whole text before it. With more, the text is
    read at that many places at once: each stream starts at the character before its part, with
    a state of zeros, and carries its state to the end of its part. Every character is scored
    once all the same.

    Args:
        model: the model.
        p: its parameters.
        ids: `(N,)`, at least two.
        streams: at how many places the text is read at once, fewer where it is short.
        threads: how many threads share the streams, 0 for one a processor.
        progress: called with the number of characters scored since it was last called.
    """
    reader = Streams(ids, streams, CHUNK)
    columns = deal(reader.batch_size, default_shards(reader.batch_size))

    def read(part: slice) -> tuple[float, State]:
        work = Workspace(p.flat.dtype)
        state = model.zero_state(part.stop - part.start, p.flat.dtype)
        nats = 0.0
        for step in range(reader.steps_per_epoch):
            x, y, _ = reader.chunk(step)
            surprise, state = model.nats(p, x[:, part], y[:, part], state, work)
            nats += float(surprise.sum())
            progress(surprise.size)
        return nats, state

    parts = list(thread_map(len(columns), threads)(read, columns))
    nats = sum(part for part, _ in parts)
    # streams are of one length; what is left over continues the last of them
    left = ids[reader.batch_size * reader.length :, None]
    if len(left) > 1:
        last = tuple(array[-1:] for array in parts[-1][1])
        surprise, _ = model.nats(p, left[:-1], left[1:], last, Workspace(p.flat.dtype))
        nats += float(surprise.sum())
        progress(len(left) - 1)
    return Score(nats, len(ids) - 1, reader.batch_size)
