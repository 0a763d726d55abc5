"""charlm through its public training, sampling and scoring; BLAS set up as by the command."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import data
from benchmarks.tasks import Task
from charlm import __version__, train
from charlm.config import Budget, ModelConfig, SampleConfig, TrainConfig
from charlm.distributed.scheduling import default_shards
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.system.blas import BLAS_THREADS, available_cores
from charlm.system.kernels import blocks_in_use, kernels
from charlm.system.numerical_environment import environment
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.vocabulary import Vocabulary
from charlm.training.budget import plan
from charlm.training.events import Record, Step
from charlm.training.memory_estimate import training_bytes
from charlm.training.setup import set_up
from charlm.training.trainer import Trainer

WARM_UP = 3
SAMPLE = 256  # characters per stream in a unit of sampling


def facts() -> dict[str, Any]:
    """Versions, and the kernels of BLAS."""
    names = ("OMP_NUM_THREADS", *BLAS_THREADS, "OPENBLAS_CORETYPE")
    variables = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return {
        "charlm": __version__,
        "numpy": np.__version__,
        "blas": environment()["BLAS"],
        "vector instructions": environment()["vector instructions"],
        "blas kernels": kernels().name,
        "blocks of products": str(blocks_in_use()),
        "variables": " ".join(variables),
    }


def trainer(
    task: Task,
    *,
    embedding: int = 0,
    threads: int = 0,
    shards: int = 0,
    line: int = 0,
    bidirectional: bool = False,
) -> Trainer:
    """A trainer on random text or lines, with defaults except for the shapes of the task."""
    model = ModelConfig(task.cell, task.hidden, task.layers, embedding, bidirectional=bidirectional)
    config = data.train_config(task, shards)
    result = set_up(data.corpus(task, line), model, config, threads=threads)
    plan(result, Budget(steps=10**9))
    return result


def training(
    cell: str, layers: int, hidden: int, batch: int, steps: int, vocabulary: int, **options: Any
) -> Callable[[], int]:
    """A training step: chunk, forward, backward, sum, clipping, Adam.

    Args:
        cell, layers, hidden, batch, steps, vocabulary: the fields of a `Task`.
        options: those of `trainer`.
    """
    made = trainer(Task(cell, layers, hidden, batch, steps, vocabulary), **options)
    for _ in range(WARM_UP):
        made.step()
    return lambda: made.step().characters


def trained(
    path: str, held_out: float, minutes: float, dropout: float, threads: int, seed: int, **task: Any
) -> dict[str, Any]:
    """Train on a text but for its end, for some minutes, and score that end in one stream."""
    shape = Task(**task)
    known, rest = data.parts(path, held_out)
    model = ModelConfig(shape.cell, shape.hidden, shape.layers, dropout=dropout)
    config = TrainConfig(shape.steps, shape.batch, val_fraction=0, random_seed=seed)
    budget = Budget(minutes=minutes)
    steps = list[Step]()

    def on_record(record: Record) -> None:
        if isinstance(record, Step):
            steps.append(record)

    started = time.perf_counter()
    made = train(known, model, config, budget, on_record=on_record, threads=threads)
    seconds = time.perf_counter() - started
    score = made.score(rest)
    return {
        "parameters": made.params.flat.size,
        "steps": len(steps),
        "trained_characters": sum(step.characters for step in steps),
        "seconds": seconds,
        "scored_characters": score.characters,
        "nats_per_char": score.nats_per_char,
    }


def memory_estimate(**task: Any) -> dict[str, int]:
    """The number of shards by default, and the estimated bytes of training with them."""
    shape = Task(**task)
    model = ModelConfig(shape.cell, shape.hidden, shape.layers)
    characters = shape.characters * data.CHUNKS + 1
    config = data.train_config(shape)
    needed = training_bytes(model, shape.vocabulary, config, characters=characters)
    return {"shards": default_shards(shape.batch), "bytes": needed}


def language_model(
    hidden: int, vocabulary: int, text_config: TextConfig = PLAIN_TEXT
) -> LanguageModel:
    """An LSTM with initial weights."""
    config = ModelConfig("lstm", hidden)
    network = CharLM(config, vocabulary, reads_documents=text_config.has_documents)
    p = network.init_params(np.random.default_rng(0))
    points = np.arange(data.FIRST, data.FIRST + vocabulary, dtype=np.uint32)
    return LanguageModel(config, Vocabulary(points), p, text_config=text_config)


def save(path: str, hidden: int, vocabulary: int) -> None:
    """Write such a model to a file."""
    language_model(hidden, vocabulary).save(Path(path))


def sampling(hidden: int, streams: int, vocabulary: int) -> Callable[[], int]:
    """Sample `SAMPLE` characters of each stream."""
    model = language_model(hidden, vocabulary)
    rng = np.random.default_rng(0)
    config = SampleConfig(length=SAMPLE)

    def work() -> int:
        drawn = model.sample_streams(chr(data.FIRST), config, streams, rng=rng)
        return sum(map(len, drawn))

    work()
    return work


def scoring(hidden: int, streams: int, vocabulary: int, characters: int) -> Callable[[], int]:
    """Score a text as `charlm eval` does."""
    model = language_model(hidden, vocabulary)
    text = data.text(characters + 1, vocabulary)
    model.score(text[: 40 * streams], streams=streams)
    return lambda: model.score(text, streams=streams).characters


def scoring_lines(
    hidden: int, vocabulary: int, count: int, mean: int, path: str = ""
) -> Callable[[], int]:
    """Score lines as documents; counts lines."""
    model = language_model(hidden, vocabulary, TextConfig(lines=True))
    lines = data.lines(count, mean, vocabulary, path)
    model.score(lines[:100])
    return lambda: len(model.score(lines))


def beginnings(vocabulary: int, count: int, mean: int, path: str, **_: Any) -> list[int]:
    """The number of positions in lines, and of distinct beginnings of lines."""
    lines = data.lines(count, mean, vocabulary, path)
    distinct = {line[:k] for line in lines for k in range(len(line) + 1)}
    return [sum(len(line) + 1 for line in lines), len(distinct)]


def product(size: int) -> Callable[[], int]:
    """A large product on all processors, the limit of the machine; counts operations."""
    rng = np.random.default_rng(0)
    A, B = rng.random((2, size, size), dtype=np.float32)
    out = np.empty_like(A)
    cores = available_cores()
    pool = ThreadPoolExecutor(cores)
    edges = np.linspace(0, size, cores + 1).astype(int)

    def rows(k: int) -> None:
        part = slice(edges[k], edges[k + 1])
        np.matmul(A[part], B, out=out[part])

    def work() -> int:
        list(pool.map(rows, range(cores)))
        return 2 * size**3

    work()
    return work
