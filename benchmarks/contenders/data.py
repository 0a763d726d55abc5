"""The same random characters for every contender."""

from collections.abc import Iterator

import numpy as np

from benchmarks.tasks import Task
from charlm.config import TrainConfig
from charlm.system.arrays import Array
from charlm.text.batches import Streams
from charlm.text.corpus import Corpus

CHUNKS = 20  # steps in an epoch
HELD_OUT = 1000
FIRST = 0x4E00  # the code point of character 0; 20,992 characters follow each other from here


def text(length: int, vocabulary: int) -> str:
    """Independent characters, each as probable as any other, and each there at least once."""
    rng = np.random.default_rng(0)
    ids = rng.integers(vocabulary, size=length, dtype=np.uint32)
    ids[:vocabulary] = np.arange(vocabulary)
    return (ids + np.uint32(FIRST)).tobytes().decode("utf-32-le")


def _length(task: Task) -> int:
    return task.characters * CHUNKS + 1 + HELD_OUT


def corpus(task: Task) -> Corpus:
    """A text of `CHUNKS` whole chunks of a task, and a part to be held out."""
    return Corpus.of(text(_length(task), task.vocabulary))


def train_config(task: Task, shards: int = 0) -> TrainConfig:
    """charlm's defaults, but for the shape of the batches and the held-out part."""
    return TrainConfig(
        seq_len=task.steps,
        batch_size=task.batch,
        val_fraction=HELD_OUT / _length(task),
        shards=shards,
    )


def chunks(task: Task) -> Iterator[tuple[Array, Array]]:
    """The ids x and y `(T, B)` that charlm's trainer reads of that text, as int64."""
    source = corpus(task)
    train, _ = source.split(source.vocabulary(), train_config(task).val_fraction)
    streams = Streams(train, task.batch, task.steps)
    for step in range(streams.chunks_per_epoch):
        x, y, *_ = streams.chunk(step)
        yield np.ascontiguousarray(x, np.int64), np.ascontiguousarray(y, np.int64)
