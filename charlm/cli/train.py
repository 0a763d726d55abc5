"""`charlm train`."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import path, real, whole
from charlm.cli.mpi_job import job
from charlm.cli.options import (
    CORPUS_HELP,
    chosen,
    fields_of,
    given,
    json_option,
    option,
    options_of,
)
from charlm.cli.parsing import Contradiction
from charlm.cli.resume import resume_advice, resume_run
from charlm.cli.run_setup import Request, check_arguments, new_run
from charlm.config import DEFAULT_RANK_TIMEOUT, Budget, ModelConfig, TrainConfig
from charlm.errors import CharlmError, DivergedError
from charlm.system.signals import noted
from charlm.text.config import DOCUMENTS, TextConfig

if TYPE_CHECKING:
    from charlm.training.run_directory import RunDirectory
    from charlm.training.trainer import Trainer

MODEL, TRAINING, BUDGET = "Model", "Training", "Budget (at most one)"
OF_A_RANK = ("threads", "rank_timeout", "as_json", "quiet")  # options that may differ
TEXT, FILES = "Text", "Files and output"
BUDGETS = tuple(field.name for field in fields(Budget))
AT_MOST_ONE = (BUDGETS, ("validation", "val_fraction"), DOCUMENTS)  # options of which one is set

# The defaults that `charlm.training.defaults` chooses.
SUITABLE = "suits the text and the budget"
CHOSEN = dict.fromkeys(("hidden", "embedding", "dropout", "batch_size", "lr"), SUITABLE)
CHOSEN |= {"patience": "5 with --minutes and --operations, otherwise 0"}

Corpus = Annotated[list[str] | None, typer.Argument(help=CORPUS_HELP, show_default="piped text")]
Threads = Annotated[
    int,
    option(
        help="Number of CPU cores to use, at most one per shard. Does not affect the result.",
        panel=TRAINING,
        check=whole(0),
        kind=int,
        default="all cores",
    ),
]
RankTimeout = Annotated[
    float,
    option(
        help="Seconds that an MPI rank waits for other ranks before it aborts the job; 0 disables "
        "the timeout. Does not apply while the corpus is read.",
        panel=TRAINING,
        check=real(0, bounds="[)"),
        kind=float,
    ),
]
Validation = Annotated[
    list[str] | None,
    option(
        "--validation",
        metavar="FILE",
        help="Text file, directory or glob pattern to validate on; then nothing of the corpus is "
        "held out. Can be repeated.",
        panel=TRAINING,
        default="a part of the corpus",
    ),
]
Out = Annotated[
    Path | None,
    option(help="Run directory.", panel=FILES, check=path, kind=Path, default="runs/<corpus>-<n>"),
]
Resume = Annotated[
    bool,
    option(
        "--resume",
        help="Resume the run in --out, or the newest run. Start a new run if --out has no "
        "checkpoint.",
        panel=FILES,
    ),
]
Force = Annotated[bool, option("--force", help="Replace the run in --out.", panel=FILES)]
Json = Annotated[
    bool,
    json_option(
        "TRAIN",
        "Print each event (start, step, eval, rollback or done) as a line of JSON.",
        panel=FILES,
    ),
]
Quiet = Annotated[bool, option("--quiet", help="Print only errors to stderr.", panel=FILES)]


@options_of(ModelConfig, MODEL, shown=CHOSEN)
@options_of(TrainConfig, TRAINING, shown=CHOSEN, in_order="--in-order/--any-order")
@options_of(Budget, BUDGET)
@options_of(TextConfig, TEXT)
def train(
    context: typer.Context,
    corpus: Corpus = None,
    *,
    validation: Validation = None,
    threads: Threads = 0,
    rank_timeout: RankTimeout = DEFAULT_RANK_TIMEOUT,
    out: Out = None,
    resume: Resume = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """Train a model on a text corpus.

    The model and the history of the run are written to a run directory.

    To train with several processes, on one or more machines: mpiexec -n 4 charlm train corpus.txt
    """
    from charlm.cli.training_display import display_for
    from charlm.distributed.agreement import check_options
    from charlm.training import loop
    from charlm.training.events import Done

    if resume and force:
        raise Contradiction("resume", "force")
    request = _request(context, corpus or [], threads, quiet=quiet, as_json=as_json)
    check_arguments(request, out, force=force)
    start = resume_run if resume else partial(new_run, force=force)
    record = None
    with job(rank_timeout) as group, ExitStack() as stack:
        check_options(group, _shared_options(context))
        is_first = group.rank == 0
        with display_for(as_json=as_json and is_first, quiet=quiet or not is_first) as display:
            trainer, run = start(request, out, display.note, group, stack.enter_context)
            directory = run if is_first else None
            with noted(_signals()) as received, _advice_in_errors(trainer, run):
                for record in loop.train(
                    trainer, directory, lambda: bool(received), display.summary
                ):
                    try:
                        display.show(record)
                    except (OSError, CharlmError):
                        if not received:  # a terminal that hangs up also sends a signal
                            raise
                number = max(group.all_gather(max(received, default=0)))
        if not isinstance(record, Done):
            step = trainer.progress.step
            display.note(f"saved after step {step:,}; {_advice(trainer, run)}")
            raise typer.Exit(128 + number)


def _request(
    context: typer.Context, corpus: list[str], threads: int, *, quiet: bool, as_json: bool
) -> Request:
    """The request that consists of what was set on the command line or by the environment."""
    flags = given(context, "COMMANDLINE")
    options = flags | given(context, "ENVIRONMENT")
    for names in AT_MOST_ONE:
        others = {name: value for name, value in options.items() if name not in names}
        options = others | chosen(context, names)
    return Request(
        corpus,
        options.get("validation") or [],
        fields_of(TextConfig, options),
        fields_of(ModelConfig, options),
        fields_of(TrainConfig, options),
        fields_of(Budget, options),
        threads,
        quiet,
        as_json,
        frozenset(flags),
    )


def _shared_options(context: typer.Context) -> dict[str, object]:
    """The arguments and options that must be the same on all ranks, as messages show them."""
    from charlm.distributed.agreement import arguments

    shared = {name: value for name, value in context.params.items() if name not in OF_A_RANK}
    return {"CORPUS": shared.pop("corpus"), **arguments(shared)}


def _advice(trainer: "Trainer", run: "RunDirectory") -> str:
    return resume_advice(run, trainer.data.info)


@contextmanager
def _advice_in_errors(trainer: "Trainer", run: "RunDirectory") -> Iterator[None]:
    """Add the command that resumes a run to the message of an error, unless training diverged."""
    try:
        yield
    except CharlmError as error:
        if isinstance(error, DivergedError) or not run.last.exists():
            raise
        raise type(error)(f"{error}; {_advice(trainer, run)}") from error


def _signals() -> list[int]:
    """The signals after which a run is saved; one that nohup ignores stays ignored."""
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    return [n for n in numbers if n is not None and signal.getsignal(n) is not signal.SIG_IGN]
