"""The command line as a whole: its commands, its errors, its exit codes."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from typing import Annotated

import typer

from charlm import __version__
from charlm.cli import classify, corpus, evaluate, fill, proofread, sample, train
from charlm.cli.console import print_error
from charlm.cli.failures import FAILED, code_of, message_of
from charlm.cli.standard_streams import set_up_streams
from charlm.distributed import launcher

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "CHARLM", "help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("eval")(evaluate.evaluate)
app.command("classify")(classify.classify)
app.command("fill")(fill.fill)
app.command("proofread")(proofread.proofread)
app.add_typer(corpus.app, name="corpus", help="Texts by name, and texts of your own encoded ahead.")

_shows_tracebacks = False


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"charlm {__version__}")
        raise typer.Exit


def _show_tracebacks(wanted: bool) -> None:
    global _shows_tracebacks
    _shows_tracebacks = wanted


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,  # a CHARLM_VERSION is somebody's number, not a wish
            help="Say the version.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", callback=_show_tracebacks, help="Show an error's traceback."),
    ] = False,
) -> None:
    """Character-level recurrent language models: train, sample, measure perplexity."""
    if launcher.rank() and context.invoked_subcommand != "train":
        raise typer.Exit  # of several processes only the first has something to do


def run() -> int:
    """Run the command that the arguments name; return the exit code."""
    set_up_streams()
    if os.environ.get("COLUMNS") == "0":  # some shells say so of no terminal, and rich believes it
        del os.environ["COLUMNS"]
    with _silent() if launcher.rank() else nullcontext():  # of several the first one speaks
        try:
            return _run()
        except BrokenPipeError:  # nobody reads any more, and nobody has to be told
            return FAILED
        except MemoryError as error:
            return _report_plainly(error)
        except Exception as error:
            return _report(error)


def _run() -> int:
    try:
        app(prog_name="charlm")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else FAILED
        if code:
            return code
    sys.stdout.flush()  # here, where an error can still be told
    return 0


@contextmanager
def _silent() -> Iterator[None]:
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield


def _report(error: Exception) -> int:
    if _shows_tracebacks:
        traceback.print_exc()
    print_error(message_of(error))
    return code_of(error)


def _report_plainly(error: MemoryError) -> int:
    """Say it with as little memory as it takes: no module is loaded, and no array kept."""
    if _shows_tracebacks:
        traceback.print_exc()
    message = message_of(error)
    error.__traceback__ = None
    print(f"charlm: {message}", file=sys.stderr)
    return FAILED
