"""The negative log-likelihood (NLL) of a text under a model.

Each character is scored given the characters before it. `parts.Reader.read` sums the NLL of each
part of a text, `score` sums the parts, and `Score` divides by the number of characters:
`nats_per_char`, and its exp, `perplexity`.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.errors import ConfigError, TextError
from charlm.inference.alternatives import Alternatives
from charlm.inference.blocks import NONE, Blocks
from charlm.inference.parts import Reader, cut, read_all
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.system.callbacks import Advance, ignore
from charlm.text.id_sequences import IdSequence


def perplexity(nats_per_char: float) -> float:
    """exp of the mean NLL, or infinity if a float cannot hold it."""
    try:
        return math.exp(nats_per_char)
    except OverflowError:
        return math.inf


def _mean(nats: float, count: int) -> float:
    return nats / count if count else math.nan


@dataclass(frozen=True)
class Score:
    """The NLL of a text. The figures per unit of a score of nothing are NaN.

    Attributes:
        nats: the sum of -ln p over the scored characters.
        characters: the number of scored characters.
        streams: the number of parallel streams, each read from an initial state of zeros.
        parts: the number of parts that the text was cut into.
        reread: the number of parts that were read again from the final state of the part before.
        lookahead: the minimum number of characters that a bidirectional model reads after each
            character, except at the end of a stream; 0 for a unidirectional model.
        unknown_characters: the number of characters that the model does not know.
        length: the number of characters of the text; 0 from `score`, which cannot tell boundaries
            from characters.
        documents: the number of documents, if the text consists of documents. The end of each is
            scored, and counts as a character.
        words: the number of their words, which stand between white space.
        blocks: sums over blocks of the text, or over documents, for the interval.
        cold: the length of the windows that the text was cut into, each read from a state of
            zeros; 0 if there are none.
        dynamic: the score of the same characters by weights that adapt to the text, if requested.
        models: the scores by each of several models, whose mean this is; none of a single model.
    """

    nats: float
    characters: int
    streams: int = 1
    parts: int = 1
    reread: int = 0
    lookahead: int = 0
    unknown_characters: int = 0
    length: int = 0
    documents: int = 0
    words: int = 0
    blocks: Blocks = NONE
    cold: int = 0
    dynamic: "Score | None" = None
    models: "tuple[Score, ...]" = ()

    @property
    def unknown_fraction(self) -> float:
        """The share of the text that the model does not know.

        The figures of a model say little about a text of which it does not know more than 1 %.
        """
        return self.unknown_characters / self.length if self.unknown_characters else 0.0

    @property
    def nats_per_char(self) -> float:
        """Mean NLL in nats."""
        return _mean(self.nats, self.characters)

    @property
    def bits_per_char(self) -> float:
        """Mean NLL in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of the mean NLL: the effective number of equally likely next characters.

        For a bidirectional model this is the pseudo-perplexity. The product of its probabilities
        is not a probability of the text, so it cannot be compared with the perplexity of a
        unidirectional model.
        """
        return perplexity(self.nats_per_char)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean NLL in nats.

        It says how precise the mean is as an estimate for more text of the same source. None if
        there are fewer than 10 blocks, about 10,000 characters, or 10 documents.
        """
        margin = self.blocks.margin
        if margin is None or self.blocks.characters != self.characters:
            return None
        return max(0.0, self.nats_per_char - margin), self.nats_per_char + margin

    @property
    def nats_per_document(self) -> float:
        """Mean NLL of a document in nats."""
        return _mean(self.nats, self.documents)

    @property
    def word_perplexity(self) -> float:
        """exp of the NLL per word; infinity if something else is scored, but no word."""
        if self.characters and not self.words:
            return math.inf
        return perplexity(_mean(self.nats, self.words))

    def __add__(self, other: "Score") -> "Score":
        """The score of two texts, each scored on its own."""
        return Score(
            self.nats + other.nats,
            self.characters + other.characters,
            max(self.streams, other.streams),
            self.parts + other.parts,
            self.reread + other.reread,
            max(self.lookahead, other.lookahead),
            self.unknown_characters + other.unknown_characters,
            self.length + other.length,
            self.documents + other.documents,
            self.words + other.words,
            self.blocks + other.blocks,
            max(self.cold, other.cold),
            self.dynamic + other.dynamic if self.dynamic and other.dynamic else None,
            tuple(map(operator.add, self.models, other.models)),
        )


def check_long_enough(known: int, unknown: int) -> None:
    """Check that a character of a text is predicted, given the numbers of known and unknown ones.

    Raises:
        TextError: there is none.
    """
    if not known + unknown:
        raise TextError("the text is empty")
    if known < 2:
        raise TextError(
            "scoring requires at least 2 characters in the model's vocabulary; the text has "
            f"{known} known and {unknown} unknown characters"
        )


def score(
    model: CharLM,
    p: Params,
    ids: IdSequence,
    *,
    streams: int = 1,
    shards: int = 0,
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    progress: Advance = ignore,
    should_stop: Callable[[], bool] = lambda: False,
    surprisals: NDArray[np.float64] | None = None,
    alternatives: Alternatives | None = None,
) -> Score:
    """Score every character but the first, given the characters before it.

    With one stream, the context of a character is the whole text before it. With more, the text is
    cut into that many parallel streams. Each starts at the character before its first target
    from a state of zeros. Every character is still scored exactly once. A bidirectional model also
    reads the characters after a target: the rest of its window, and `lookahead` more.

    Args:
        model: the model.
        p: its parameters.
        ids: the text `(N,)`, with N of 2 or more.
        streams: the number of parallel streams; a short text has fewer.
        shards: the minimum number of batches that the parts are divided into. It can change the
            last digits of the result; the numbers of threads and ranks cannot.
        threads: the number of threads of a rank, 0 for one per processor.
        group: the ranks that share the work. All of them call this, and all get the result.
        progress: called from any thread with the number of characters scored since the last call.
            Parts that are read again do not count.
        should_stop: polled from any thread between forward passes. Only for a single process: the
            other ranks of a group would wait for the one that stops.
        surprisals: receives -ln p of each scored character, `(N-1,)`; for a single process.
        alternatives: receives the most probable characters in place of each scored one; for a
            single process.

    Raises:
        ConfigError: `streams` is less than 1.
        RankError: a rank does not respond.
        ScoringStopped: `should_stop` returned True.
    """
    if streams < 1:
        raise ConfigError("streams", streams, "an integer of at least 1")
    count = len(ids) - 1
    streams = min(streams, count)
    parts, parts_per_stream = cut(count, streams)
    receivers = surprisals, alternatives
    reader = Reader(model, p, ids, parts, parts_per_stream, progress, should_stop, *receivers)
    readings, reread = read_all(reader, shards, threads, group)
    nats = sum(reading.nats for reading in readings)
    result = Score(
        nats,
        count,
        streams,
        len(parts),
        reread,
        model.lookahead,
        blocks=Blocks.of(reader.block_sums(readings), reader.cut.lengths()),
    )
    return group.all_gather(result)[0]  # results of different machines can differ by rounding
