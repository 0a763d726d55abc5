"""From a budget to a number of steps, by timing a few steps if the budget is in minutes."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from charlm.config import Budget
from charlm.system.available_memory import check_fits
from charlm.system.blas import one_blas_thread
from charlm.training.trainer import EVALUATIONS, Trainer
from charlm.training.validation import EVAL_CHARACTERS, validate

TRIAL_SECONDS = 5.0  # the maximum time of the trial


def plan(trainer: Trainer, budget: Budget) -> None:
    """Fix the number of steps of a run. Minutes count from now.

    Raises:
        ModelError: there is not enough memory for the trial.
        RankError: a rank does not respond.
    """
    if budget.minutes is not None:
        more = trainer.group.all_gather(_steps_in(trainer, 60 * budget.minutes))[0]
        steps = trainer.progress.step + more
    elif budget.epochs is not None:
        steps = math.ceil(budget.epochs * trainer.steps_per_epoch)
    else:
        assert budget.steps is not None
        steps = budget.steps
    trainer.progress = replace(trainer.progress, steps=steps)


def _steps_in(trainer: Trainer, seconds: float) -> int:
    """The number of steps that fit into a time, evaluations included. The trial is undone."""
    started = time.perf_counter()
    flat, moments = trainer.p.flat, trainer.optimizer.moments
    check_fits(flat.nbytes + moments.nbytes, "timing a few steps of the model", "pass `steps`")
    kept = flat.copy(), moments.copy(), trainer.carried, trainer.progress
    trainer.progress = replace(trainer.progress, step=0)
    tries: list[float] = []
    with one_blas_thread():
        while _needs_another(trainer, tries, seconds):
            tries.append(trainer.step(lr=0.0).seconds)  # a learning rate of 0 cannot diverge
        evaluation = _time_of(lambda: validate(trainer))
    flat[:], moments[:], trainer.carried, trainer.progress = kept
    # one evaluation at the start, and the whole validation split at the end
    evaluations = EVALUATIONS + 1 + max(1, trainer.data.val.characters / EVAL_CHARACTERS)
    left = seconds - evaluations * evaluation - (time.perf_counter() - started)
    return max(1, int(left / float(np.median(tries[1:]))))


def _needs_another(trainer: Trainer, tries: list[float], seconds: float) -> bool:
    """Whether to time one more step; rank 0 decides."""
    enough = min(0.03 * seconds, TRIAL_SECONDS)
    return trainer.group.all_gather(len(tries) < 3 or sum(tries) < enough)[0]


def _time_of(action: Callable[[], object]) -> float:
    """The time that an action takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
