"""The NLL of a text in windows, each read from a state of zeros.

Models with a fixed context are scored so, and their figures can be compared with no others. The
windows of N characters do not overlap: window i reads the ids iN … iN+N-1 and predicts those from
iN+1 to iN+N. So every character of the text but the first is scored exactly once; that which a
window predicts first is given one character, the last one given N.
"""

import numpy as np
from numpy.typing import NDArray

from charlm.distributed.scheduling import thread_map
from charlm.inference.blocks import Blocks, Cut
from charlm.inference.document_scoring import rows_at_once
from charlm.inference.parts import Reader
from charlm.inference.scoring import Score
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.system.blas import one_blas_thread
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.id_sequences import IdSequence


def score_cold(
    model: CharLM,
    p: Params,
    ids: IdSequence,
    length: int,
    *,
    threads: int = 0,
    progress: Advance = ignore,
    surprisals: NDArray[np.float64] | None = None,
) -> Score:
    """Score every character of a text but the first, in windows from a state of zeros.

    Windows are the rows of a batch. A bidirectional model reads nothing beyond the last target of a
    window.

    Args:
        model: the model; it reads texts, not documents.
        p: its parameters.
        ids: the text `(N,)`, with N of 2 or more.
        length: the number of characters that a window predicts; the last one may predict fewer.
        threads: as for `scoring.score`.
        progress: called from any thread with the number of characters scored since the last call.
        surprisals: receives -ln p of each scored character, `(N-1,)`.
    """
    count = len(ids) - 1
    batches = _batches(count, length)

    def read(batch: slice) -> list[NDArray[np.float64]]:
        parts = [slice(start, min(start + length, count)) for start in _starts(batch, length)]
        reader = Reader(model, p, ids, parts, 1, progress, surprisals=surprisals)
        with quiet_overflow():  # NumPy keeps this setting per thread
            zeros = model.zero_state(len(parts), p.flat.dtype)
            return [reading.blocks for reading in reader.read(slice(0, len(parts)), zeros)]

    cut = Cut(count)
    sums = np.zeros(len(cut))
    with one_blas_thread():
        map_ = thread_map(len(batches), threads)
        for batch, found in zip(batches, map_(read, batches), strict=True):
            firsts = cut.block(np.array(_starts(batch, length)))
            for first, blocks in zip(firsts.tolist(), found, strict=True):
                sums[first : first + len(blocks)] += blocks
    return Score(
        float(sums.sum()),
        count,
        parts=-(-count // length),
        lookahead=model.lookahead,
        blocks=Blocks.of(sums, cut.lengths()),
        cold=length,
    )


def _batches(count: int, length: int) -> list[slice]:
    """The inputs of each batch of windows of equal length, and those of a shorter last window."""
    whole, step = count - count % length, length * rows_at_once(length)
    batches = [slice(start, min(start + step, whole)) for start in range(0, whole, step)]
    return [*batches, slice(whole, count)] if whole < count else batches


def _starts(batch: slice, length: int) -> range:
    """The first input of each window of a batch."""
    return range(batch.start, batch.stop, length)
