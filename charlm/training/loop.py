"""The training loop: run a trainer to its last step, and keep the files of the run up to date.

It yields an event for everything that happens and prints nothing.

A run that diverges is rolled back to its best checkpoint, not to the last one. Which model was the
best depends on the run alone; which was saved last depends on the clock and on interruptions. So a
run that is interrupted and resumed stays bit-identical to one that is not.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from typing import Any, TypeVar

from charlm.errors import CheckpointError, DivergedError
from charlm.inference.parts import ScoringStopped
from charlm.system.blas import one_blas_thread
from charlm.text.splits import Texts
from charlm.training import history
from charlm.training.baselines import ngram_figures
from charlm.training.checkpoint import Checkpoint, load_of_run, save
from charlm.training.events import Done, Eval, Record, Rollback, Start
from charlm.training.run_directory import RunDirectory
from charlm.training.summary import Speed, Summary
from charlm.training.trainer import Data, Trainer
from charlm.training.validation import evaluate, score_together

SAVE_SECONDS = 30.0
MAX_PENDING = 1_000  # events before they are written
MAX_ROLLBACKS = 3

R = TypeVar("R", bound=Record)


def train(
    trainer: Trainer,
    directory: RunDirectory | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    summary: Summary | None = None,
) -> Iterator[Record]:
    """Train until the last step, until validation has stalled, or until asked to stop.

    Args:
        trainer: a trainer with a number of steps, new or resumed.
        directory: the directory for checkpoints and history; None writes no files, which is for all
            ranks but the first.
        should_stop: called after each step, and while the best model is scored at the end. If it
            returns True on any rank, everything is saved, and there is no `Done`.
        summary: receives all events of the run, also those before it was resumed.

    Yields:
        A `Start`; a `Step` for each step; an `Eval` at the start, every `eval_every` steps and at
        the end; a `Rollback` after each divergence; a `Done`.

    Raises:
        DivergedError: a loss, gradient or weight was not finite, and there is no directory, or this
            happened more than `MAX_ROLLBACKS` times. The files contain a finite model.
        CheckpointError: a checkpoint cannot be written.
        RunError: the history cannot be written, or is damaged.
    """
    with one_blas_thread(), _Writer(trainer, directory, summary or Summary()) as files:
        if not trainer.progress.is_fresh:
            files.rewind()
        yield files.add(_start(trainer, directory))
        if trainer.progress.is_fresh:
            files.begin()
            yield files.add(evaluate(trainer, files.summary.since))
            files.save_best()
        speed = Speed()
        stopped: bool | None = None
        while stopped is None:
            try:
                stopped = yield from _steps(trainer, files, should_stop, speed)
            except DivergedError as error:
                yield files.add(_roll_back(trainer, files, error))
                files.save_last()
        if not stopped and (done := _done(trainer, files, speed, should_stop)):
            yield done


def _start(trainer: Trainer, directory: RunDirectory | None) -> Start:
    data = trainer.data
    return Start(
        step=trainer.progress.step,
        steps=trainer.progress.steps,
        steps_per_epoch=trainer.steps_per_epoch,
        corpus=data.corpus.name,
        train_characters=data.train.characters,
        val_characters=data.val.characters,
        train_documents=_documents(data.train),
        val_documents=_documents(data.val),
        validation=_kind_of_validation(data),
        unknown_val_characters=data.unknown,
        vocabulary=len(data.vocabulary),
        rare_characters=data.corpus.rare_characters(trainer.config.min_count),
        parameters=trainer.p.flat.size,
        batch_size=trainer.streams.batch_size,
        model=asdict(trainer.model.config),
        train=asdict(trainer.config),
        run=str(directory.path) if directory else None,
    )


def _documents(texts: Texts) -> int | None:
    return None if texts.boundary is None else len(texts)


def _kind_of_validation(data: Data) -> str:
    """See `Start.validation`."""
    if not len(data.val):
        return "none"
    if data.validation:
        return "texts"
    if not data.corpus.config.has_documents:
        return "ends"
    return "files" if data.corpus.config.files else "documents"


class _Writer:
    """Keeps the files of a run up to date. Without a directory, it only takes part in collectives.

    A checkpoint gathers the state of all ranks, so every rank calls the methods that save.
    """

    def __init__(self, trainer: Trainer, directory: RunDirectory | None, summary: Summary) -> None:
        self.trainer, self.directory, self.summary = trainer, directory, summary
        self.pending: list[dict[str, Any]] = []
        self.saved_at = time.monotonic()
        self.has_begun = not trainer.progress.is_fresh  # else there may be files of an older run

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()

    def add(self, record: R) -> R:
        """Add an event to the summary and to the pending history, and return it."""
        self.pending.append(record.as_dict())
        self.summary.add(self.pending[-1])
        if len(self.pending) == MAX_PENDING:
            self.flush()
        return record

    def flush(self) -> None:
        """Write the history, always before a checkpoint that relies on it."""
        records, self.pending = self.pending, []  # a write that failed is not repeated
        if self.directory and self.has_begun:
            history.append(self.directory.history, records)

    def begin(self) -> None:
        """Save for the first time, and only then remove the files of an older run."""
        checkpoint = self.trainer.checkpoint()
        if self.directory:
            save(self.directory.last, checkpoint)
            self.directory.forget()
        self.has_begun = True
        self.flush()

    def save_best(self) -> None:
        """Write `best.npz`."""
        checkpoint = self.trainer.checkpoint()
        if self.directory:
            save(self.directory.best, checkpoint)

    def save_last(self) -> None:
        """Write `last.npz`, after the history."""
        self.flush()
        checkpoint = self.trainer.checkpoint()
        if self.directory:
            save(self.directory.last, checkpoint)
        self.saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.saved_at >= SAVE_SECONDS

    def rewind(self) -> None:
        """Remove what the history has after the checkpoint that a run resumes from.

        Raises:
            RunError: the history is damaged, or cannot be written.
        """
        self.summary = self.trainer.group.broadcast(self._rewound)

    def _rewound(self) -> Summary:
        progress = self.trainer.progress
        if self.directory is None:
            return self.summary
        file = self.directory.history
        return history.rewind(file, progress.step, progress.rollbacks, self.summary)

    def best(self) -> Checkpoint | None:
        """The best checkpoint of the run; None without a directory.

        Raises:
            CheckpointError: it cannot be read, or belongs to another run.
        """
        if self.directory is None:
            return None
        trainer = self.trainer
        sha256 = trainer.data.corpus.encoded.sha256
        return load_of_run(self.directory.best, trainer.model.config, trainer.config, sha256)


def _steps(
    trainer: Trainer, files: _Writer, should_stop: Callable[[], bool], speed: Speed
) -> Generator[Record, None, bool]:
    """The remaining steps; returns whether a signal stopped them before the last one."""
    while not trainer.progress.is_finished(trainer.config):
        record = files.add(trainer.step())
        speed.add(record)
        yield record
        step, steps = trainer.progress.step, trainer.progress.steps
        if step % trainer.eval_every == 0 or step == steps:
            yield from _evaluation(trainer, files)
        stop, due = _on_any_rank(trainer, should_stop(), files.is_due())
        if stop or due:
            files.save_last()
        if stop:
            return True
    if files.summary.since.count:  # the run was resumed with fewer steps than it has taken
        yield from _evaluation(trainer, files)
    return False


def _evaluation(trainer: Trainer, files: _Writer) -> Iterator[Eval]:
    """Evaluate and save."""
    evaluation = files.add(evaluate(trainer, files.summary.since))
    yield evaluation
    if evaluation.best:
        files.save_best()
    files.save_last()


def _roll_back(trainer: Trainer, files: _Writer, error: DivergedError) -> Rollback:
    """Roll back to the best checkpoint, on all ranks.

    Raises:
        DivergedError: there were too many rollbacks, or there is no checkpoint.
    """
    if trainer.progress.rollbacks >= MAX_ROLLBACKS:
        tried = f"after {MAX_ROLLBACKS} rollbacks to the best model"
        raise DivergedError(error.step, f"{error.cause}, {tried}", error.advice) from error
    try:
        best = trainer.group.broadcast(files.best)
    except CheckpointError as lost:
        cause = f"{error.cause}, and the rollback failed: {lost}"
        raise DivergedError(error.step, cause, error.advice) from error
    if best is None:
        raise error
    diverged_after = trainer.progress.step
    trainer.roll_back(best)
    progress = trainer.progress
    peak_lr = trainer.config.peak_lr * trainer.lr_factor
    return Rollback(progress.step, diverged_after, error.cause, progress.rollbacks, peak_lr)


def _on_any_rank(trainer: Trainer, *flags: bool) -> list[bool]:
    """Which of some flags is True on any rank."""
    return [any(each) for each in zip(*trainer.group.all_gather(flags), strict=True)]


def _done(
    trainer: Trainer, files: _Writer, speed: Speed, should_stop: Callable[[], bool]
) -> Done | None:
    """Score the best model on the whole validation split; None if asked to stop meanwhile."""
    is_single = trainer.group.size == 1  # with several ranks, the others would wait for this one
    result = None
    try:
        if len(trainer.data.val):
            result = score_together(
                trainer,
                trainer.best_params,
                trainer.data.val,
                should_stop=lambda: is_single and should_stop(),
            )
    except ScoringStopped:
        return None
    done = Done(
        step=trainer.progress.step,
        best_step=trainer.progress.best_step,
        nats_per_char=result.nats_per_char if result else None,
        bits_per_char=result.bits_per_char if result else None,
        perplexity=result.perplexity if result else None,
        characters=result.characters if result else 0,
        train_chars_per_second=speed.characters_per_second,
        seconds=trainer.progress.seconds,
        model=str(files.directory.best) if files.directory else None,
        ngram=ngram_figures(trainer.data, trainer.model),
    )
    return files.add(done)
