"""Exploding gradients and gradient-norm clipping.

Claim of the lecture: gradients of recurrent networks sometimes explode, a step along such a
gradient moves the weights far away, and limiting the norm of the gradient (Pascanu, Mikolov &
Bengio 2013) is a cheap remedy.

Each training run is made with and without clipping, with the same text, initial weights, chunks
and learning rates: a plain RNN, a truncated-BPTT length of 100, gradient descent with momentum
(Adam normalizes the gradient, which hides much of the damage). With tanh the gradient can grow
only after recurrent weights have grown. With relu, which is unbounded, it is large from the first
step: its recurrent weights are initialized as 0.9 times the identity, closer to the identity of
Le, Jaitly & Hinton (2015) than the default of `rnn`. The table compares the gradient norm before
clipping and the bits per character of the validation split after the last step.
"""

import math
from dataclasses import dataclass

import numpy as np

from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.errors import DivergedError
from charlm.experiments.report import Entry, Line, Picture, Report
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.corpus import Corpus
from charlm.text.datasets import find
from charlm.training.budget import plan
from charlm.training.setup import set_up
from charlm.training.validation import validate

CLIP = 1.0
MARGIN = 0.1  # bits per character; smaller differences do not count
LEARNING_RATES = {"tanh": 1.0, "relu": 0.3}  # by activation
CORPUS = "ordinary-things"
IDENTITY = 0.9  # the factor of the identity matrix


@dataclass(frozen=True)
class Run:
    """The result of a training run.

    Attributes:
        norms: the gradient norm before clipping, one per step.
        bits: bits per character of the validation split at the end; infinite after divergence.
        diverged_at: the step with a non-finite loss or gradient, if any.
    """

    norms: list[float]
    bits: float
    diverged_at: int | None = None


def train(model: ModelConfig, config: TrainConfig, steps: int) -> Run:
    """Train to the end, or until training diverges."""
    text = find(CORPUS).source.fetch().decode()
    trainer = set_up(Corpus.of(text), model, config, threads=1)
    if model.activation == "relu":
        trainer.p["0.W"][: model.hidden] = IDENTITY * np.eye(model.hidden)
    plan(trainer, Budget(steps=steps))
    norms: list[float] = []
    try:
        while len(norms) < steps:
            norms.append(trainer.step().grad_norm)
    except DivergedError:
        return Run(norms, math.inf, len(norms) + 1)
    with quiet_overflow():
        score = validate(trainer)
    assert score is not None, "a part of the text is held out"
    return Run(norms, score.bits_per_char)


def run(*, quick: bool = False) -> Report:
    """Train with and without clipping, with tanh and with relu."""
    steps, hidden, seq_len = (60, 64, 100) if quick else (400, 128, 100)
    runs = {
        (activation, clip): train(
            ModelConfig("rnn", hidden, activation=activation),
            TrainConfig(seq_len=seq_len, batch_size=16, optimizer="sgd", lr=lr, clip=clip),
            steps,
        )
        for activation, lr in LEARNING_RATES.items()
        for clip in (0.0, CLIP)
    }
    names = {key: f"{key[0]}, {'clipped' if key[1] else 'not clipped'}" for key in runs}
    return Report(
        claim="An exploding gradient disrupts training; gradient-norm clipping prevents this.",
        columns=["run", "largest norm", "steps above the limit", "final bits", "diverged at"],
        rows=[_row(names[key], run) for key, run in runs.items()],
        picture=Picture(
            x="step",
            y="gradient norm before clipping",
            lines=[
                Line(names[key], range(1, len(run.norms) + 1), run.norms)
                for key, run in runs.items()
            ],
            log=True,
        ),
        finding=finding({a: (runs[a, 0.0], runs[a, CLIP]) for a in LEARNING_RATES}),
    )


def _row(name: str, run: Run) -> list[Entry]:
    above = sum(norm > CLIP for norm in run.norms)
    bits = f"{run.bits:.2f}" if math.isfinite(run.bits) else "-"
    return [name, max(run.norms, default=math.nan), above, bits, run.diverged_at or "-"]


def finding(runs: dict[str, tuple[Run, Run]]) -> str:
    """The results without and with clipping, and whether clipping was better each time."""
    ends = [
        f"{name}: {_end(bare)} without, {_end(clipped)} with"
        for name, (bare, clipped) in runs.items()
    ]
    helped = [name for name, (bare, clipped) in runs.items() if clipped.bits < bare.bits - MARGIN]
    verdict = (
        "Clipping was better each time: the claim holds."
        if len(helped) == len(runs)
        else f"Clipping was better for {' and '.join(helped) or 'none of them'}."
    )
    return "; ".join(ends) + ". " + verdict


def _end(run: Run) -> str:
    if run.diverged_at:
        return f"diverged at step {run.diverged_at}"
    return f"{run.bits:.2f} bits per character"
