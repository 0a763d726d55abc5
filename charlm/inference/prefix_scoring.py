"""The surprisals of many sequences, with each distinct prefix read once.

A state depends on what was read and on nothing else, so sequences that begin alike share the states
and the distributions of their common prefix. Sorted sequences with a common prefix are adjacent. At
step t the batch has a row for each distinct prefix of t+1 ids: names share most of their steps.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charlm.nn.model import CharLM
from charlm.nn.output_layer import HEAD_CHUNK
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.text.vocabulary import Ids


def sorted_order(rows: Sequence[Ids]) -> NDArray[np.intp]:
    """The order of sequences in which those with a common prefix are adjacent."""
    keys = [
        (row if row.itemsize == 1 else row.astype(row.dtype.newbyteorder(">"))).tobytes()
        for row in rows
    ]
    return np.array(sorted(range(len(rows)), key=keys.__getitem__), np.intp)


def read_prefixes(model: CharLM, p: Params, rows: Sequence[Ids]) -> list[NDArray[np.float64]]:
    """-ln p of each id but the first, each sequence read from a state of zeros.

    Args:
        model: a unidirectional model.
        p: its parameters.
        rows: n sequences of ids `(N,)`, in the order of `sorted_order`.

    Returns:
        For each sequence, `(N-1,)`.
    """
    lengths = np.array([len(row) for row in rows])
    T, n = int(lengths.max()) - 1, len(rows)
    ids = np.full((T + 1, n), -1, np.int64)
    for k, row in enumerate(rows):
        ids[: len(row), k] = row
    shared = _shared_with_previous(ids)
    nats, work = np.empty((T, n)), Workspace(p.flat.dtype)
    state, node = (
        model.zero_state(1, p.flat.dtype),
        np.zeros(n, np.intp),
    )  # (n,) the batch row of each
    for t in range(T):
        has_target = lengths > t + 1
        firsts, parents = _distinct(shared <= t, has_target), node
        node = np.searchsorted(firsts, np.arange(n), side="right") - 1
        before = tuple(part[parents[firsts]] for part in state)
        h, state = model.read(p, ids[t, firsts][None], before, work)  # (B, width)
        targets = np.flatnonzero(has_target)
        for nodes in _blocks(len(firsts), model.symbols):
            first, last = np.searchsorted(node[targets], (nodes.start, nodes.stop))
            some = targets[first:last]
            z = model.logits_between(p, h[nodes], None, work)  # (n, V)
            nats[t, some] = _nll(z, node[some] - nodes.start, ids[t + 1, some])
    return [nats[: length - 1, k] for k, length in enumerate(lengths.tolist())]


def _blocks(count: int, V: int) -> list[slice]:
    """The rows of a batch in blocks of at most `HEAD_CHUNK` logits."""
    size = max(1, HEAD_CHUNK // V)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _nll(z: Array, rows: NDArray[np.intp], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """-ln softmax(z) of targets `(n,)`, each by a row of the logits z `(B, V)`, overwritten."""
    z -= z.max(axis=1, keepdims=True)
    picked = z[rows, targets]
    total = np.log(np.exp(z, out=z).sum(axis=1)).astype(np.float64)
    nats: NDArray[np.float64] = total[rows] - picked
    return nats


def _shared_with_previous(ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """How many of its first ids each sequence `(T+1, n)` shares with the one before it, `(n,)`."""
    differs = ids[:, 1:] != ids[:, :-1]
    shared = np.where(differs.any(axis=0), differs.argmax(axis=0), len(ids))
    return np.concatenate([[0], shared])


def _distinct(begins: NDArray[np.bool_], has_target: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The first sequence of each group of equal prefixes in which one has a target.

    Args:
        begins: where the groups begin, `(n,)`.
        has_target: `(n,)`.
    """
    starts = np.flatnonzero(begins)
    return starts[np.logical_or.reduceat(has_target, starts)]
