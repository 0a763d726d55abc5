"""Training: a trainer run to the end of its plan, its files kept up to date.

It yields a record of each thing that happens. Nothing here prints.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from charlm.checkpoint import save
from charlm.parallel import one_blas_thread
from charlm.records import Done, Record, Start, Step
from charlm.runs import RunDirectory
from charlm.trainer import Trainer

SAVE_SECONDS = 30.0


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
        should_stop: asked after each step but the last; when it says so, on any rank, all is
            saved, and no `Done` comes.

    Yields:
        A `Start`; a `Step` for each step; an `Eval` at the start, at every `eval_every`
        steps and at the end; a `Done`.

    Raises:
        DivergedError: a loss or gradient was not finite.
        CheckpointError: a checkpoint cannot be written.
    """
    with one_blas_thread():
        writer = _Writer(trainer, directory)
        try:
            for record in _records(trainer, writer, should_stop):
                writer.add(record)
                yield record
        except GeneratorExit:  # whoever reads the records went away
            if trainer.ranks.size == 1:  # the others would have to save as well
                writer.save_last()
            raise
        finally:
            writer.flush()


class _Writer:
    """Keeps a run's files up to date."""

    def __init__(self, trainer: Trainer, directory: RunDirectory | None) -> None:
        self.trainer, self.directory = trainer, directory
        self.pending: list[Record] = []
        self.saved_at = time.monotonic()

    def steps_since_evaluation(self) -> list[Step]:
        """The steps that a resumed run had done since its last evaluation."""
        steps: list[Step] = []
        for record in self.directory.read_history() if self.directory else []:
            event = record.pop("event")
            if event == "step":
                steps.append(Step(**record))
            elif event == "eval":
                steps.clear()
        return steps

    def add(self, record: Record) -> None:
        self.pending.append(record)

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
        if self.directory:
            self.directory.append_history(record.as_dict() for record in self.pending)
        self.pending.clear()


def _records(
    trainer: Trainer, writer: _Writer, should_stop: Callable[[], bool]
) -> Iterator[Record]:
    yield _start(trainer, writer.directory)
    if trainer.progress.step == 0:
        writer.save_last()
        yield trainer.evaluate([])
        writer.save_best()
    since = writer.steps_since_evaluation()
    timed: list[Step] = []
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
        stop, due = _any(trainer, should_stop() and step < steps, writer.is_due())
        if stop or due:
            writer.save_last()
        if stop:
            return
    yield _done(trainer, writer.directory, timed[3:])


def _any(trainer: Trainer, *wishes: bool) -> list[bool]:
    """Which of some wishes any of the ranks has."""
    return [any(each) for each in zip(*trainer.ranks.gather(wishes), strict=True)]


def _done(trainer: Trainer, directory: RunDirectory | None, timed: list[Step]) -> Done:
    params = trainer.checkpoint(trainer.best).params
    result = trainer.score(params, trainer.val_ids)
    seconds = sum(step.seconds for step in timed)
    return Done(
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
