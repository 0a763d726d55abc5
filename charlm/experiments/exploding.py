"""What clipping the gradient is for.

The lecture says that gradients of recurrent networks sometimes explode, that a step along such a
gradient throws the weights far away, and that scaling the gradient down to a largest norm
(Pascanu, Mikolov & Bengio 2013) is a cheap cure.

The same run is done twice, with clipping and without: the same text, initial weights, chunks and
learning rates. A plain RNN, 100 characters between two truncations, gradient descent with momentum
(Adam divides the gradient by its own size, which hides much of the damage). With tanh the gradient
can grow only where recurrent weights have grown; with relu, which has no upper end, it is large
from the first step: here its recurrent weights start as 0.9 times the identity, closer to the
whole identity of Le, Jaitly & Hinton (2015) than those of `rnn` otherwise do. Compared are the
norm of the gradient before clipping at each step, and the surprise of held-out text after the last
one.
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
from charlm.training.trainer import Trainer

CLIP = 1.0
MARGIN = 0.1  # bits a character: a smaller difference is not called one
SETTINGS = {"tanh": 1.0, "relu": 0.3}  # the learning rate for each activation
CORPUS = "ordinary-things"
KEPT = 0.9  # of the identity


@dataclass(frozen=True)
class Run:
    """What a training run came to.

    Attributes:
        norms: of the gradient before clipping, one a step.
        bits: a held-out character's mean surprise at the end; infinite after a divergence.
        diverged_at: the step whose loss or gradient was not finite, if one was.
    """

    norms: list[float]
    bits: float
    diverged_at: int | None = None


def train(model: ModelConfig, config: TrainConfig, steps: int) -> Run:
    """Train to the end, or to the step that diverges."""
    text = find(CORPUS).source.fetch().decode()
    trainer = Trainer(Corpus.of(text), model, config, threads=1)
    if model.activation == "relu":
        trainer.p["0.W"][: model.hidden] = KEPT * np.eye(model.hidden)
    trainer.plan(Budget(steps=steps))
    norms: list[float] = []
    try:
        while len(norms) < steps:
            norms.append(trainer.step().grad_norm)
    except DivergedError:
        return Run(norms, math.inf, len(norms) + 1)
    with quiet_overflow():
        return Run(norms, trainer.validate().bits_per_char)


def run(*, quick: bool = False) -> Report:
    """Train with and without clipping, with tanh and with relu."""
    steps, hidden, seq_len = (60, 64, 100) if quick else (400, 128, 100)
    runs = {
        (activation, clip): train(
            ModelConfig("rnn", hidden, activation=activation),
            TrainConfig(seq_len=seq_len, batch_size=16, optimizer="sgd", lr=lr, clip=clip),
            steps,
        )
        for activation, lr in SETTINGS.items()
        for clip in (0.0, CLIP)
    }
    names = {key: f"{key[0]}, {'clipped' if key[1] else 'not clipped'}" for key in runs}
    return Report(
        claim="An exploding gradient throws training back; clipping keeps it on its way.",
        columns=["run", "largest norm", "steps above the limit", "bits at the end", "diverged at"],
        rows=[_row(names[key], run) for key, run in runs.items()],
        picture=Picture(
            x="step",
            y="norm of the gradient before clipping",
            lines=[
                Line(names[key], range(1, len(run.norms) + 1), run.norms)
                for key, run in runs.items()
            ],
            log=True,
        ),
        finding=finding({a: (runs[a, 0.0], runs[a, CLIP]) for a in SETTINGS}),
    )


def _row(name: str, run: Run) -> list[Entry]:
    above = sum(norm > CLIP for norm in run.norms)
    bits = f"{run.bits:.2f}" if math.isfinite(run.bits) else "-"
    return [name, max(run.norms, default=math.nan), above, bits, run.diverged_at or "-"]


def finding(runs: dict[str, tuple[Run, Run]]) -> str:
    """How the runs without and with clipping ended, and whether the latter did better each time."""
    ends = [
        f"{name}: {_end(bare)} without, {_end(clipped)} with"
        for name, (bare, clipped) in runs.items()
    ]
    helped = [name for name, (bare, clipped) in runs.items() if clipped.bits < bare.bits - MARGIN]
    verdict = (
        "Clipping did better each time: the claim holds."
        if len(helped) == len(runs)
        else f"Clipping did better for {' and '.join(helped) or 'none of them'}."
    )
    return "; ".join(ends) + ". " + verdict


def _end(run: Run) -> str:
    if run.diverged_at:
        return f"diverged at step {run.diverged_at}"
    return f"{run.bits:.2f} bits a character"
