"""`charlm train`."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.mpi_job import job
from charlm.cli.options import Newlines, newlines_option, option
from charlm.cli.run_setup import Request, new_run, resume_run
from charlm.config import CELL_NAMES
from charlm.errors import CharlmError, DivergedError

if TYPE_CHECKING:
    from charlm.cli.training_display import Silent
    from charlm.training.run_directory import RunDirectory
    from charlm.training.trainer import Trainer

MODEL, TRAINING, BUDGET, FILES = "Model", "Training", "Budget (one of these)", "Files and output"


def train(
    context: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            help="Text files, .gz or .xz too, directories or globs, read in that order; - for "
            "standard input."
        ),
    ] = None,
    cell: Annotated[
        str | None,
        option(
            help=f"{', '.join(CELL_NAMES[:-1])} or {CELL_NAMES[-1]}.", panel=MODEL, default="lstm"
        ),
    ] = None,
    activation: Annotated[
        str | None,
        option(help="tanh, relu or sigmoid, for rnn and jordan.", panel=MODEL, default="tanh"),
    ] = None,
    hidden: Annotated[
        int | None,
        option(help="Units in each layer.", panel=MODEL, default="256"),
    ] = None,
    layers: Annotated[
        int | None,
        option(help="Recurrent layers.", panel=MODEL, default="1"),
    ] = None,
    head_layers: Annotated[
        int | None,
        option(help="Plain tanh layers above them.", panel=MODEL, default="0"),
    ] = None,
    residual: Annotated[
        bool | None,
        option(
            "--residual",
            help="Add the input of each layer above the first to its output.",
            panel=MODEL,
            default=False,
        ),
    ] = None,
    bidirectional: Annotated[
        bool | None,
        option(
            "--bidirectional",
            help="Predict each character from what is before it and what is after it, for "
            "charlm fill and charlm proofread.",
            panel=MODEL,
            default=False,
        ),
    ] = None,
    embedding: Annotated[
        int | None,
        option(
            help="Width of the character vectors; 0 feeds one-hot vectors.",
            panel=MODEL,
            default="0",
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        option(
            help="Share of each layer's outputs dropped in training.",
            panel=MODEL,
            default="0",
        ),
    ] = None,
    seq_len: Annotated[
        int | None,
        option(
            help="Characters through which gradients flow back.",
            panel=TRAINING,
            default="64",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        option(help="Streams of text read side by side.", panel=TRAINING, default="32"),
    ] = None,
    steps: Annotated[
        int | None,
        option(help="Train for so many steps.", panel=BUDGET, default=False),
    ] = None,
    epochs: Annotated[
        float | None,
        option(
            help="Train for so many passes over the text.",
            panel=BUDGET,
            default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        option(
            help="Train for about so many minutes; a short trial fixes the number of steps.",
            panel=BUDGET,
            default="1",
        ),
    ] = None,
    lr: Annotated[
        float | None,
        option(
            help="Highest learning rate.",
            panel=TRAINING,
            default="the optimizer's own",
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        option(help="adam, rmsprop, adagrad or sgd.", panel=TRAINING, default="adam"),
    ] = None,
    clip: Annotated[
        float | None,
        option(
            help="Greatest norm of the gradient; 0: no clipping.",
            panel=TRAINING,
            default="1",
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        option(
            help="Steps over which the learning rate rises.",
            panel=TRAINING,
            default="100",
        ),
    ] = None,
    val_fraction: Annotated[
        float | None,
        option(
            help="Last part of the text, held out for validation.",
            panel=TRAINING,
            default="0.1, but a million characters at most",
        ),
    ] = None,
    min_count: Annotated[
        int | None,
        option(
            help="Characters that occur less often are one sign for what is unknown.",
            panel=TRAINING,
            default="1",
        ),
    ] = None,
    eval_every: Annotated[
        int | None,
        option(
            help="Steps between two evaluations.",
            panel=TRAINING,
            default="a tenth of the run",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        option(
            help="Parts of a batch that are computed apart.",
            panel=TRAINING,
            default="by the batch size",
        ),
    ] = None,
    random_seed: Annotated[
        int | None,
        option(help="Seeds weights, dropout and resets of the state.", panel=TRAINING, default="0"),
    ] = None,
    accumulate: Annotated[
        int | None,
        option(
            help="Chunks of text that a step learns from, one after the other.",
            panel=TRAINING,
            default="1",
        ),
    ] = None,
    in_order: Annotated[
        bool | None,
        option(
            "--in-order/--any-order",
            help="Sum the gradients of several processes in an order that does not depend on how "
            "many there are, or in any: perhaps faster, but another number of processes then "
            "gives other weights.",
            panel=TRAINING,
            default="in order",
        ),
    ] = None,
    threads: Annotated[
        int,
        option(
            help="Processors that carry the shards, at most as many as there are shards; "
            "the result is the same with any number.",
            panel=TRAINING,
            min=0,
            default="one a processor",
        ),
    ] = 0,
    encoding: Annotated[
        str | None,
        option(help="The encoding of the files.", panel=FILES, default="utf-8"),
    ] = None,
    newlines: Annotated[Newlines | None, newlines_option(panel=FILES, default="keep")] = None,
    out: Annotated[
        Path | None,
        option(
            help="The run's directory.",
            panel=FILES,
            default="runs/<corpus>-<n>",
        ),
    ] = None,
    resume: Annotated[
        bool,
        option(
            "--resume",
            help="Go on with the run in --out, or the newest; begin it if it has no checkpoint.",
            panel=FILES,
        ),
    ] = False,
    force: Annotated[
        bool,
        option("--force", help="Replace the run in --out.", panel=FILES),
    ] = False,
    as_json: Annotated[
        bool,
        option(
            "--json",
            envvar="CHARLM_TRAIN_JSON",
            help="Print each start, step, eval and done as a line of JSON.",
            panel=FILES,
        ),
    ] = False,
    quiet: Annotated[
        bool,
        option("--quiet", help="Say nothing on stderr but errors.", panel=FILES),
    ] = False,
    rank_timeout: Annotated[
        float,
        option(
            help="Seconds after which one of several processes that does not answer ends the job, "
            "once the text is read; 0: never.",
            panel=TRAINING,
            min=0,
        ),
    ] = 60.0,
) -> None:
    """Train a model on text; it is kept under runs/ with its history.

    On several processes, on one machine or many: mpiexec -n 4 charlm train corpus.txt
    """
    from charlm.cli.training_display import display_for
    from charlm.config import Budget, ModelConfig, TrainConfig

    if resume and force:
        raise typer.BadParameter("--resume goes on with a run, --force replaces it; choose one")
    flags, given = _given(context)
    request = Request(
        corpus or [],
        {name: given[name] for name in ("encoding", "newlines") if name in given},
        _fields_of(ModelConfig, given),
        _fields_of(TrainConfig, given),
        _fields_of(Budget, flags) or _fields_of(Budget, given),
        threads,
        quiet,
        frozenset(flags),
    )
    with job(rank_timeout) as group, ExitStack() as stack:
        is_first = group.rank == 0
        with display_for(as_json=as_json and is_first, quiet=quiet or not is_first) as display:
            start = resume_run if resume else partial(new_run, force=force)
            trainer, run = start(request, out, display.note, group, stack.enter_context)
            received = _run(trainer, run, display)
        if received:
            done = f"saved after step {trainer.progress.step:,}"
            display.note(f"{done}; go on with: {_resuming(run)}")
            raise typer.Exit(128 + received)


def _given(context: typer.Context) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options set as flags, and those set as flags or by the environment."""
    given = {name: value for name, value in context.params.items() if value is not None}
    sources = {name: context.get_parameter_source(name) for name in given}
    flags = {n: v for n, v in given.items() if getattr(sources[n], "name", "") == "COMMANDLINE"}
    return flags, given


def _fields_of(config: type, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that are fields of a configuration."""
    return {field.name: options[field.name] for field in fields(config) if field.name in options}


def _run(trainer: "Trainer", run: "RunDirectory", display: "Silent") -> int:
    """Train to the end, or until a signal reaches any process, whose number is returned."""
    from charlm.training.events import Done
    from charlm.training.loop import train as run_training

    group = trainer.group
    directory = run if group.rank == 0 else None
    record = None
    with signals_noted() as received:
        try:
            for record in run_training(trainer, directory, lambda: bool(received)):
                try:
                    display.show(record)
                except (OSError, CharlmError):
                    if not received:  # else a terminal went away, which the signal has said
                        raise
        except CharlmError as error:
            if isinstance(error, DivergedError) or not run.last.exists():
                raise
            raise type(error)(f"{error}; go on with: {_resuming(run)}") from error
        if isinstance(record, Done):
            return 0
        return max(group.all_gather(max(received, default=0)))


def _resuming(run: "RunDirectory") -> str:
    """The command that goes on with a run."""
    return f"charlm train --resume --out {shlex.quote(str(run.path))}"


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Note a signal to stop instead of dying of it; a second one acts as usual."""
    received: list[int] = []
    before: dict[int, Any] = {}

    def note_signal(number: int, frame: FrameType | None) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # a signal that is ignored stays so: nohup asks for that
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, note_signal)
    try:
        yield received
    finally:
        restore()
