"""The units of a text, its characters, words or lines, or all of it; and the NLL of each.

Words are what stands between white space. Each unit begins where the one before it ends, so that
the sums over the units of a text add up to that over the text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.config import Space, Unit
from charlm.inference.alternatives import Alternatives
from charlm.inference.document_scoring import score_documents
from charlm.inference.scoring import check_long_enough
from charlm.inference.text_input import as_read
from charlm.inference.trained_model import TrainedModel
from charlm.system.callbacks import Advance, ignore
from charlm.text.vocabulary import code_points

WORD = re.compile(r"\S+")
LINE = re.compile(r"\n")


@dataclass(frozen=True)
class Units:
    """Consecutive units that are all of a text.

    Attributes:
        edges: where each unit begins, and where the last one ends, `(n+1,)`.
    """

    edges: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def starts(self) -> NDArray[np.intp]:
        """Where each unit begins, `(n,)`."""
        return self.edges[:-1]

    @property
    def stops(self) -> NDArray[np.intp]:
        """Where each unit ends, `(n,)`."""
        return self.edges[1:]

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of the values in each unit, `(n,)`; NaN if it has none but NaN.

        Args:
            values: one for each character; another one, for the end of the text, belongs to the
                last unit.
        """
        are_known = ~np.isnan(values)
        owners = self._owners(len(values))[are_known]
        sums = np.bincount(owners, values[are_known], len(self)).astype(np.float64)
        sums[np.bincount(owners, minlength=len(self)) == 0] = np.nan
        return sums

    def counts(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The number of characters of each unit, `(n,)`, where a mask `(N,)` is set."""
        return np.bincount(self._owners(len(mask))[mask], minlength=len(self)).astype(np.int64)

    def _owners(self, count: int) -> NDArray[np.intp]:
        """The unit of each of some values, `(count,)`; see `sums`."""
        lengths = self.stops - self.starts
        lengths[-1:] += count - self.edges[-1]
        return np.repeat(np.arange(len(self)), lengths)


def units_of(text: str, by: Unit, space: Space = "before", *, has_end: bool = False) -> Units:
    """Cut a text into units.

    Args:
        text: the text.
        by: the kind of unit. The newline at the end of a line belongs to that line.
        space: whether a word has the white space before it or after it. What white space remains
            belongs to the last or the first word; a text without words is one unit.
        has_end: whether the end of the text is an empty unit of its own beside its characters.
    """
    if by == "character":
        return Units(np.append(np.arange(len(text) + 1), [len(text)] * has_end).astype(np.intp))
    if by == "word":
        return _words([match.span() for match in WORD.finditer(text)], len(text), space)
    inner = [match.end() for match in LINE.finditer(text)] if by == "line" else []
    return Units(np.array([0, *(edge for edge in inner if edge < len(text)), len(text)], np.intp))


def units_of_words(words: Sequence[str], space: Space = "before") -> Units:
    """The words of a text that consists of some words, joined with single spaces."""
    stops = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = [(stop - len(word), stop) for word, stop in zip(words, stops.tolist(), strict=True)]
    return _words(spans, spans[-1][1], space)


def _words(spans: Sequence[tuple[int, int]], length: int, space: Space) -> Units:
    """The words with these spans, with their white space, in a text of some length."""
    starts, stops = [start for start, _ in spans], [stop for _, stop in spans]
    inner = stops[:-1] if space == "before" else starts[1:]
    return Units(np.array([0, *inner, length], np.intp))


@dataclass(frozen=True)
class ScoredUnits:
    """The units of a document, with their figures.

    Attributes:
        text: the document as the model reads it.
        units: its units.
        nats: the NLL of each unit, `(n,)`; NaN if nothing of it is predicted.
        unknown_characters: the number of characters of each that the model does not know, `(n,)`.
        alternatives: if they were requested, the most probable characters in place of each.
    """

    text: str
    units: Units
    nats: NDArray[np.float64]
    unknown_characters: NDArray[np.int64]
    alternatives: Alternatives | None


def score_units(
    model: TrainedModel,
    documents: Sequence[str],
    by: Unit,
    space: Space = "before",
    *,
    are_texts: bool = False,
    top: int = 0,
    progress: Advance = ignore,
) -> list[ScoredUnits]:
    """Score each unit of several documents.

    Args:
        model: the model.
        documents: the documents.
        by, space: as for `units_of`. The end of a document is a unit beside its characters.
        are_texts, top, progress: as for `score_documents`.

    Raises:
        TextError: no character of a text is predicted.
        ModelError: an NLL is NaN or infinite.
    """
    texts = [as_read(model, document) for document in documents]
    units = [units_of(text, by, space, has_end=not are_texts) for text in texts]
    return _scored(model, texts, units, are_texts=are_texts, top=top, progress=progress)


def score_words(
    model: TrainedModel,
    documents: Sequence[Sequence[str]],
    space: Space = "before",
    *,
    are_texts: bool = False,
    progress: Advance = ignore,
) -> list[ScoredUnits]:
    """Score each word of several documents, whose words are joined with single spaces.

    The other arguments and errors are those of `score_units`.

    Args:
        model: the model.
        documents: the words of each document.
        space, are_texts, progress: as for `score_units`.
    """
    read = [[as_read(model, word) for word in words] for words in documents]
    units = [units_of_words(words, space) for words in read]
    texts = [" ".join(words) for words in read]
    return _scored(model, texts, units, are_texts=are_texts, progress=progress)


def _scored(
    model: TrainedModel,
    texts: Sequence[str],
    units: Sequence[Units],
    *,
    are_texts: bool,
    top: int = 0,
    progress: Advance,
) -> list[ScoredUnits]:
    """Score the units of texts that are as the model reads them."""
    scores = score_documents(model, texts, are_texts=are_texts, top=top, progress=progress)
    alternatives = scores.alternatives or [None] * len(texts)
    found = []
    for text, cut, nats, most_probable in zip(
        texts, units, scores.surprisals, alternatives, strict=True
    ):
        is_unknown = model.vocabulary.numbers(code_points(text)) < 0
        if are_texts:
            unknown = int(is_unknown.sum())
            check_long_enough(int(model.vocabulary.reads(text).sum()), unknown)
            nats = nats[:-1]
        counts = cut.counts(is_unknown)
        found.append(ScoredUnits(text, cut, cut.sums(nats), counts, most_probable))
    return found
