"""From what was asked for on the command line to a trainer and its directory."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from charlm.cli.progress_bars import bytes_bar
from charlm.errors import CheckpointError, ModelError, RunError, TextError

if TYPE_CHECKING:
    from charlm.distributed.process_group import ProcessGroup
    from charlm.text.corpus import Corpus
    from charlm.training.checkpoint import Checkpoint, CorpusInfo, TrainingProgress, TrainingState
    from charlm.training.run_directory import RunDirectory
    from charlm.training.trainer import Trainer

DEFAULT_MINUTES = 1.0

# Enters a context that is left when the command ends.
Hold = Callable[[AbstractContextManager[None]], None]


@dataclass(frozen=True)
class Request:
    """The arguments and options of `charlm train` that the user set.

    Attributes:
        corpus: files.
        text: how they are read: `encoding` and `newlines`.
        model: fields of `ModelConfig`.
        train: fields of `TrainConfig`.
        budget: fields of `Budget`.
        threads: how many, 0 for every processor.
        quiet: whether to show no bar.
        flags: what of it was set as flags; the rest comes from the environment, which may have
            changed since a run was started, and says nothing to it.
    """

    corpus: list[str]
    text: Mapping[str, Any]
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    budget: Mapping[str, Any]
    threads: int
    quiet: bool
    flags: frozenset[str]


def new_run(
    request: Request,
    out: Path | None,
    note: Callable[[str], None],
    group: "ProcessGroup",
    hold: Hold,
    *,
    force: bool,
) -> tuple["Trainer", "RunDirectory"]:
    """A planned trainer for a new run, and its directory.

    Raises:
        BadParameter: no corpus is named.
        ConfigError: an option has a value it cannot take.
        RunError: the directory holds a run, and is not to be replaced, or another process trains
            there.
        TextError: the corpus cannot be used.
    """
    from charlm.config import Budget, ModelConfig, TrainConfig
    from charlm.training.run_directory import RunDirectory
    from charlm.training.trainer import Trainer

    if not request.corpus:
        raise typer.BadParameter("name the text to train on", param_hint="CORPUS")
    model, train = ModelConfig(**request.model), TrainConfig(**request.train)
    budget = Budget(**(request.budget or {"minutes": DEFAULT_MINUTES}))
    if out is not None:
        group.broadcast(lambda: _claim(RunDirectory(out), hold, force=force))
    corpus = _read_corpus(request.corpus, request.text, request, note, group)
    trainer = Trainer(corpus, model, train, threads=request.threads, group=group)
    _note_idle(trainer, note)
    run = (
        RunDirectory(out)
        if out is not None
        else group.broadcast(lambda: _number(corpus.name, hold))
    )
    if budget.minutes is not None:
        note(f"{corpus.name}: timing some steps, to fit {budget.minutes:g} minutes")
    trainer.plan(budget)
    return trainer, run


def _claim(run: "RunDirectory", hold: Hold, *, force: bool) -> None:
    hold(run.held())
    if not force:
        run.check_free()


def _number(name: str, hold: Hold) -> "RunDirectory":
    from charlm.training.run_directory import numbered_run

    run = numbered_run(name)
    hold(run.held())
    return run


def _note_idle(trainer: "Trainer", note: Callable[[str], None]) -> None:
    """Say so if some processes have nothing to do."""
    size, shards = trainer.group.size, trainer.shards.count
    if size > shards:
        note(
            f"{size} processes, but {shards} shards: {size - shards} of them have nothing to do; "
            f"pass --shards {size}, or a larger --batch-size"
        )


def resume_run(
    request: Request,
    out: Path | None,
    note: Callable[[str], None],
    group: "ProcessGroup",
    hold: Hold,
) -> tuple["Trainer", "RunDirectory"]:
    """The trainer of an interrupted run as it was at its last checkpoint, and its directory.

    Raises:
        RunError: there is no such run, another process trains there, or an option contradicts it.
        CheckpointError: its last checkpoint cannot be used.
        TextError: its corpus is gone or has changed.
    """
    from charlm.config import Budget
    from charlm.system.numerical_environment import differences
    from charlm.training.run_directory import RunDirectory, runs_by_age
    from charlm.training.trainer import Trainer

    run = group.broadcast(lambda: RunDirectory(out) if out else runs_by_age("last.npz")[0])
    if not group.broadcast(lambda: run.last.exists() or run.best.exists()):
        if not request.corpus:
            raise RunError(f"{run.path} holds no run to go on with; name a text to begin one there")
        note(f"{run.path} has no checkpoint yet; starting afresh")
        return new_run(request, run.path, note, group, hold, force=False)
    group.broadcast(lambda: hold(run.held()))
    last = group.broadcast(lambda: _last(run, note))
    assert last.training is not None
    _check_agreement(request, last.config, last.training, run)
    has_budget = bool(request.flags & request.budget.keys())
    is_scored = group.broadcast(lambda: _is_scored(run))
    if is_scored and not has_budget:
        _stop_if_finished(last.training.progress, run, note)
    info = last.training.corpus
    how = {"encoding": info.encoding, "newlines": info.newlines}
    corpus = _read_corpus(_sources(request, info), how, request, note, group)
    best = group.broadcast(lambda: _best(run, last, note))
    trainer = Trainer.resumed(last, corpus, best=best, threads=request.threads, group=group)
    _note_idle(trainer, note)
    if has_budget:
        trainer.plan(Budget(**request.budget))
    if is_scored:
        _stop_if_finished(trainer.progress, run, note)
    note(f"going on with {run.path} after step {trainer.progress.step:,}")
    if changed := differences(last.training.environment, trainer.environment):
        note(f"it may not be bit for bit what it would have been: {'; '.join(changed)}")
    progress = trainer.progress
    group.broadcast(lambda: run.rewind_history(progress.step, progress.rollbacks))
    return trainer, run


def _last(run: "RunDirectory", note: Callable[[str], None]) -> "Checkpoint":
    """Where the run has come to; where it was best, if the last checkpoint is lost."""
    from charlm.training.checkpoint import load

    try:
        last = load(run.last)
    except CheckpointError as error:
        is_there = isinstance(error.__cause__, (OSError, MemoryError, ModelError))
        if is_there or not run.best.exists():  # it may be read yet
            raise
        last = load(run.best)
        note(f"{error}; going on from the best model so far")
    if last.training is None:
        raise RunError(f"{run.last} holds a model without its training; nothing to go on with")
    return last


def _best(
    run: "RunDirectory", last: "Checkpoint", note: Callable[[str], None]
) -> "Checkpoint | None":
    """The best model so far, if there is one."""
    from charlm.training.checkpoint import load_of_run

    assert last.training is not None
    if last.training.progress.is_fresh:  # what is there is of a run before
        return None
    try:
        return load_of_run(run.best, last.config, last.training.config, last.training.corpus.sha256)
    except CheckpointError as error:
        note(f"going on without the best model so far: {error}")
        return None


def _is_scored(run: "RunDirectory") -> bool:
    """Whether a run has come to the last line of its history, the figure of its best model."""
    from charlm.training.events import Done

    return any(record["event"] == Done.event for record in run.read_history()[-1:])


def _stop_if_finished(
    progress: "TrainingProgress", run: "RunDirectory", note: Callable[[str], None]
) -> None:
    """End the command with success, if there is nothing left to do."""
    if progress.step >= progress.steps:
        note(
            f"{run.path} is finished, after {progress.step:,} steps; give it more with --steps, "
            "--epochs or --minutes"
        )
        raise typer.Exit


def _sources(request: Request, info: "CorpusInfo") -> Sequence[str]:
    """The files of a run that goes on."""
    from charlm.text.text_files import STDIN

    sources = tuple(request.corpus) or info.sources
    if not sources or (STDIN in sources and not request.corpus):
        raise RunError(
            "the run was not trained on a file; give its text again: train --resume - (or FILE)"
        )
    return sources


def _read_corpus(
    sources: Sequence[str],
    how: Mapping[str, Any],
    request: Request,
    note: Callable[[str], None],
    group: "ProcessGroup",
) -> "Corpus":
    """The text of files, encoded by one process of each machine for all others there."""
    from charlm.text.corpus import Corpus
    from charlm.text.text_files import STDIN

    if STDIN in sources and group.size > 1:
        raise TextError("standard input reaches one process only; name a file that all can read")
    silent = request.quiet or group.rank > 0
    said: list[str] = []
    with bytes_bar("encoding", silent=silent) as follow:
        corpus = group.in_turn(
            lambda: Corpus.read(sources, progress=follow, say=said.append, **how)
        )
    for line in said:  # not through the bar
        note(line)
    if len(set(group.all_gather(corpus.encoded.sha256))) > 1:
        raise TextError(f"{', '.join(sources)}: not the same text on all machines")
    return corpus


def _check_agreement(
    request: Request, model: Any, training: "TrainingState", run: "RunDirectory"
) -> None:
    """See that what was set again is what the run was started with."""
    asked = {**request.model, **request.train, **request.text}
    kept = vars(model) | vars(training.config) | {"lr": training.config.peak_lr}
    kept["activation"] = model.plain_activation
    kept |= {"encoding": training.corpus.encoding, "newlines": training.corpus.newlines}
    for name, value in asked.items():
        if name in request.flags and kept[name] != value:
            option = "--" + name.replace("_", "-")
            raise RunError(
                f"{option} is {value}, but {run.path} was started with "
                f"{'none' if kept[name] is None else kept[name]}; leave it out, or start a new run"
            )
