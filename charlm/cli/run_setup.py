"""From the options of `charlm train` to a trainer and its run directory."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from charlm.cli.console import plural, warn
from charlm.cli.failures import with_options
from charlm.cli.options import flag, refuse_empty
from charlm.cli.progress_bars import bytes_bar
from charlm.cli.standard_input import piped_text
from charlm.config import DEFAULT_MINUTES, Budget, ModelConfig, TrainConfig
from charlm.errors import RunError, TextError
from charlm.system.callbacks import Notify, Progress
from charlm.system.shell import quoted
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.distributed.process_group import ProcessGroup
    from charlm.text.corpus import Corpus
    from charlm.training.run_directory import RunDirectory
    from charlm.training.trainer import Data, Trainer

# Enters a context that is left when the command ends.
Hold = Callable[[AbstractContextManager[None]], None]


@dataclass(frozen=True)
class Request:
    """The arguments and options of `charlm train` that the user set.

    Attributes:
        corpus: files.
        validation: files to validate on; empty to hold out a part of the corpus.
        text: fields of `TextConfig`.
        model: fields of `ModelConfig`.
        train: fields of `TrainConfig`.
        budget: fields of `Budget`.
        threads: the number of processors, 0 for all.
        quiet: whether to show no bar.
        as_json: whether events are printed, which have all settings.
        flags: the names of the options that were set on the command line. The others come from the
            environment, which may have changed since a run was started, so a resumed run ignores
            them.
    """

    corpus: list[str]
    validation: list[str]
    text: Mapping[str, Any]
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    budget: Mapping[str, Any]
    threads: int
    quiet: bool
    as_json: bool
    flags: frozenset[str]


def check_arguments(request: Request, out: Path | None, *, force: bool) -> None:
    """Check arguments that no other part of the command looks at.

    Raises:
        BadParameter: a name is empty, or `--force` was given without `--out`.
        RunError: a run is in the place of a text.
    """
    if force and out is None and "force" in request.flags:
        raise typer.BadParameter("--force replaces the run in --out; pass --out too")
    if "validation" in request.flags and "" in request.validation:
        raise typer.BadParameter("--validation must be the name of a text file, got ''")
    check_sources([*request.corpus, *request.validation])


def check_sources(sources: Sequence[str], argument: str = "CORPUS") -> None:
    """Check that sources of text, which an argument names, are neither empty names nor runs.

    Raises:
        BadParameter: a name is empty.
        RunError: a run is in the place of a text.
    """
    from charlm.text.source_files import RUN_FILES

    for source in sources:
        if not source:
            raise typer.BadParameter(f"{argument} must be the names of text files, got ''")
        if any(os.path.isfile(os.path.join(source, name)) for name in RUN_FILES):
            raise RunError(f"{source} is a run, not a text")


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

    What is not given is chosen for the text and the budget.

    Raises:
        BadParameter: no corpus is given.
        ConfigError: the value of an option is invalid.
        RunError: the directory contains a run and `force` is False, or is in use.
        TextError: the corpus cannot be used.
    """
    from charlm.training.budget import plan
    from charlm.training.defaults import choose_for, measured_speed
    from charlm.training.run_directory import RunDirectory
    from charlm.training.setup import set_up

    request = with_piped_text(request, group)
    if not request.corpus:
        raise typer.BadParameter(
            "charlm train needs CORPUS: text files, such as those that charlm corpus get writes"
        )
    refuse_empty({name: request.text.get(name) for name in request.flags})
    ModelConfig(**request.model)
    min_count = TrainConfig(**request.train).min_count
    budget = Budget(**(request.budget or {"minutes": DEFAULT_MINUTES}))
    if out is not None:
        group.broadcast(lambda: _claim(RunDirectory(out), hold, force=force))
    _check_standard_input(request)
    text, validation = TextConfig(**request.text), None
    corpus = read_given(request.corpus, text, request, note, group)
    if request.validation:
        validation = read_given(request.validation, text, request, note, group)
    is_shown = group.rank == 0 and not request.quiet
    if is_shown:
        _warn_of(corpus)
    speed = group.broadcast(lambda: measured_speed(request.threads or group.cores))
    distinct = len(corpus.vocabulary(min_count))
    model, train = choose_for(budget, speed, len(corpus), distinct, request.model, request.train)
    trainer = set_up(
        corpus, model, train, validation=validation, threads=request.threads, group=group
    )
    if is_shown and validation:
        say_of_validation(trainer.data)
    note_idle_ranks(trainer, note)
    _note_idle_cores(trainer, note)
    run = RunDirectory(out) if out else group.broadcast(lambda: _next_run(corpus.name, hold))
    if budget.minutes is not None:
        note(f"{corpus.name}: timing a few steps to plan {budget.minutes:g} min of training")
    plan(trainer, budget)
    _note_choice(request, trainer, note)
    return trainer, run


def _note_choice(request: Request, trainer: "Trainer", note: Notify) -> None:
    """Say what was chosen, as the command that trains the same model."""
    from charlm.training.defaults import OF_MODEL, OF_TRAINING

    model, train = vars(trainer.model.config), vars(trainer.config)
    of_model, of_training = {n: model[n] for n in OF_MODEL}, {n: train[n] for n in OF_TRAINING}
    is_all_given = {*of_model, *of_training} <= {*request.model, *request.train}
    if is_all_given or request.as_json:
        return
    chosen = {**request.text, **of_model, **request.model, **of_training, **request.train}
    words = [
        *map(quoted, request.corpus),
        *(f"--validation {quoted(source)}" for source in request.validation),
        *(flag(name, value) for name, value in chosen.items() if value is not None),
        flag("steps", trainer.progress.steps),
    ]
    note(f"chosen for this text and budget: charlm train {' '.join(filter(None, words))}")


def with_piped_text(request: Request, group: "ProcessGroup") -> Request:
    """The request, with standard input as its corpus if it has none and text is piped to it."""
    corpus = request.corpus or group.broadcast(lambda: piped_text("charlm train -"))
    return replace(request, corpus=corpus)


def _check_standard_input(request: Request) -> None:
    from charlm.text.source_files import STDIN

    if STDIN in request.corpus and STDIN in request.validation:
        raise typer.BadParameter("CORPUS and --validation cannot both be standard input")


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


def note_idle_ranks(trainer: "Trainer", note: Notify) -> None:
    """Say that there are more ranks than shards."""
    size, shards = trainer.group.size, trainer.parallel.count
    if size > shards:
        are = "is" if shards == 1 else "are"
        note(
            f"only {shards} of {size} processes {are} used, because a batch has "
            f"{plural(shards, 'shard')}; pass --shards {size} or a larger --batch-size"
        )


def _note_idle_cores(trainer: "Trainer", note: Notify) -> None:
    """Say that there are more cores than shards, unless the text is too short for more streams.

    The shards follow from the batch and not from the machine, so that results do too.
    """
    from charlm.distributed.scheduling import STREAMS_PER_SHARD

    cores, shards, config = trainer.parallel.threads, trainer.parallel.count, trainer.config
    is_short = trainer.streams.batch_size < config.batch_size
    if trainer.group.size == 1 and shards < cores and not is_short:
        batch = f"--batch-size {STREAMS_PER_SHARD * cores}"
        remedy = f"--shards {cores}" if config.shards else batch
        note(f"{shards} of {cores} cores in use; {remedy} uses all")


def read_given(
    sources: Sequence[str],
    config: TextConfig,
    request: Request,
    note: Notify,
    group: "ProcessGroup",
) -> "Corpus":
    """The corpus in the files that the user named."""
    from charlm.text.corpus import Corpus

    def read(progress: Progress, say: Notify) -> Corpus:
        return Corpus.read(list(sources), config, progress, say=say)

    return read_corpus(sources, read, request, note, group)


def read_corpus(
    sources: Sequence[str],
    read: Callable[[Progress, Notify], "Corpus"],
    request: Request,
    note: Notify,
    group: "ProcessGroup",
) -> "Corpus":
    """The corpus in some files, which one process of each machine encodes for the others.

    Args:
        sources: the files, directories and globs.
        read: reads them, given callbacks for progress and notes.
        request: what the user set.
        note: prints a note.
        group: the ranks, each of which calls this.

    Raises:
        TextError: a file cannot be read, or has different text on another machine.
    """
    from charlm.text.source_files import STDIN

    if STDIN in sources and group.size > 1:
        raise TextError("several processes cannot read standard input; specify a file instead")
    with bytes_bar("encoding", silent=request.quiet or group.rank > 0) as follow:
        corpus: Corpus = group.in_turn(lambda: read(follow, note))
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


def say_of_validation(data: "Data") -> None:
    """Print what is unknown in a validation text, and warn if it is in the training text."""
    from charlm.cli.unknown_characters import note_unknown
    from charlm.text.vocabulary import characters_of

    corpus, validation = data.corpus, data.validation
    assert validation is not None
    if set(corpus.files) & set(validation.files) or (
        corpus.encoded.sha256 == validation.encoded.sha256
    ):
        warn("the validation text is also in the training text; its loss says nothing of new text")
    points = validation.encoded.points
    unknown = characters_of(points[data.vocabulary.numbers(points) < 0])
    note_unknown(data, unknown, data.unknown, len(validation), " of the validation text")
