"""`charlm train --resume`: from a run directory to its trainer."""

import codecs
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from charlm.cli.console import plural
from charlm.cli.failures import option_of
from charlm.cli.options import DECODING
from charlm.cli.run_setup import (
    Hold,
    Request,
    new_run,
    note_idle_ranks,
    read_corpus,
    read_given,
    with_piped_text,
)
from charlm.config import Budget, TrainConfig
from charlm.errors import CheckpointError, ModelError, RunError, TextError
from charlm.system.callbacks import Notify, Progress
from charlm.system.shell import quoted
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.distributed.process_group import ProcessGroup
    from charlm.text.corpus import Corpus
    from charlm.training.checkpoint import Checkpoint, CorpusInfo, TrainingProgress
    from charlm.training.run_directory import RunDirectory
    from charlm.training.trainer import Trainer

VALIDATION = "--validation"
ANEW = "start a new run in another directory, or replace this one with --force"


def resume_advice(run: "RunDirectory", info: "CorpusInfo") -> str:
    """How to resume a run that was trained on a corpus."""
    from charlm.text.source_files import STDIN

    parts = [("", info.sources)]
    if info.validation:
        parts.append((f" {VALIDATION}", info.validation.sources))
    command, same = _command(run), ""
    for option, sources in parts:
        if not sources:  # a text from Python
            command += f"{option} FILE"
        elif STDIN in sources:
            command += f"{option} -"
            same = " the same standard input"
    return f"resume with{same}: {command}"


def _command(run: "RunDirectory") -> str:
    return f"charlm train --resume --out {quoted(run.path)}"


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
    from charlm.training.setup import resume

    run = group.broadcast(lambda: _run(out))
    if not group.broadcast(lambda: run.has_checkpoint):
        request = with_piped_text(request, group)
        if not request.corpus:
            raise RunError(f"no run to resume in {run.path}; specify a corpus to start one")
        note(f"{run.path} has no checkpoint yet; starting a new run")
        return new_run(request, run.path, note, group, hold, force=False)
    group.broadcast(lambda: hold(run.held()))
    last = group.broadcast(lambda: _last(run, note))
    state = last.training
    assert state is not None
    _check_agreement(request, last, run)
    if set(state.corpus.sources) <= {STDIN}:
        request = with_piped_text(request, group)
    has_budget = bool(request.flags & request.budget.keys())
    is_scored = group.broadcast(lambda: _is_scored(run))
    if is_scored and not (has_budget or request.corpus or "validation" in request.flags):
        _stop_if_finished(state.progress, state.config, run, note)
    corpus, validation = _corpora(request, last, run, note, group)
    if is_scored and not has_budget:
        _stop_if_finished(state.progress, state.config, run, note)
    best = group.broadcast(lambda: _best(run, last, note))
    trainer = resume(
        last, corpus, validation=validation, best=best, threads=request.threads, group=group
    )
    note_idle_ranks(trainer, note)
    if has_budget:
        plan(trainer, Budget(**request.budget))
    progress = trainer.progress
    if is_scored:
        _stop_if_finished(progress, state.config, run, note)
    note(f"resuming {run.path} after step {progress.step:,}")
    if changed := differences(state.environment, trainer.environment):
        note(
            "the result may not be bit-identical to that of an uninterrupted run: "
            f"{'; '.join(changed)}"
        )
    return trainer, run


def _run(out: Path | None) -> "RunDirectory":
    """The run in a directory, by default the newest one."""
    from charlm.training.run_directory import ROOT, RunDirectory, runs_by_age

    if out is None:
        return runs_by_age("last.npz")[0]
    if out.is_file():
        _refuse_file(out)
    run, likely = RunDirectory(out), RunDirectory(ROOT / out)
    if likely.has_checkpoint and not run.has_checkpoint:
        raise RunError(f"no run to resume in {out}; did you mean --out {quoted(likely.path)}?")
    return run


def _last(run: "RunDirectory", note: Notify) -> "Checkpoint":
    """The last checkpoint of a run; its best one if the last is damaged."""
    from charlm.training.checkpoint import load
    from charlm.training.setup import WEIGHTS_ONLY

    file = run.last
    try:
        last = load(file)
    except CheckpointError as error:
        if isinstance(error.__cause__, (OSError, MemoryError, ModelError)):  # it may be intact
            raise
        file = run.best
        last = _load_best(run, _cause(error))
        if last.training is not None:
            note(f"{_cause(error)}; resuming from the best checkpoint")
    if last.training is None:
        raise RunError(f"{file} {WEIGHTS_ONLY}; {ANEW}")
    return last


def _load_best(run: "RunDirectory", lost: str) -> "Checkpoint":
    """The best checkpoint of a run whose last one is lost."""
    from charlm.training.checkpoint import load

    try:
        return load(run.best)
    except CheckpointError as error:
        raise RunError(f"{lost}, and {_cause(error)}; {ANEW}") from error


def _cause(error: CheckpointError) -> str:
    """The message of an error without its advice, which is for those who name a model."""
    return str(error).partition("; ")[0]


def _refuse_file(path: Path) -> None:
    """Raise an error that says why a run cannot be resumed from a file."""
    from charlm.training.checkpoint import load
    from charlm.training.setup import WEIGHTS_ONLY

    if load(path).training is None:
        raise RunError(f"{path} {WEIGHTS_ONLY}; start a new run")
    raise RunError(f"{path} is a file; pass the directory of the run: --out {quoted(path.parent)}")


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
        note(f"resuming without the best checkpoint: {_cause(error)}")
        return None


def _is_scored(run: "RunDirectory") -> bool:
    """Whether the history of a run ends with the score of its best model."""
    from charlm.training import history
    from charlm.training.events import Done

    last = history.last(run.history)
    return last is not None and last["event"] == Done.event


def _stop_if_finished(
    progress: "TrainingProgress", config: TrainConfig, run: "RunDirectory", note: Notify
) -> None:
    """End the command successfully if there are no steps left."""
    if progress.is_finished(config):
        early = " early" * progress.has_stalled(config)
        note(
            f"{run.path} already finished{early}, after {plural(progress.step, 'step')}; to train "
            "longer, pass a larger --steps, --epochs, --minutes or --operations"
        )
        raise typer.Exit


def _corpora(
    request: Request, last: "Checkpoint", run: "RunDirectory", note: Notify, group: "ProcessGroup"
) -> "tuple[Corpus, Corpus | None]":
    """The corpus of a run and that of its validation split, if it has its own.

    They are in the files that the user named, or else in those of the checkpoint.
    """

    def corpus_of(info: "CorpusInfo", named: Sequence[str], option: str = "") -> "Corpus":
        return _corpus(info, named, option, request, last.text, run, note, group)

    assert last.training is not None
    info = last.training.corpus
    corpus = corpus_of(info, request.corpus)
    if info.validation is None:
        return corpus, None
    named = request.validation if "validation" in request.flags else []
    return corpus, corpus_of(info.validation, named, f"{VALIDATION} ")


def _corpus(
    info: "CorpusInfo",
    named: Sequence[str],
    option: str,
    request: Request,
    config: TextConfig,
    run: "RunDirectory",
    note: Notify,
    group: "ProcessGroup",
) -> "Corpus":
    """A corpus of a run.

    Args:
        info: its description.
        named: the files that the user named.
        option: the option for them, with a space; empty for the argument.
        request: what the user set.
        config: how the files of the checkpoint are read.
        run: the run.
        note: prints a note.
        group: the ranks.
    """
    from charlm.training.held_out import read_again
    from charlm.training.setup import check_text

    used, what = ("validated", "validation text") if option else ("trained", "corpus")
    command = f"{_command(run)} {option}"
    if named:
        config = replace(config, **{k: v for k, v in request.text.items() if k in request.flags})
        corpus = read_given(named, config, request, note, group)
    else:
        _check_files(info, run, used, command)

        def read(progress: Progress, say: Notify) -> "Corpus":
            again = f"specify its text again: {command}FILE"
            return read_again(info, config, again, progress, say, used)

        corpus = read_corpus(info.sources, read, request, note, group)
    try:
        check_text(corpus, info, what)
    except TextError as error:
        is_named = "out" in request.flags
        which = "" if is_named else ", the newest run,"
        another = "" if is_named else ", or name another run with --out"
        raise TextError(f"{run.path}{which} cannot be resumed: {error}{another}") from error
    return corpus


def _check_files(info: "CorpusInfo", run: "RunDirectory", used: str, command: str) -> None:
    """Check that a run was trained or validated on files."""
    from charlm.text.source_files import STDIN

    if not info.sources:
        raise RunError(
            f"{run.path} was {used} on a string of Python; write the text to a file, as UTF-8, "
            f"and specify it: {command}FILE"
        )
    if STDIN in info.sources:
        raise RunError(
            f"{run.path} was {used} on standard input; specify the same text: {command}"
            "FILE, or - for standard input"
        )


def _check_agreement(request: Request, last: "Checkpoint", run: "RunDirectory") -> None:
    """Check that options on the command line have the values that the run was started with."""
    state = last.training
    assert state is not None
    asked = {**request.model, **request.train, **request.text}
    kept = vars(last.config) | vars(state.config) | vars(last.text)
    kept |= {"lr": state.config.peak_lr, "activation": last.config.plain_activation}
    if "validation" in request.flags and state.corpus.validation is None:
        raise RunError(
            f"{run.path} was started without {VALIDATION}; omit the option or start a new run"
        )
    of_files = set(DECODING) if request.corpus else set()  # the files may be others
    for name, value in asked.items():
        if name in request.flags - of_files and not _agree(name, value, kept[name]):
            raise RunError(
                f"{_difference(name, value, kept[name], run)}; omit the option or start a new run"
            )


def _difference(name: str, value: Any, kept: Any, run: "RunDirectory") -> str:
    from charlm.distributed.agreement import shown

    option = option_of(name)
    if isinstance(value, bool):
        return f"{run.path} was started without {option}"
    return f"{option} is {shown(value)}, but {run.path} was started with {shown(kept)}"


def _agree(name: str, one: Any, other: Any) -> bool:
    if name == "encoding":  # has several names
        return codecs.lookup(one).name == codecs.lookup(other).name
    return bool(one == other)
