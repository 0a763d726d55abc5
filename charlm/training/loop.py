"""Training: a trainer run to the end of its plan, its files kept up to date.

It yields a record of each thing that happens. Nothing here prints.

A run with a directory that diverges goes back to its best model, the last that was measured and
found good, whose whole training was saved with it. When a run was saved last depends on the
clock, and on who stopped it; when it was best does not, so that a run that is stopped and gone
on with still comes to the same end.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict

from charlm.errors import CheckpointError, DivergedError, RunError
from charlm.system.blas import one_blas_thread
from charlm.training.checkpoint import Checkpoint, load_of_run, save
from charlm.training.events import Done, Eval, Record, Rollback, Start, Step
from charlm.training.run_directory import RunDirectory
from charlm.training.trainer import Trainer

SAVE_SECONDS = 30.0
MAX_ROLLBACKS = 3  # after which a run that diverges once more is given up


def _start(trainer: Trainer, directory: RunDirectory | None) -> Start:
    return Start(
        step=trainer.progress.step,
        steps=trainer.progress.steps,
        steps_per_epoch=trainer.steps_per_epoch,
        corpus=trainer.corpus.name,
        train_characters=trainer.train_characters,
        val_characters=len(trainer.val_ids),
        vocabulary=len(trainer.vocabulary),
        rare_characters=trainer.corpus.rare_characters(trainer.config.min_count),
        parameters=trainer.p.flat.size,
        batch_size=trainer.streams.batch_size,
        model=asdict(trainer.model.config),
        train=asdict(trainer.config),
        run=str(directory.path) if directory else None,
    )


def train(
    trainer: Trainer,
    directory: RunDirectory | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Train to the end of the plan, or until asked to stop.

    Args:
        trainer: a planned trainer, new or resumed.
        directory: where to keep checkpoints and history; None keeps nothing, which is for all
            ranks but the first.
        should_stop: asked after each step, and while the best model is scored in the end; when
            it says so, on any rank, all is saved, and no `Done` comes.

    Yields:
        A `Start`; a `Step` for each step; an `Eval` at the start, at every `eval_every`
        steps and at the end; a `Setback` where it has diverged; a `Done`.

    Raises:
        DivergedError: a loss, gradient or weight was not finite, and there is no directory, or it
            was so `SETBACKS` times before. The files are those of a good model.
        CheckpointError: a checkpoint cannot be written.
        RunError: the history cannot be written, or is damaged.
    """
    with one_blas_thread():
        writer = _Writer(trainer, directory)
        try:
            for record in _records(trainer, writer, should_stop):
                writer.add(record)
                yield record
        finally:
            writer.flush()


class _Writer:
    """Keeps a run's files up to date."""

    def __init__(self, trainer: Trainer, directory: RunDirectory | None) -> None:
        self.trainer, self.directory = trainer, directory
        self.pending: list[Record] = []
        self.saved_at = time.monotonic()
        self.has_begun = not trainer.progress.is_fresh  # else the history may be of a run before

    def steps_since_evaluation(self) -> list[Step]:
        """The steps that a resumed run had done since its last evaluation.

        Raises:
            RunError: the history is damaged.
        """
        if self.directory is None:
            return []
        steps: list[Step] = []
        try:
            for record in self.directory.read_history():
                event = record.pop("event")
                if event == Step.event:
                    steps.append(Step(**record))
                elif event in (Eval.event, Rollback.event):
                    steps.clear()
        except TypeError as error:
            history = self.directory.history
            raise RunError(f"{history} is damaged: {error}; remove it to go on") from error
        return steps

    def best(self) -> Checkpoint | None:
        """The best model with its training; None if nothing is kept.

        Raises:
            CheckpointError: it cannot be read, or is of another run.
        """
        trainer = self.trainer
        if self.directory is None:
            return None
        return load_of_run(
            self.directory.best, trainer.model.config, trainer.config, trainer.info.sha256
        )

    def add(self, record: Record) -> None:
        self.pending.append(record)

    def begin(self) -> None:
        """Save for the first time, and only then forget a run that was here before."""
        checkpoint = self.trainer.checkpoint()
        if self.directory:
            save(self.directory.last, checkpoint)
            self.directory.forget()
        self.has_begun = True
        self.flush()

    def save_best(self) -> None:
        checkpoint = self.trainer.checkpoint()
        if self.directory:
            save(self.directory.best, checkpoint)

    def save_last(self) -> None:
        self.flush()
        checkpoint = self.trainer.checkpoint()
        if self.directory:
            save(self.directory.last, checkpoint)
        self.saved_at = time.monotonic()

    def is_due(self) -> bool:
        return time.monotonic() - self.saved_at >= SAVE_SECONDS

    def flush(self) -> None:
        """Write the history, always before the checkpoint that relies on it."""
        records, self.pending = self.pending, []  # what has failed once is not tried again
        if self.directory and self.has_begun:
            self.directory.append_history(record.as_dict() for record in records)


def _records(
    trainer: Trainer, writer: _Writer, should_stop: Callable[[], bool]
) -> Iterator[Record]:
    yield _start(trainer, writer.directory)
    if trainer.progress.is_fresh:
        writer.begin()
        yield trainer.evaluate([])
        writer.save_best()
    timed: list[Step] = []
    stopped: bool | None = None
    while stopped is None:
        try:
            stopped = yield from _steps(trainer, writer, should_stop, timed)
        except DivergedError as error:
            yield _roll_back(trainer, writer, error)
            writer.save_last()
    if not stopped:
        yield from _done(trainer, writer.directory, timed[3:], should_stop)


def _steps(
    trainer: Trainer, writer: _Writer, should_stop: Callable[[], bool], timed: list[Step]
) -> Generator[Record, None, bool]:
    """The steps that are left; returns whether they were stopped before the last."""
    since = writer.steps_since_evaluation()
    while trainer.progress.step < trainer.progress.steps:
        record = trainer.step()
        since.append(record)
        timed.append(record)
        yield record
        step, steps = trainer.progress.step, trainer.progress.steps
        if step % trainer.eval_every == 0 or step == steps:
            evaluation = trainer.evaluate(since)
            since = []
            yield evaluation
            if evaluation.best:
                writer.save_best()
            writer.save_last()
        stop, due = _any(trainer, should_stop(), writer.is_due())
        if stop or due:
            writer.save_last()
        if stop:
            return True
    return False


def _roll_back(trainer: Trainer, writer: _Writer, error: DivergedError) -> Rollback:
    """To the best model, on all ranks.

    Raises:
        DivergedError: that was done often enough, or there is none.
    """
    if trainer.progress.rollbacks >= MAX_ROLLBACKS:
        tried = f"and so it did {MAX_ROLLBACKS} times before, each time from its best model"
        raise DivergedError(error.step, f"{error.cause}, {tried}", error.advice) from error
    try:
        best = trainer.group.broadcast(writer.best)
    except CheckpointError as lost:
        cause = f"{error.cause}, and there is no going back: {lost}"
        raise DivergedError(error.step, cause, error.advice) from error
    if best is None:
        raise error
    diverged_after = trainer.progress.step
    trainer.roll_back(best)
    progress = trainer.progress
    peak_lr = trainer.config.peak_lr * trainer.lr_factor
    return Rollback(progress.step, diverged_after, error.cause, progress.rollbacks, peak_lr)


def _any(trainer: Trainer, *wishes: bool) -> list[bool]:
    """Which of some wishes any of the ranks has."""
    return [any(each) for each in zip(*trainer.group.all_gather(wishes), strict=True)]


class _Stopped(Exception):  # noqa: N818
    """Whoever waits for the last figure waits no more."""


def _done(
    trainer: Trainer,
    directory: RunDirectory | None,
    timed: list[Step],
    should_stop: Callable[[], bool],
) -> Iterator[Done]:
    """Score the best model on the whole held-out part, which may take long."""

    def stop_if_asked(characters: int) -> None:
        if trainer.group.size == 1 and should_stop():  # the others would wait for this one
            raise _Stopped

    params = trainer.checkpoint(trainer.best).params
    try:
        result = trainer.score(params, trainer.val_ids, progress=stop_if_asked)
    except _Stopped:
        return
    seconds = sum(step.seconds for step in timed)
    yield Done(
        step=trainer.progress.step,
        best_step=trainer.progress.best_step,
        nats_per_char=result.nats_per_char,
        bits_per_char=result.bits_per_char,
        perplexity=result.perplexity,
        characters=result.characters,
        train_chars_per_second=sum(s.characters for s in timed) / seconds if timed else None,
        seconds=trainer.progress.seconds,
        model=str(directory.best) if directory else None,
    )
