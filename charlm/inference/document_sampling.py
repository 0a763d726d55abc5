"""Sampling documents: each begins at the boundary, or with a prompt, and ends by itself.

Document n is drawn with the n-th of the random generators that `generators` derives from one. So it
depends neither on how many documents are sampled in parallel nor on how long the others are.
"""

from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass, field
from itertools import islice, repeat

import numpy as np

from charlm.config import SampleConfig
from charlm.errors import ModelError
from charlm.inference.finite import without_warnings
from charlm.inference.sampling import (
    check_generates,
    filtered,
    most_probable,
    prompt_ids_of,
    read_prompt,
    stop_texts,
)
from charlm.inference.text_input import Text, Unknown, as_read
from charlm.inference.trained_model import TrainedModel
from charlm.nn.cells.protocol import State
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.available_memory import check_fits
from charlm.system.callbacks import Advance, ignore

STREAMS = 256  # documents that are sampled in parallel
ROUND = 16  # documents of a stream before it waits for the others, which bounds what is kept
PATIENCE = 2_000  # documents in a row of which none is new, after which the search ends


@dataclass(frozen=True)
class Document:
    """A sampled document.

    Attributes:
        text: the document, with the prompt.
        ended: whether it ended by itself or with a stop text, and was not cut off at its length.
    """

    text: str
    ended: bool


def sample_documents(
    model: TrainedModel,
    prompt: Text,
    config: SampleConfig,
    count: int,
    *,
    unique: bool = False,
    known: Collection[str] = (),
    unknown: Unknown = "refuse",
    rng: np.random.Generator | None = None,
    progress: Advance = ignore,
) -> Iterator[Document]:
    """Sample documents that are not among known ones; see `LanguageModel.sample_documents`."""
    network, vocabulary = model.network, model.vocabulary
    check_reads_documents(model)
    check_generates(model)
    streams = min(count, STREAMS)
    numbers = streams * (sum(network.cells.state_widths()) + 16 * network.symbols)
    check_fits(8 * numbers, f"sampling {streams} documents at once", "use a smaller model")
    rng = rng or np.random.default_rng()
    stops = stop_texts(model, config)
    beginning = as_read(model, "".join(prompt))
    ids = prompt_ids_of(model, beginning, unknown, rng)
    if vocabulary.unk_id is None:
        beginning = vocabulary.decode(ids[1:])
    logits, state = read_prompt(network, model.params, ids, progress)
    sampler = _Sampler(model, config, stops, beginning, logits, state, streams)
    is_filtered = unique or len(known) > 0
    known = {*known, ""} if known else known  # an empty document, which no corpus has, is not new
    documents = sampler.documents(generators(rng), None if is_filtered else count)
    if is_filtered:
        documents = islice(_others(documents, known, unique=unique), count)
    return without_warnings(documents)


def check_reads_documents(model: TrainedModel) -> None:
    """Check that a model knows where documents begin and end.

    Raises:
        ModelError: it was trained on texts.
    """
    if model.network.boundary is None:
        raise ModelError(
            "the model has not learned where documents begin and end; train it on documents, such "
            "as lines"
        )


def generators(rng: np.random.Generator) -> Iterator[np.random.Generator]:
    """The random generator of each document."""
    while True:
        yield np.random.default_rng(rng.integers(2**63, size=2))


def _others(
    documents: Iterator[Document], known: Container[str], *, unique: bool
) -> Iterator[Document]:
    """The documents that are not known and, if `unique`, distinct; until there are hardly any."""
    found = set[str]()
    tries = 0
    for document in documents:
        tries += 1
        if document.text not in known and document.text not in found:
            if unique:
                found.add(document.text)
            tries = 0
            yield document
        if tries == PATIENCE:
            return


@dataclass
class _Row:
    """A document that is being sampled.

    Attributes:
        number: its number.
        rng: its random generator.
        characters: what has been sampled of it.
    """

    number: int
    rng: np.random.Generator
    characters: list[str] = field(default_factory=list)

    def ends_with(self, stops: tuple[str, ...]) -> bool:
        """Whether it ends with one of several texts."""
        return any("".join(self.characters[-len(stop) :]) == stop for stop in stops)


@dataclass(frozen=True)
class _Sampler:
    """Samples documents that all have the same beginning.

    Attributes:
        model: the model.
        config: the sampling options.
        stops: the texts with which a document ends.
        beginning: the beginning of each document.
        logits: of the character after it, `(1, V+1)`.
        state: after it.
        streams: the number of documents to sample in parallel.
    """

    model: TrainedModel
    config: SampleConfig
    stops: tuple[str, ...]
    beginning: str
    logits: Array
    state: State
    streams: int

    def documents(
        self, rngs: Iterator[np.random.Generator], count: int | None
    ) -> Iterator[Document]:
        """The documents of the first `count` generators, or of all, in their order."""
        if not self.config.length:
            yield from islice(repeat(Document(self.beginning, ended=False)), count)
            return
        size = ROUND * self.streams
        while count is None or count > 0:
            this = size if count is None else min(size, count)
            yield from self._round(islice(rngs, this))
            count = None if count is None else count - this

    def _round(self, rngs: Iterator[np.random.Generator]) -> Iterator[Document]:
        """The documents of some generators. A stream that has ended begins the next of them."""
        network, p = self.model.network, self.model.params
        work, excluded = Workspace(p.flat.dtype), self.model.vocabulary.unk_id
        waiting = (_Row(number, rng) for number, rng in enumerate(rngs))
        rows: list[_Row] = list(islice(waiting, self.streams))
        z = np.repeat(self.logits, len(rows), axis=0)
        state = tuple(np.repeat(part, len(rows), axis=0) for part in self.state)
        noise = np.empty(z.shape)
        done: dict[int, Document] = {}
        number = 0  # of the document to yield
        while rows:
            for row, into in zip(rows, noise, strict=True):
                row.rng.standard_exponential(out=into)
            ids = most_probable(filtered(z, self.config, excluded), noise)
            z, state = network.next_logits(p, ids[None], state, work)
            ended = self._ended(rows, ids.tolist())
            done |= {rows[b].number: document for b, document in ended.items()}
            over = list[int]()  # the rows that no document continues
            for b in ended:
                if following := next(waiting, None):
                    rows[b], z[b] = following, self.logits[0]
                    for part, first in zip(state, self.state, strict=True):
                        part[b] = first[0]
                else:
                    over.append(b)
            if over:
                rows = [row for b, row in enumerate(rows) if b not in over]
                z, noise = np.delete(z, over, axis=0), noise[: len(rows)]
                state = tuple(np.delete(part, over, axis=0) for part in state)
            while number in done:
                yield done.pop(number)
                number += 1

    def _ended(self, rows: list[_Row], ids: list[int]) -> dict[int, Document]:
        """Add the sampled ids to the rows; the documents that have ended, by row."""
        boundary, characters = self.model.network.boundary, self.model.vocabulary.characters
        ended: dict[int, Document] = {}
        for b, (row, i) in enumerate(zip(rows, ids, strict=True)):
            if i != boundary:
                row.characters.append(characters[i])
            is_ended = i == boundary or row.ends_with(self.stops)
            if is_ended or len(row.characters) == self.config.length:
                ended[b] = Document(self.beginning + "".join(row.characters), is_ended)
        return ended
