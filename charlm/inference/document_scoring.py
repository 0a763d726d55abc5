"""The negative log-likelihood (NLL) of many texts or documents, each read from a state of zeros.

Of short ones, each distinct beginning is read once; see `prefix_scoring`. A bidirectional model
reads them as the rows of a batch, sorted by length, because a row costs as much as the longest one.
Long texts are read one by one, each in parts; see `scoring`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.scheduling import share, thread_map
from charlm.inference.alternatives import Alternatives, logits_by_stream
from charlm.inference.blocks import Blocks
from charlm.inference.finite import check_nats
from charlm.inference.parts import FORWARD_STEPS, ScoringStopped
from charlm.inference.prefix_scoring import read_prefixes, sorted_order
from charlm.inference.scoring import Score, score
from charlm.inference.text_input import as_read, edge
from charlm.inference.trained_model import TrainedModel
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.blas import one_blas_thread
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.splits import Texts
from charlm.text.vocabulary import Ids, Vocabulary, code_points, ids_type

Surprisals = NDArray[np.float64]

LONG = 1 << 12  # ids from which a text is read alone, in parts
STREAMS = 32  # the maximum number of streams of a long text
POSITIONS = 1 << 13  # of a batch and one forward pass
FEWEST_ROWS, MOST_ROWS = 32, 256
PREFIX_ROWS, PREFIX_IDS = 2048, 1 << 20  # of a batch whose common prefixes are read once


def score_texts(
    model: CharLM,
    p: Params,
    texts: Texts,
    *,
    stream: int = 0,
    shards: int = 0,
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    progress: Advance = ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> Score:
    """Score every character of some texts but the first of each; of documents also the ends.

    Args:
        model: the model; it reads documents if the texts are documents.
        p: its parameters.
        texts: the texts.
        stream: the minimum length of the parallel streams into which a long text is cut, each read
            from a state of zeros; 0 to score it given all of the text before each character.
        shards, threads, group, progress, should_stop: as for `scoring.score`.
    """
    sequences = list(texts.sequences())
    alone = [len(sequences) == 1 or len(ids) > LONG for ids in sequences]
    scores = [
        score(
            model,
            p,
            ids,
            streams=max(1, min(STREAMS, len(ids) // stream)) if stream else 1,
            shards=shards,
            threads=threads,
            group=group,
            progress=progress,
            should_stop=should_stop,
        )
        for ids, is_alone in zip(sequences, alone, strict=True)
        if is_alone
    ]
    rows = [ids[:] for ids, is_alone in zip(sequences, alone, strict=True) if not is_alone]
    each = surprisals(
        model,
        p,
        rows,
        threads=threads,
        group=group,
        progress=progress,
        should_stop=should_stop,
    )
    nats, counts = np.array([row.sum() for row in each]), np.array([len(row) for row in each])
    short = Score(
        float(nats.sum()),
        int(counts.sum()),
        lookahead=model.lookahead,
        length=texts.characters,
        blocks=Blocks.of(nats, counts),
    )
    return sum(scores, short)


@dataclass(frozen=True)
class Scores:
    """The NLL of several documents.

    Attributes:
        surprisals: for each document -ln p of its characters and of its end, `(N+1,)`. NaN where
            nothing is predicted: for a skipped character, and for the end if it does not count.
        characters: the number of characters of each document, `(n,)`.
        unknown_characters: the number of those that the model does not know, `(n,)`.
        words: the number of words of each, which stand between white space, `(n,)`.
        lookahead: as in `Score`.
        alternatives: if they were requested, the most probable characters of each document in place
            of each of its characters and of its end.
    """

    surprisals: tuple[Surprisals, ...]
    characters: NDArray[np.int64]
    unknown_characters: NDArray[np.int64]
    words: NDArray[np.int64]
    lookahead: int = 0
    alternatives: tuple[Alternatives, ...] = ()

    def __len__(self) -> int:
        return len(self.surprisals)

    @property
    def nats(self) -> Surprisals:
        """The NLL of each document, `(n,)`."""
        return np.array([np.nansum(each) for each in self.surprisals])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The number of predicted characters and ends of each document, `(n,)`."""
        return np.array([np.isfinite(each).sum() for each in self.surprisals], np.int64)

    @property
    def total(self) -> Score:
        """The score of all documents; the end of a document counts as a character."""
        return Score(
            nats=float(self.nats.sum()),
            characters=int(self.predicted.sum()),
            lookahead=self.lookahead,
            unknown_characters=int(self.unknown_characters.sum()),
            length=int(self.characters.sum()),
            documents=len(self),
            words=int(self.words.sum()),
            blocks=Blocks.of(self.nats, self.predicted),
        )


def surprisals_of_text(model: TrainedModel, text: str, *, progress: Advance = ignore) -> Surprisals:
    """-ln p of each character of a text; see `LanguageModel.surprisal`."""
    is_text = model.network.boundary is None
    scores = score_documents(model, [text], are_texts=is_text, progress=progress)
    return scores.surprisals[0][:-1]


def score_documents(
    model: TrainedModel,
    documents: Sequence[str],
    *,
    have_ends: bool = True,
    are_texts: bool = False,
    top: int = 0,
    name: str = "",
    progress: Advance = ignore,
) -> Scores:
    """Score each of several documents, given only what stands before in it.

    A model of documents reads and predicts its boundary. A model of texts reads each document as a
    line, after a newline, and predicts that it ends with a newline or, if it knows the carriage
    return, with one before it. If it does not know the newline, the first character is drawn from a
    uniform distribution over the vocabulary, and the end is not predicted.

    Args:
        model: the model.
        documents: the documents.
        have_ends: whether a model of texts predicts the end of each.
        are_texts: whether they are texts for a model of texts: the first character of each is
            context, and the end is not predicted.
        top: the number of most probable characters to find in place of each.
        name: the name of the model in an error, if there are several.
        progress: as for `scoring.score`.

    Raises:
        ModelError: an NLL is NaN or infinite.
    """
    vocabulary, before = model.vocabulary, edge(model)
    ends = _ends(model, have_ends=have_ends)
    if are_texts:
        before, ends = before[:0], [before[:0]]
    texts = [as_read(model, text) for text in documents]
    encoded, read, unknown = _encoded(vocabulary, texts)
    most_probable: list[Alternatives] = []
    if top:
        masks = [_predicted(is_read, len(before), len(ends[0])) for is_read in read]
        most_probable = [Alternatives.at(mask, model, top) for mask in masks]
    ended = [
        surprisals(
            model.network,
            model.params,
            [np.concatenate([before, ids, end]) for ids in encoded],
            alternatives=most_probable if n == 0 else (),
            progress=progress,
        )
        for n, end in enumerate(ends)
    ]
    first = [] if len(before) else [np.nan if are_texts else math.log(len(vocabulary))]
    found = [
        _of_document(is_read, with_ends, first, has_end=len(ends[0]) > 0)
        for is_read, *with_ends in zip(read, *ended, strict=True)
    ]
    if documents:
        check_nats(float(np.concatenate([*chain.from_iterable(ended)]).sum()), name)
    return Scores(
        tuple(found),
        np.array([len(text) for text in texts], np.int64),
        unknown,
        np.array([len(text.split()) for text in texts], np.int64),
        model.network.lookahead,
        tuple(most_probable),
    )


def _of_document(
    is_read: NDArray[np.bool_],
    with_ends: Sequence[Surprisals],
    first: list[float],
    *,
    has_end: bool,
) -> Surprisals:
    """-ln p of each character of a document and of its end, `(N+1,)`; NaN if it is not predicted.

    Args:
        is_read: which of its characters are read, `(N,)`.
        with_ends: -ln p of its ids but the first, read with each of the ends it can have.
        first: -ln p of its first id, if that is a character; otherwise none.
        has_end: whether its end is predicted.
    """
    if len(with_ends) == 1 and len(with_ends[0]) == len(is_read) + 1:
        return with_ends[0]  # all characters and the end
    count, each = int(is_read.sum()), np.full(len(is_read) + 1, np.nan)
    each[:-1][is_read] = np.concatenate([first, with_ends[0]])[:count]
    if has_end:
        tails = [float(nats[count:].sum()) for nats in with_ends]
        each[-1] = -np.logaddexp.reduce(-np.array(tails))  # -ln Σ p(end)
    return each


def _encoded(
    vocabulary: Vocabulary, texts: Sequence[str]
) -> tuple[list[Ids], list[NDArray[np.bool_]], NDArray[np.int64]]:
    """The ids of each text, which of its characters are read, and how many are unknown.

    The same as `Vocabulary.encode` and `reads` of each, in one go.
    """
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    numbers = vocabulary.numbers(code_points("".join(texts)))
    is_unknown = numbers < 0
    if vocabulary.unk_id is not None:
        numbers[is_unknown] = vocabulary.unk_id
    ids, read = numbers.astype(ids_type(len(vocabulary))), numbers >= 0
    slices = [slice(start, stop) for start, stop in pairwise([0, *ends.tolist()])]
    each, parts = [read[k] for k in slices], [ids[k] for k in slices]
    if not read.all():
        parts = [part[is_read] for part, is_read in zip(parts, each, strict=True)]
    counts = np.concatenate([[0], np.cumsum(is_unknown)])[np.concatenate([[0], ends])]
    return parts, each, np.diff(counts)


def _ends(model: TrainedModel, *, have_ends: bool) -> list[Ids]:
    """What can stand at the end of a document."""
    end = edge(model)
    if model.network.boundary is not None:
        return [end]
    carriage_return, _ = model.vocabulary.encode("\r")
    if not have_ends or not len(end):
        return [end[:0]]
    if not len(carriage_return) or model.vocabulary.newline is None:
        return [end]
    return [end, np.concatenate([carriage_return, end])]


def _predicted(is_read: NDArray[np.bool_], before: int, after: int) -> NDArray[np.bool_]:
    """Which of the characters of a document and its end are predicted, `(N+1,)`.

    Args:
        is_read: which characters are read.
        before, after: the numbers of ids that are read before and after it.
    """
    mask = np.append(is_read, after > 0)
    return mask if before else mask & (np.cumsum(mask) > 1)


def surprisals(
    model: CharLM,
    p: Params,
    rows: Sequence[Ids],
    *,
    alternatives: Sequence[Alternatives] = (),
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    progress: Advance = ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Surprisals]:
    """-ln p of each id of some sequences but the first, each read from a state of zeros.

    The result of a sequence does not depend on the others, but for rounding. Long sequences are for
    a single process.

    Args:
        model: the model.
        p: its parameters.
        rows: ids `(N,)`; of a document with its boundaries.
        alternatives: receive the most probable ids of each sequence, in place of all ids but the
            first; none, or one for each sequence. For a single process.
        threads, group, progress, should_stop: as for `scoring.score`.

    Returns:
        For each sequence, `(N-1,)`.
    """
    lengths = np.array([len(row) for row in rows], np.intp)
    result = [np.empty(max(0, n - 1)) for n in lengths.tolist()]
    for k in np.flatnonzero(lengths > LONG).tolist():
        score(
            model,
            p,
            rows[k],
            threads=threads,
            progress=progress,
            should_stop=should_stop,
            surprisals=result[k],
            alternatives=alternatives[k] if alternatives else None,
        )
    by_prefix = not model.lookahead and not alternatives and len(rows) >= FEWEST_ROWS
    batches = _prefix_batches(rows) if by_prefix else _batches(lengths, model)

    def read(batch: NDArray[np.intp]) -> list[Surprisals]:
        if should_stop():
            raise ScoringStopped
        with quiet_overflow():  # NumPy keeps this setting per thread
            some = [rows[k] for k in batch]
            receivers = [alternatives[k] for k in batch] if alternatives else []
            read_all = read_prefixes if by_prefix else partial(_read, alternatives=receivers)
            found: list[Surprisals] = read_all(model, p, some)
        progress(sum(map(len, found)))
        return found

    mine = share(len(batches), group.size)[group.rank]
    with one_blas_thread():
        map_ = thread_map(len(mine), threads or group.cores)
        done = list(zip(mine, map_(read, [batches[n] for n in mine]), strict=True))
    for n, found in (each for of_rank in group.all_gather(done) for each in of_rank):
        for k, nats in zip(batches[n], found, strict=True):
            result[k] = nats
    return result


def _prefix_batches(rows: Sequence[Ids]) -> list[NDArray[np.intp]]:
    """The numbers of the sequences of each batch, in sorted order, without long and empty ones."""
    numbers = np.array([k for k, row in enumerate(rows) if 1 < len(row) <= LONG], np.intp)
    selected = [rows[k] for k in numbers.tolist()]
    order = numbers[sorted_order(selected)]
    longest = max(map(len, selected), default=1)
    most = max(FEWEST_ROWS, min(PREFIX_ROWS, PREFIX_IDS // longest))
    count = 2 * -(-len(order) // (2 * most))  # as many for each of two threads
    return np.array_split(order, min(count, len(order))) if len(order) else []


def rows_at_once(longest: int) -> int:
    """The maximum number of rows of a batch, given the length of the longest, of 1 or more."""
    return max(FEWEST_ROWS, min(POSITIONS // min(longest, FORWARD_STEPS), MOST_ROWS))


def _batches(lengths: NDArray[np.intp], model: CharLM) -> list[NDArray[np.intp]]:
    """The numbers of the sequences of each batch, by falling length, without long and empty ones.

    A bidirectional model of texts needs equal lengths, since no boundary ends a row.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[(lengths[order] > 1) & (lengths[order] <= LONG)]
    needs_equal = bool(model.lookahead) and model.boundary is None
    batches, first = [], 0
    while first < len(order):
        longest = int(lengths[order[first]])
        last = first + rows_at_once(longest)
        if needs_equal:
            last = min(last, int(np.searchsorted(-lengths[order], -longest, side="right")))
        batches.append(order[first:last])
        first = last
    return batches


def _read(
    model: CharLM, p: Params, rows: Sequence[Ids], alternatives: Sequence[Alternatives]
) -> list[Surprisals]:
    """The surprisals of the rows of a batch, which are sorted by falling length."""
    lengths = np.array([len(row) for row in rows])
    T, padding = int(lengths[0]) - 1, model.boundary or 0
    ids = np.full((T + 1, len(rows)), padding, rows[0].dtype)
    for b, row in enumerate(rows):
        ids[: len(row), b] = row
    nats, work = np.empty((T, len(rows))), Workspace(p.flat.dtype)
    state = model.zero_state(len(rows), p.flat.dtype)
    for start in range(0, T, FORWARD_STEPS):
        stop = min(start + FORWARD_STEPS, T)
        B = int((lengths > start + 1).sum())  # the rows that have a target left
        x, y = ids[start:stop, :B], ids[start + 1 : stop + 1, :B]
        after = ids[stop + 1 : stop + 1 + model.lookahead, :B]
        state = tuple(part[:B] for part in state)
        if alternatives:
            found = logits_by_stream(model, p, x, y, state, work, after)
            for receiver, n, logits in zip(alternatives, lengths.tolist(), found, strict=False):
                receiver.note(start, logits[: n - 1 - start])
        nats[start:stop, :B], state = model.nats(p, x, y, state, work, after)
    return [nats[: len(row) - 1, b] for b, row in enumerate(rows)]
