"""Optimizers, gradient clipping and the learning-rate schedule, all on flat vectors.

An update rule changes the parameters p and its moments in place, given the gradient g, the learning
rate, and the number t of the step, counted from 1. All vectors are 1-D.
"""

import math
from collections.abc import Callable

import numpy as np

from charlm.config import TrainConfig
from charlm.system.arrays import Array

Rule = Callable[[Array, Array, Array, float, int], None]

# The vectors are updated in blocks of this many numbers, which stay in the cache.
BLOCK = 1 << 14


def adam(p: Array, g: Array, moments: Array, lr: float, t: int) -> None:
    """Adam (Kingma & Ba 2015), with decay rates 0.9 and 0.99.

    The second moment decays faster than with the paper's 0.999: runs have a few thousand steps.
    """
    beta1, beta2, eps = 0.9, 0.99, 1e-8
    m, v = moments
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    root = np.sqrt(v)
    root += eps
    # both bias corrections, folded into the step size
    step = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
    p -= step * m / root


def rmsprop(p: Array, g: Array, moments: Array, lr: float, t: int) -> None:
    """RMSprop (Tieleman & Hinton 2012), with decay rate 0.95."""
    decay, eps = 0.95, 1e-8
    (v,) = moments
    v *= decay
    v += (1 - decay) * g * g
    p -= lr * g / (np.sqrt(v) + eps)


def adagrad(p: Array, g: Array, moments: Array, lr: float, t: int) -> None:
    """Adagrad (Duchi, Hazan & Singer 2011)."""
    (v,) = moments
    v += g * g
    p -= lr * g / (np.sqrt(v) + 1e-8)


def sgd(p: Array, g: Array, moments: Array, lr: float, t: int) -> None:
    """Gradient descent with momentum 0.9 (Polyak 1964)."""
    (velocity,) = moments
    velocity *= 0.9
    velocity += g
    p -= lr * velocity


# Each with the names of its moments.
OPTIMIZERS: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "adam": (adam, ("m", "v")),
    "rmsprop": (rmsprop, ("v",)),
    "adagrad": (adagrad, ("v",)),
    "sgd": (sgd, ("velocity",)),
}


class Optimizer:
    """An update rule and its moments.

    Args:
        name: a name in `OPTIMIZERS`.
        p: the parameters, 1-D.

    Attributes:
        moments: `(k, size)`, initially zeros.
        names: the names of the rows of `moments`.
    """

    def __init__(self, name: str, p: Array) -> None:
        self.rule, self.names = OPTIMIZERS[name]
        self.moments = np.zeros((len(self.names), p.size), p.dtype)

    def step(self, p: Array, g: Array, lr: float, t: int) -> None:
        """Update p in place in step t, counted from 1."""
        for start in range(0, p.size, BLOCK):
            block = slice(start, start + BLOCK)
            self.rule(p[block], g[block], self.moments[:, block], lr, t)


def clip_norm(g: Array, limit: float) -> float:
    """Scale g in place so that its Euclidean norm is at most `limit`; 0 disables clipping.

    Pascanu, Mikolov & Bengio 2013: g ← g · min(1, θ / ‖g‖).

    Returns:
        The norm before clipping.
    """
    norm = float(np.sqrt(g @ g))
    if 0 < limit < norm:
        g *= limit / norm
    return norm


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """The learning rate of step `step` of `steps`, counted from 0.

    Linear warm-up, then cosine decay to a hundredth of the peak.
    """
    warmup = min(config.warmup, steps // 10)
    rise = min(1.0, (step + 1) / (warmup + 1))
    progress = min(max(0.0, (step - warmup) / max(1, steps - warmup)), 1.0)
    return config.peak_lr * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
