"""The settings that suit a text and a budget, for those that are not given.

`choose` is a pure function of the length of the text, its distinct characters, the operations of
the budget, and the settings that are given. docs/defaults.md has the experiments that its numbers
come from.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.distributed.scheduling import default_shards
from charlm.nn.model import CharLM
from charlm.nn.products import step_product
from charlm.nn.workspace import Workspace
from charlm.system.blas import one_blas_thread

Settings = Mapping[str, Any]

# The fields that are chosen. With the budget in steps, these and the others that are given are a
# whole run.
OF_MODEL = ("hidden", "embedding", "dropout")
OF_TRAINING = ("batch_size", "lr", "patience")

SHORT = 8.3e12  # operations: a minute on two fast cores
WIDTH, UNITS = 256, 64  # of a layer for `SHORT`; a width is a multiple of 64
WIDTH_GROWTH = 0.3  # the exponent of the operations
NARROWEST, WIDEST = 64, 1024
EMBEDDING = 64
DROPOUT_PER_DOUBLING, MOST_DROPOUT = 0.1, 0.65  # of the passes over the text
BATCHES = ((4 * SHORT, 64), (2 * SHORT, 32), (0.0, 16))  # streams from so many operations
LR, LR_DECAY, HIGHEST_LR = 8e-3, 0.15, 0.02  # of Adam, for `SHORT`, 256 units and 16 streams
PATIENCE = 5  # evaluations

REFERENCE = ModelConfig()  # LSTM 1x256, whose steps are counted
EFFICIENCY = 0.5  # the speed of training relative to that of its largest product
MEASURING = 0.05  # seconds


def choose(
    characters: int, distinct: int, operations: float, model: Settings, train: Settings
) -> tuple[ModelConfig, TrainConfig]:
    """The configurations for a text and a budget.

    The width grows with the operations. Dropout grows with the number of passes over the text that
    they allow, since a text that is read more often is learned by heart.

    Args:
        characters: the length of the text.
        distinct: the number of its distinct characters.
        operations: of the matrix products of training.
        model: the fields of `ModelConfig` that are given.
        train: the fields of `TrainConfig` that are given.

    Raises:
        ConfigError: what is given is invalid.
    """
    given = ModelConfig(**model)  # so that an error is about what was given
    sizes: dict[str, Any] = {
        "hidden": _width(operations / given.layers),
        "embedding": EMBEDDING,
        **model,
    }
    passes = operations / (_per_character(ModelConfig(**sizes), distinct) * characters)
    if "dropout" not in sizes and given.layers > (given.cell == "jordan"):
        sizes["dropout"] = _dropout(passes)
    fitting = next(streams for least, streams in BATCHES if operations >= least)
    batch_size = train.get("batch_size", fitting)
    of_training: dict[str, Any] = {"batch_size": batch_size}
    if train.get("optimizer", "adam") == "adam":
        of_training["lr"] = _lr(operations, sizes["hidden"], batch_size)
    return ModelConfig(**sizes), TrainConfig(**of_training | dict(train))


def _per_character(config: ModelConfig, distinct: int) -> int:
    """About the operations per character, without an object for each of very many layers.

    Each further layer adds what a second one does.
    """

    def of(layers: int, head_layers: int) -> int:
        few = replace(config, layers=layers, head_layers=head_layers, residual=False, dropout=0.0)
        return CharLM(few, distinct).operations

    head = min(1, config.head_layers)
    of_layer, of_head_layer = of(2, head) - of(1, head), of(1, 2 * head) - of(1, head)
    more = (config.layers - 1) * of_layer + (config.head_layers - head) * of_head_layer
    return of(1, head) + more


def _width(operations: float) -> int:
    """H = 256 (operations / SHORT)^0.3, rounded to a multiple of 64."""
    width = WIDTH * (operations / SHORT) ** WIDTH_GROWTH
    return int(min(max(NARROWEST, UNITS * round(width / UNITS)), WIDEST))


def _dropout(passes: float) -> float:
    """0.1 log2(passes), from 0 to 0.65."""
    rate = DROPOUT_PER_DOUBLING * math.log2(max(1.0, passes))
    return round(min(rate, MOST_DROPOUT), 2)


def _lr(operations: float, hidden: int, batch_size: int) -> float:
    """0.008 (SHORT / operations)^0.15 sqrt(256 / H · B / 16), at most 0.02, to two digits."""
    lr = LR * (SHORT / operations) ** LR_DECAY * math.sqrt(WIDTH / hidden * batch_size / 16)
    return float(f"{min(lr, HIGHEST_LR):.2g}")


def choose_for(
    budget: Budget, speed: float, characters: int, distinct: int, model: Settings, train: Settings
) -> tuple[ModelConfig, TrainConfig]:
    """The configurations for a text and a budget of any kind; see `choose`.

    A run of minutes or operations stops early when validation stalls.

    Args:
        budget: how long to train.
        speed: operations per second, from `measured_speed`.
        characters, distinct, model, train: as for `choose`.
    """
    if budget.steps is None and budget.epochs is None:
        train = {"patience": PATIENCE, **train}
    operations = _operations(budget, speed, characters, distinct)
    return choose(characters, distinct, operations, model, train)


def _operations(budget: Budget, speed: float, characters: int, distinct: int) -> float:
    """The operations of a budget; steps and epochs are those of LSTM 1x256."""
    if budget.operations is not None:
        return budget.operations
    if budget.minutes is not None:
        return 60 * budget.minutes * speed
    config = TrainConfig()
    per_step = config.batch_size * config.seq_len
    read = budget.steps * per_step if budget.steps else (budget.epochs or 0) * characters
    return read * CharLM(REFERENCE, distinct).operations


def measured_speed(processes: int) -> float:
    """About the operations per second of training, rounded down to a power of two.

    It is the speed of the product of a step of LSTM 1x256 in so many processes. Rounding makes it
    the same nearly every time.
    """
    B = TrainConfig().batch_size // default_shards(TrainConfig().batch_size)
    H = REFERENCE.hidden
    X, W = np.ones((B, H + 1), np.float32), np.ones((H + 1, 4 * H), np.float32)
    out = np.empty((4, B, H), np.float32)
    fastest, started = math.inf, time.perf_counter()
    with one_blas_thread():
        product = step_product(W, B, 64, Workspace(), gates=4)
        while (before := time.perf_counter()) < started + MEASURING:
            product(X, out)
            fastest = min(fastest, time.perf_counter() - before)
    used = min(processes, default_shards(TrainConfig().batch_size))
    speed = EFFICIENCY * used * 2 * X.size * W.shape[1] / fastest
    return float(2 ** math.floor(math.log2(speed)))
