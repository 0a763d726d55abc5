"""From the options of `charlm train` to a trainer and its run directory."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from charlm.cli.console import plural, warn
from charlm.cli.failures import with_options
from charlm.cli.progress_bars import bytes_bar
from charlm.cli.standard_input import piped_text
from charlm.config import DEFAULT_MINUTES, Budget, ModelConfig, TextConfig, TrainConfig
from charlm.errors import CheckpointError, ModelError, RunError, TextError
from charlm.system.callbacks import Notify

if TYPE_CHECKING:
    from charlm.distributed.process_group import ProcessGroup
    from charlm.text.corpus import Corpus
    from charlm.training.checkpoint import Checkpoint, CorpusInfo, TrainingProgress
    from charlm.training.run_directory import RunDirectory
    from charlm.training.trainer import Trainer

AGAIN = "specify its text again: charlm train --resume FILE"

# Enters a context that is left when the command ends.
Hold = Callable[[AbstractContextManager[None]], None]


@dataclass(frozen=True)
class Request:
    """The arguments and options of `charlm train` that the user set.

    Attributes:
        corpus: files.
        text: fields of `TextConfig`.
        model: fields of `ModelConfig`.
        train: fields of `TrainConfig`.
        budget: fields of `Budget`.
        threads: the number of processors, 0 for all.
        quiet: whether to show no bar.
        flags: the names of the options that were set on the command line. The others come from the
            environment, which may have changed since a run was started, so a resumed run ignores
            them.
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
    note: Notify,
    group: "ProcessGroup",
    hold: Hold,
    *,
    force: bool,
) -> tuple["Trainer", "RunDirectory"]:
    """A trainer for a new run, with its number of steps, and the run directory.

    Raises:
        BadParameter: no corpus is given.
        ConfigError: the value of an option is invalid.
        RunError: the directory contains a run and `force` is False, or is in use.
        TextError: the corpus cannot be used.
    """
    from charlm.training.budget import plan
    from charlm.training.run_directory import RunDirectory
    from charlm.training.setup import set_up

    request = _with_piped_text(request, group)
    if not request.corpus:
        raise typer.BadParameter(
            "charlm train needs CORPUS: text files, such as those that charlm corpus get writes"
        )
    model, train = ModelConfig(**request.model), TrainConfig(**request.train)
    budget = Budget(**(request.budget or {"minutes": DEFAULT_MINUTES}))
    if out is not None:
        group.broadcast(lambda: _claim(RunDirectory(out), hold, force=force))
    corpus = _read_corpus(request.corpus, TextConfig(**request.text), request, note, group)
    if group.rank == 0 and not request.quiet:
        _warn_of(corpus)
    trainer = set_up(corpus, model, train, threads=request.threads, group=group)
    _note_idle_ranks(trainer, note)
    run = RunDirectory(out) if out else group.broadcast(lambda: _next_run(corpus.name, hold))
    if budget.minutes is not None:
        note(f"{corpus.name}: timing a few steps to plan {budget.minutes:g} min of training")
    plan(trainer, budget)
    return trainer, run


def _with_piped_text(request: Request, group: "ProcessGroup") -> Request:
    """The request, with standard input as its corpus if it has none and text is piped to it."""
    corpus = request.corpus or group.broadcast(lambda: piped_text("charlm train -"))
    return replace(request, corpus=corpus)


def _claim(run: "RunDirectory", hold: Hold, *, force: bool) -> None:
    """Lock a run directory; without `force` it must not contain a run."""
    hold(run.held())
    if not force:
        run.check_free()


def _next_run(name: str, hold: Hold) -> "RunDirectory":
    """The next numbered run directory, locked."""
    from charlm.training.run_directory import numbered_run

    run = numbered_run(name)
    hold(run.held())
    return run


def _note_idle_ranks(trainer: "Trainer", note: Notify) -> None:
    size, shards = trainer.group.size, trainer.parallel.count
    if size > shards:
        are = "is" if shards == 1 else "are"
        note(
            f"only {shards} of {size} processes {are} used, because a batch has "
            f"{plural(shards, 'shard')}; pass --shards {size} or a larger --batch-size"
        )


def resume_run(
    request: Request, out: Path | None, note: Notify, group: "ProcessGroup", hold: Hold
) -> tuple["Trainer", "RunDirectory"]:
    """The trainer of an interrupted run as of its last checkpoint, and the run directory.

    Raises:
        RunError: there is no such run, it is in use, or an option contradicts it.
        CheckpointError: its last checkpoint cannot be used.
        TextError: its corpus is missing or has changed.
    """
    from charlm.system.numerical_environment import differences
    from charlm.text.source_files import STDIN
    from charlm.training.budget import plan
    from charlm.training.run_directory import RunDirectory, runs_by_age
    from charlm.training.setup import resume

    if out and out.is_file():
        group.broadcast(lambda: _refuse_file(out))
    run = group.broadcast(lambda: RunDirectory(out) if out else runs_by_age("last.npz")[0])
    if not group.broadcast(lambda: run.last.exists() or run.best.exists()):
        request = _with_piped_text(request, group)
        if not request.corpus:
            raise RunError(f"no run to resume in {run.path}; specify a corpus to start one")
        note(f"{run.path} has no checkpoint yet; starting a new run")
        return new_run(request, run.path, note, group, hold, force=False)
    group.broadcast(lambda: hold(run.held()))
    last = group.broadcast(lambda: _last(run, note))
    state = last.training
    assert state is not None
    _check_agreement(request, last, run)
    has_budget = bool(request.flags & request.budget.keys())
    is_scored = group.broadcast(lambda: _is_scored(run))
    if is_scored and not has_budget:
        _stop_if_finished(state.progress, run, note)
    if set(state.corpus.sources) <= {STDIN}:
        request = _with_piped_text(request, group)
    sources = _sources(request, state.corpus)
    named = None if request.corpus else state.corpus
    corpus = _read_corpus(sources, last.text, request, note, group, named)
    best = group.broadcast(lambda: _best(run, last, note))
    trainer = resume(last, corpus, best=best, threads=request.threads, group=group)
    _note_idle_ranks(trainer, note)
    if has_budget:
        plan(trainer, Budget(**request.budget))
    progress = trainer.progress
    if is_scored:
        _stop_if_finished(progress, run, note)
    note(f"resuming {run.path} after step {progress.step:,}")
    if changed := differences(state.environment, trainer.environment):
        note(
            "the result may not be bit-identical to that of an uninterrupted run: "
            f"{'; '.join(changed)}"
        )
    return trainer, run


def _last(run: "RunDirectory", note: Notify) -> "Checkpoint":
    """The last checkpoint of a run; its best one if the last is damaged."""
    from charlm.training.checkpoint import load
    from charlm.training.setup import WEIGHTS_ONLY

    file = run.last
    try:
        last = load(file)
    except CheckpointError as error:
        may_be_intact = isinstance(error.__cause__, (OSError, MemoryError, ModelError))
        if may_be_intact or not run.best.exists():
            raise
        file = run.best
        last = load(file)
        if last.training is not None:
            note(f"{error}; resuming from the best checkpoint")
    if last.training is None:
        raise RunError(f"{file} {WEIGHTS_ONLY}")
    return last


def _refuse_file(path: Path) -> None:
    """Raise an error that says why a run cannot be resumed from a file."""
    from charlm.training.checkpoint import load
    from charlm.training.setup import WEIGHTS_ONLY

    if load(path).training is None:
        raise RunError(f"{path} {WEIGHTS_ONLY}")
    raise RunError(f"{path} is a file; --out takes the directory of a run")


def _best(run: "RunDirectory", last: "Checkpoint", note: Notify) -> "Checkpoint | None":
    """The best checkpoint of a run; None if there is none yet."""
    from charlm.training.checkpoint import load_of_run

    state = last.training
    assert state is not None
    if state.progress.is_fresh:  # a file there belongs to an older run
        return None
    try:
        return load_of_run(run.best, last.config, state.config, state.corpus.sha256)
    except CheckpointError as error:
        note(f"resuming without the best checkpoint: {error}")
        return None


def _is_scored(run: "RunDirectory") -> bool:
    """Whether the history of a run ends with the score of its best model."""
    from charlm.training import history
    from charlm.training.events import Done

    last = history.last(run.history)
    return last is not None and last["event"] == Done.event


def _stop_if_finished(progress: "TrainingProgress", run: "RunDirectory", note: Notify) -> None:
    """End the command successfully if there are no steps left."""
    if progress.step >= progress.steps:
        note(
            f"{run.path} already finished, after {plural(progress.step, 'step')}; to train longer, "
            "pass a larger --steps, --epochs or --minutes"
        )
        raise typer.Exit


def _sources(request: Request, info: "CorpusInfo") -> Sequence[str]:
    """The files of a resumed run."""
    from charlm.text.source_files import STDIN

    sources = tuple(request.corpus) or info.sources
    if not sources or (STDIN in sources and not request.corpus):
        raise RunError(f"the run was not trained on files; {AGAIN} (- for standard input)")
    return sources


def _read_corpus(
    sources: Sequence[str],
    config: TextConfig,
    request: Request,
    note: Notify,
    group: "ProcessGroup",
    named: "CorpusInfo | None" = None,
) -> "Corpus":
    """The corpus in some files, which one process of each machine encodes for the others.

    `named` is the corpus of a checkpoint, if the files were not given but are those it names.
    """
    from charlm.text.corpus import Corpus
    from charlm.text.source_files import STDIN
    from charlm.training.held_out import read_again

    if STDIN in sources and group.size > 1:
        raise TextError("several processes cannot read standard input; specify a file instead")
    notes: list[str] = []

    def read() -> Corpus:
        if named:
            return read_again(named, config, AGAIN, follow, notes.append)
        return Corpus.read(sources, config, follow, say=notes.append)

    with bytes_bar("encoding", silent=request.quiet or group.rank > 0) as follow:
        corpus: Corpus = group.in_turn(read)
    for line in notes:  # not while the bar is shown
        note(line)
    if len(set(group.all_gather(corpus.encoded.sha256))) > 1:
        raise TextError(
            f"{', '.join(sources)}: the text differs between machines; copy the same files to all"
        )
    return corpus


def _warn_of(corpus: "Corpus") -> None:
    """Print the signs of mistakes in a corpus."""
    from charlm.text.concerns import FEW, concerns

    for concern in concerns(corpus, FEW):
        warn(with_options(concern.message))


def _check_agreement(request: Request, last: "Checkpoint", run: "RunDirectory") -> None:
    """Check that options on the command line have the values that the run was started with."""
    state = last.training
    assert state is not None
    asked = {**request.model, **request.train, **request.text}
    kept = vars(last.config) | vars(state.config) | vars(last.text)
    kept |= {"lr": state.config.peak_lr, "activation": last.config.plain_activation}
    for name, value in asked.items():
        if name in request.flags and kept[name] != value:
            option = "--" + name.replace("_", "-")
            started = "none" if kept[name] is None else kept[name]
            raise RunError(
                f"{option} is {value}, but {run.path} was started with {started}; omit the option "
                "or start a new run"
            )
