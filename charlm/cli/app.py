"""The commands, and how they end: exit codes and error messages."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import Annotated, Any

import typer

from charlm import __version__
from charlm.cli import classify, corpus, evaluate, fill, proofread, sample, score, train
from charlm.cli.console import print_error
from charlm.cli.failures import FAILED, code_of, message_of
from charlm.cli.mpi_job import errors_before_job
from charlm.cli.options import option
from charlm.cli.parsing import App, UsageError
from charlm.cli.standard_streams import set_up_streams
from charlm.distributed import launcher
from charlm.errors import RankError, printable

app = App(
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "CHARLM", "help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("eval")(evaluate.evaluate)
app.command("score")(score.score)
app.command("classify")(classify.classify)
app.command("fill")(fill.fill)
app.command("proofread")(proofread.proofread)
app.add_typer(corpus.app, name="corpus")

_shows_tracebacks = False


def _set_debug(context: typer.Context, requested: bool) -> None:
    """Note the option, which stands before or after the name of the command."""
    global _shows_tracebacks
    _shows_tracebacks = requested or (_shows_tracebacks and context.parent is not None)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"charlm {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,  # CHARLM_VERSION may hold a version number
            help="Show the version and exit.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        option(
            "--debug",
            callback=_set_debug,
            expose_value=False,
            envvar="CHARLM_DEBUG",  # also after the name of a command
            allow_from_autoenv=False,
            help="Show the traceback if a command fails.",
        ),
    ] = False,
) -> None:
    """Train, sample and evaluate character-level recurrent language models."""
    if launcher.place().rank and context.invoked_subcommand != "train":
        raise typer.Exit  # the other commands run on rank 0 only


def root_command() -> Any:
    """The command `charlm`, with all others in it."""
    command: Any = typer.main.get_command(app)
    for parameter in command.params:
        if parameter.name in ("install_completion", "show_completion"):  # made by Typer
            parameter.show_envvar = parameter.allow_from_autoenv = False
    return command


def run() -> int:
    """Run the command that the arguments name, and return its exit code."""
    set_up_streams()
    if os.environ.get("COLUMNS") == "0":  # some shells set it without a terminal
        del os.environ["COLUMNS"]
    try:
        place = launcher.place()
    except RankError as error:
        return _report(error)
    with _output_discarded() if place.rank else nullcontext():
        try:
            with errors_before_job():
                code = root_command()(prog_name="charlm", standalone_mode=False)
            sys.stdout.flush()  # an error at interpreter exit would not be reported
            return int(code or 0)
        except BrokenPipeError:
            return FAILED
        except Exception as error:
            return _report(error)


@contextmanager
def _output_discarded() -> Iterator[None]:
    with (
        open(os.devnull, "w", encoding="utf-8") as null,
        redirect_stdout(null),
        redirect_stderr(null),
    ):
        yield


def _report(error: Exception) -> int:
    """Print why the command failed, and return the exit code."""
    if _shows_tracebacks and not isinstance(error, UsageError):
        sys.stderr.write(printable(traceback.format_exc(), keep="\n"))
    message = message_of(error)
    if isinstance(error, MemoryError):  # free the arrays, and do not load rich
        error.__traceback__ = None
        print(f"charlm: {printable(message)}", file=sys.stderr)
    else:
        print_error(message)
    return code_of(error)
