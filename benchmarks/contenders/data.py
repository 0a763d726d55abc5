"""The random characters that every contender gets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks import Task
from charlm.config import TrainConfig
from charlm.system.arrays import Array
from charlm.text.batches import Streams
from charlm.text.corpus import Corpus

CHUNKS = 20  # steps in an epoch
HELD_OUT = 1000
FIRST = 0x4E00  # code point of character 0; 20,992 consecutive code points are characters


def text(length: int, vocabulary: int) -> str:
    """Independent, uniformly distributed characters; each occurs at least once."""
    rng = np.random.default_rng(0)
    ids = rng.integers(vocabulary, size=length, dtype=np.uint32)
    ids[:vocabulary] = np.arange(vocabulary)
    return (ids + np.uint32(FIRST)).tobytes().decode("utf-32-le")


def _length(task: Task) -> int:
    return task.characters * CHUNKS + 1 + HELD_OUT


def corpus(task: Task, line: int = 0) -> Corpus:
    """A text of `CHUNKS` whole chunks of a task, plus a validation split.

    Args:
        task: the task.
        line: the number of characters of the lines into which it is cut, each of them a document; 0
            for a single text.
    """
    whole = text(_length(task), task.vocabulary)
    if not line:
        return Corpus.of(whole)
    return Corpus.of([whole[k : k + line] for k in range(0, len(whole), line)])


def lines(count: int, mean: int, vocabulary: int, path: str = "") -> list[str]:
    """Lines of random characters, with lengths from 1 to twice the mean, uniformly distributed.

    With a path, the first lines of that file instead, each character replaced by one of the
    alphabet of the benchmarks.
    """
    if path:
        own = Path(path).read_text(encoding="utf-8").splitlines()[:count]
        distinct = sorted(set("".join(own)))
        assert len(distinct) <= vocabulary, f"{path} has {len(distinct)} distinct characters"
        table = {ord(c): chr(FIRST + k) for k, c in enumerate(distinct)}
        return [line.translate(table) for line in own]
    lengths = np.random.default_rng(1).integers(1, 2 * mean, size=count)
    ends = np.cumsum(lengths)
    whole = text(int(ends[-1]), vocabulary)
    return [whole[a:b] for a, b in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]


def parts(path: str, held_out: float) -> tuple[str, str]:
    """The text of a file but for its end, and this end, `held_out` of its characters."""
    whole = Path(path).read_text(encoding="utf-8")
    start = len(whole) - round(held_out * len(whole))
    return whole[:start], whole[start:]


def train_config(task: Task, shards: int = 0) -> TrainConfig:
    """The defaults of charlm, except for the shape of the batches and the validation split."""
    return TrainConfig(
        seq_len=task.steps,
        batch_size=task.batch,
        val_fraction=HELD_OUT / _length(task),
        shards=shards,
    )


def chunks(task: Task) -> Iterator[tuple[Array, Array]]:
    """The ids x and y `(T, B)` that the trainer of charlm reads from that text, as int64."""
    source = corpus(task)
    train, _ = source.split(source.vocabulary(), train_config(task).val_fraction)
    streams = Streams(train.end_to_end(), task.batch, task.steps)
    for step in range(streams.chunks_per_epoch):
        x, y, *_ = streams.chunk(step)
        yield np.ascontiguousarray(x, np.int64), np.ascontiguousarray(y, np.int64)
