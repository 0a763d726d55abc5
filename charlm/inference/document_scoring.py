"""The negative log-likelihood (NLL) of many texts or documents, each read from a state of zeros.

Short ones of similar length are read as the rows of a batch. A row costs as much as the longest of
its batch, so they are sorted by length. Long texts are read one by one, each in parts; see
`scoring`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.scheduling import share, thread_map
from charlm.inference.scoring import FORWARD_STEPS, Score, ScoringStopped, score
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.blas import one_blas_thread
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.splits import Texts
from charlm.text.vocabulary import Ids

Surprisals = NDArray[np.float64]

LONG = 1 << 12  # ids from which a text is read alone, in parts
STREAMS = 32  # the maximum number of streams of a long text
POSITIONS = 1 << 13  # of a batch and one forward pass
FEWEST_ROWS, MOST_ROWS = 32, 256


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
    return Score(
        nats=sum(one.nats for one in scores) + sum(float(row.sum()) for row in each),
        characters=sum(one.characters for one in scores) + sum(map(len, each)),
        streams=max((one.streams for one in scores), default=1),
        parts=sum(one.parts for one in scores) + len(each),
        reread=sum(one.reread for one in scores),
        lookahead=model.lookahead,
    )


def nlls(
    model: CharLM, p: Params, rows: Sequence[Ids], *, progress: Advance = ignore
) -> Surprisals:
    """The NLL of each sequence without its first id, `(n,)`; see `surprisals`."""
    total = np.zeros(len(rows))
    is_long = np.array([len(row) > LONG for row in rows], np.bool_)
    short = np.flatnonzero(~is_long)
    total[short] = [
        each.sum()
        for each in surprisals(model, p, [rows[k] for k in short.tolist()], progress=progress)
    ]
    for k in np.flatnonzero(is_long).tolist():
        total[k] = score(model, p, rows[k], progress=progress).nats
    return total


def surprisals(
    model: CharLM,
    p: Params,
    rows: Sequence[Ids],
    *,
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    progress: Advance = ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Surprisals]:
    """-ln p of each id of some sequences but the first, each read from a state of zeros.

    The result of a sequence does not depend on the others, but for rounding.

    Args:
        model: the model.
        p: its parameters.
        rows: ids `(N,)`; of a document with its boundaries.
        threads, group, progress, should_stop: as for `scoring.score`.

    Returns:
        For each sequence, `(N-1,)`.
    """
    batches = _batches(np.array([len(row) for row in rows]), model)

    def read(batch: NDArray[np.intp]) -> list[Surprisals]:
        if should_stop():
            raise ScoringStopped
        with quiet_overflow():  # NumPy keeps this setting per thread
            found = _read(model, p, [rows[k] for k in batch])
        progress(sum(map(len, found)))
        return found

    mine = share(len(batches), group.size)[group.rank]
    with one_blas_thread():
        map_ = thread_map(len(mine), threads or group.cores)
        done = list(zip(mine, map_(read, [batches[n] for n in mine]), strict=True))
    result = [np.empty(0)] * len(rows)
    for n, found in (each for of_rank in group.all_gather(done) for each in of_rank):
        for k, nats in zip(batches[n], found, strict=True):
            result[k] = nats
    return result


def _batches(lengths: NDArray[np.intp], model: CharLM) -> list[NDArray[np.intp]]:
    """The numbers of the sequences of each batch, by falling length.

    A bidirectional model of texts needs equal lengths, since no boundary ends a row.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 1]  # the others have nothing to score
    needs_equal = bool(model.lookahead) and model.boundary is None
    batches, first = [], 0
    while first < len(order):
        longest = lengths[order[first]]
        most = POSITIONS // min(int(longest), FORWARD_STEPS)
        last = first + max(FEWEST_ROWS, min(most, MOST_ROWS))
        if needs_equal:
            last = min(last, int(np.searchsorted(-lengths[order], -longest, side="right")))
        batches.append(order[first:last])
        first = last
    return batches


def _read(model: CharLM, p: Params, rows: Sequence[Ids]) -> list[Surprisals]:
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
        nats[start:stop, :B], state = model.nats(p, x, y, state, work, after)
    return [nats[: len(row) - 1, b] for b, row in enumerate(rows)]
