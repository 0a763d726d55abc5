"""The n-gram model that a network is compared with: what it counts, and its order.

Both follow from the training split alone; held-out text is not looked at.
"""

from dataclasses import replace

import numpy as np

from charlm.baselines.kneser_ney import KneserNey
from charlm.errors import TextError
from charlm.text.splits import Texts, cut_texts, draw_documents

COUNTED = 2_000_000  # characters of the training split, at most
MAX_ORDER = 8
CHOSEN_ON = 0.1  # of the counted text: the part on which the order is chosen


def ngram_model(train: Texts, symbols: int, newline: int | None) -> KneserNey:
    """The n-gram model of a training split.

    Args:
        train: the training split.
        symbols: the number of ids that there can be.
        newline: the id of the newline; None if there is none.
    """
    counted = counted_part(train)
    return KneserNey.of(counted, symbols, choose_order(counted, symbols, newline))


def counted_part(texts: Texts, most: int = COUNTED) -> Texts:
    """At most about so many characters, in memory.

    Of each text it is the end, which is nearest to what is held out; of documents, some at equal
    distances, because their order can mean something.
    """
    fraction = min(1.0, most / max(1, texts.characters))
    if texts.boundary is None:
        kept = np.ceil(texts.lengths * fraction).astype(np.int64)
        texts = replace(texts, starts=texts.stops - kept)
    elif fraction < 1:
        rank = np.floor(np.arange(len(texts) + 1) * fraction)
        texts = texts.some(rank[1:] > rank[:-1])
    return Texts.of(texts.end_to_end()[:], np.cumsum(texts.lengths), texts.boundary)


def choose_order(texts: Texts, symbols: int, newline: int | None) -> int:
    """The order from 1 to `MAX_ORDER` that predicts a tenth of some texts best, given the rest.

    The tenth is the end of each text; documents are drawn at random. A text too short to be divided
    has order 1.

    Args:
        texts: the texts, which are the whole of their `ids`.
        symbols, newline: as for `ngram_model`.
    """
    try:
        counted, rest = _divided(texts, newline)
    except TextError:
        return 1
    nats = KneserNey.of(counted, symbols, MAX_ORDER).nats(rest)
    return 1 + int(nats[1:].argmin())


def _divided(texts: Texts, newline: int | None) -> tuple[Texts, Texts]:
    if texts.boundary is not None:
        return draw_documents(texts, CHOSEN_ON, 0)
    return cut_texts(texts, CHOSEN_ON, newline)
