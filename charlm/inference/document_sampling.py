"""Sampling documents: each begins at the boundary, or with a prompt, and ends by itself."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from charlm.config import SampleConfig
from charlm.errors import ModelError
from charlm.inference.finite import without_warnings
from charlm.inference.sampling import check_generates, draw, filtered, prompt_ids_of
from charlm.inference.text_input import Text, Unknown
from charlm.inference.trained_model import TrainedModel
from charlm.nn.workspace import Workspace
from charlm.text.vocabulary import Ids

STREAMS = 256  # documents that are sampled in parallel
PATIENCE = 10


@dataclass(frozen=True)
class Document:
    """A sampled document.

    Attributes:
        text: the document, with the prompt.
        ended: whether it ended by itself, and not because of its length.
    """

    text: str
    ended: bool


def sample_documents(
    model: TrainedModel,
    prompt: Text,
    config: SampleConfig,
    count: int,
    *,
    unknown: Unknown = "refuse",
    rng: np.random.Generator | None = None,
) -> Iterator[Document]:
    """Sample documents; see `LanguageModel.sample_documents`.

    Stream b of B samples the documents b, b + B, b + 2B, …, so that which documents there are does
    not depend on how long each takes.
    """
    if model.network.boundary is None:
        raise ModelError(
            "the model has not learned where documents begin and end; train it on documents, such "
            "as lines"
        )
    check_generates(model)
    rng = rng or np.random.default_rng()
    ids = prompt_ids_of(model, prompt, unknown, rng)[:]
    return without_warnings(_documents(model, ids, config, count, rng))


def sample_distinct(
    model: TrainedModel,
    prompt: Text,
    config: SampleConfig,
    count: int,
    *,
    unknown: Unknown = "refuse",
    unique: bool = True,
    known: Container[str] = (),
    rng: np.random.Generator | None = None,
) -> Iterator[Document]:
    """Sample documents that are distinct (`unique`) and not among known ones.

    Ends with fewer than `count` if `PATIENCE` rounds in a row find none.
    """
    rng = rng or np.random.default_rng()
    seen: set[str] = set()
    found, rounds = 0, 0
    while found < count and rounds < PATIENCE:
        rounds += 1
        missing = count - found
        for document in sample_documents(model, prompt, config, missing, unknown=unknown, rng=rng):
            text = document.text
            if text not in known and not (unique and text in seen):
                seen.add(text)
                found, rounds = found + 1, 0
                yield document


def _documents(
    model: TrainedModel, prompt: Ids, config: SampleConfig, count: int, rng: np.random.Generator
) -> Iterator[Document]:
    """The documents that begin with a boundary and a prompt, ids `(N,)`."""
    network, p, work = model.network, model.params, Workspace(model.params.flat.dtype)
    characters = [*model.vocabulary.characters, ""]
    B = min(count, STREAMS)
    zeros = network.zero_state(1, p.flat.dtype)
    first, state = network.next_logits(p, prompt[:, None], zeros, work)  # (1, V+1)
    beginning = model.vocabulary.decode(prompt[1:])
    z, h = np.repeat(first, B, axis=0), tuple(np.repeat(part, B, axis=0) for part in state)
    drawn: dict[int, Document] = {}
    numbers, texts = list(range(B)), [list[str]() for _ in range(B)]
    next_number = 0  # of the document to yield
    while numbers:
        ids = draw(filtered(z, config, model.vocabulary.unk_id), rng)
        for b, i in enumerate(ids.tolist()):
            texts[b].append(characters[i])
        z, h = network.next_logits(p, ids[None], h, work)
        ended = ids == network.boundary
        is_over = ended | (np.array([len(text) for text in texts]) >= config.length)
        for b in np.flatnonzero(is_over).tolist():
            drawn[numbers[b]] = Document(beginning + "".join(texts[b]), bool(ended[b]))
            numbers[b], texts[b] = numbers[b] + B, []
            z[b] = first[0]
            for part, begin in zip(h, state, strict=True):
                part[b] = begin[0]
        left = np.array([number < count for number in numbers])
        if not left.all():
            z, h = z[left], tuple(part[left] for part in h)
            numbers = [n for n, is_left in zip(numbers, left, strict=True) if is_left]
            texts = [t for t, is_left in zip(texts, left, strict=True) if is_left]
        while next_number in drawn:
            yield drawn.pop(next_number)
            next_number += 1
