"""What several test files share: small models in float64, and small training runs."""

from typing import Any

import numpy as np
from hypothesis import settings

from charlm.arrays import Array
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.model import CharLM
from charlm.params import Params
from charlm.text import Corpus
from charlm.trainer import Trainer

# How hypothesis tries a law: the same examples every time, however slow the machine.
lawful = settings(deadline=None, derandomize=True, max_examples=100)

TEXT = "the cat sat on the mat.\n" * 12


def small_trainer(
    cell: str = "lstm",
    text: str = TEXT,
    *,
    hidden: int = 5,
    layers: int = 1,
    embedding: int = 0,
    dropout: float = 0.0,
    steps: int = 16,
    threads: int = 1,
    **config: Any,
) -> Trainer:
    """A trainer of a small model for so many steps, 13 an epoch of `TEXT`."""
    model = ModelConfig(cell, hidden, layers, embedding, dropout)
    options = {"seq_len": 5, "batch_size": 4, "eval_every": 4} | config
    trainer = Trainer(Corpus(text), model, TrainConfig(**options), threads=threads)
    trainer.plan(Budget(steps=steps))
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
