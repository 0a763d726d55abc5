"""From a budget to a number of steps, by timing a few steps if the budget is in minutes."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from charlm.config import Budget
from charlm.system.available_memory import check_fits
from charlm.system.blas import one_blas_thread
from charlm.training.trainer import Trainer
from charlm.training.validation import validate

TRIAL_FRACTION, TRIAL_SECONDS = 0.03, 5.0  # of the budget, and at most, for timing steps
SAVING = 2.0  # the time of an evaluation with its files, relative to that of its scoring
COLD, FEWEST_TIMED = 2, 3  # steps: the first ones, which are slower, and those after them


def plan(trainer: Trainer, budget: Budget) -> None:
    """Fix the number of steps of a run. Minutes count from now.

    Raises:
        ModelError: there is not enough memory for the trial.
        RankError: a rank does not respond.
    """
    if budget.minutes is not None:
        more = trainer.group.all_gather(_steps_in(trainer, 60 * budget.minutes))[0]
        steps = trainer.progress.step + more
    elif budget.operations is not None:
        per_step = trainer.model.operations * trainer.characters_per_step
        steps = max(1, round(budget.operations / per_step))
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
        step = float(np.median(tries[COLD:]))
        trainer.progress = replace(trainer.progress, steps=max(1, int(seconds / step)))
        every = trainer.eval_every
        scoring = _time_of(lambda: validate(trainer))
        whole = scoring * max(1, trainer.data.val.characters / trainer.eval_characters)
    flat[:], moments[:], trainer.carried, trainer.progress = kept
    evaluation = SAVING * scoring
    left = seconds - whole - evaluation - (time.perf_counter() - started)
    return max(1, int(left / (step + evaluation / every)))


def _needs_another(trainer: Trainer, tries: list[float], seconds: float) -> bool:
    """Whether to time one more step; rank 0 decides."""
    enough = min(TRIAL_FRACTION * seconds, TRIAL_SECONDS)
    is_enough = len(tries) >= COLD + FEWEST_TIMED and sum(tries) >= enough
    return trainer.group.all_gather(not is_enough)[0]


def _time_of(action: Callable[[], object]) -> float:
    """The time that an action takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
