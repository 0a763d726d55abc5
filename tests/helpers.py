"""What several test files share: small models in float64, and small training runs."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings

from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import Cell
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.system.arrays import Array
from charlm.text.corpus import Corpus
from charlm.training.budget import plan
from charlm.training.checkpoint import Checkpoint, load
from charlm.training.loop import train
from charlm.training.run_directory import RunDirectory
from charlm.training.setup import resume, set_up
from charlm.training.trainer import Trainer

# How hypothesis tries a law: the same examples every time, however slow the machine.
lawful = settings(deadline=None, derandomize=True, max_examples=100)
lawful_but_slow = settings(lawful, max_examples=25)

TEXT = "the cat sat on the mat.\n" * 12
NOISE = "".join(np.random.default_rng(0).choice(list("aaaaabbbc\n"), 300))


def make_cell(name: str, inputs: int, hidden: int, **options: Any) -> Cell:
    """A cell of that name; one that owns its output layer has two outputs more than units."""
    if name == "jordan":
        options["width"] = hidden + 2
    return CELLS[name](inputs, hidden, **options)


def small_trainer(
    cell: str = "lstm",
    text: str = TEXT,
    *,
    hidden: int = 5,
    steps: int = 16,
    threads: int = 1,
    **options: Any,
) -> Trainer:
    """A trainer of a small model for so many steps, 13 an epoch of `TEXT`.

    The other options are fields of `ModelConfig` and `TrainConfig`.
    """
    of_model = {f.name: options.pop(f.name) for f in fields(ModelConfig) if f.name in options}
    config = TrainConfig(**{"seq_len": 5, "batch_size": 4, "eval_every": 4} | options)
    model = ModelConfig(cell, hidden, **of_model)
    trainer = set_up(Corpus.of(text), model, config, threads=threads)
    plan(trainer, Budget(steps=steps))
    return trainer


def small_model(
    cell: str, vocabulary: int = 7, *, hidden: int = 5, seed: int = 0, **config: Any
) -> tuple[CharLM, Params]:
    """A model and float64 weights, none of them at zero, as biases are at first."""
    model = CharLM(ModelConfig(cell, hidden, **config), vocabulary)
    rng = np.random.default_rng(seed)
    p = model.init_params(rng, np.float64)
    p.flat[:] += rng.normal(scale=0.3, size=p.flat.size)
    return model, p


def random_ids(*shape: int, below: int = 7, seed: int = 1) -> Array:
    """Ids of characters, `shape`."""
    return np.random.default_rng(seed).integers(below, size=shape)


def random_state(model: CharLM, batch: int, seed: int = 2) -> tuple[Array, ...]:
    """A state that streams may have come to, float64."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(scale=0.5, size=a.shape) for a in model.zero_state(batch, np.float64))


def run(trainer: Trainer, path: Path | None = None, stop_after: int | None = None) -> list:
    """The records of a run, up to its end or a stop."""
    directory = None if path is None else RunDirectory(path)
    if directory:
        directory.make()
    return list(train(trainer, directory, lambda: trainer.progress.step == stop_after))


def numbers(trainer: Trainer) -> list[bytes]:
    """The bytes of everything that a step changes."""
    arrays = [trainer.p.flat, trainer.best, trainer.optimizer.moments, *trainer.carried]
    return [array.tobytes() for array in arrays]


def untimed(record: dict) -> dict:
    """A record without what the clock, or the place on disk, makes of it."""
    passing = {"seconds", "train_chars_per_second", "run", "model"}
    return {k: v for k, v in record.items() if k not in passing or k == "event"}


def only(kind: type, records: list) -> list:
    return [record for record in records if isinstance(record, kind)]


def resumed(path: Path, text: str = TEXT) -> Trainer:
    """The trainer of a run on disk, as its last checkpoint left it."""
    directory = RunDirectory(path)
    last = load(directory.last)
    best = None if last.training.progress.is_fresh else load(directory.best)
    return resume(last, Corpus.of(text), best=best, threads=1)


def trained(cell: str = "lstm", **options: Any) -> Checkpoint:
    """The checkpoint of a small trainer after three steps."""
    trainer = small_trainer(cell, hidden=3, **options)
    for _ in range(3):
        trainer.step()
    return trainer.checkpoint()


def bits(checkpoint: Checkpoint) -> dict:
    """All of a checkpoint, its arrays as type, shape and bytes."""
    training = checkpoint.training
    arrays = [checkpoint.vocabulary.points, *checkpoint.params.values()]
    if training:
        arrays += [training.moments, *training.carried]
    return {
        "config": checkpoint.config,
        "names": list(checkpoint.params),
        "arrays": [(a.dtype.str, a.shape, a.tobytes()) for a in arrays],
        "training": training and (training.config, training.progress, training.corpus),
    }
