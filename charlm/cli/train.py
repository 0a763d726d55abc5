"""`charlm train`."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.console import note
from charlm.cli.requests import Request, new_run, resume_run

if TYPE_CHECKING:
    from charlm.cli.display import Silent
    from charlm.runs import RunDirectory
    from charlm.training import Trainer

MODEL, TRAINING, BUDGET, FILES = "Model", "Training", "Budget (one of these)", "Files and output"


def train(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(help="Text files, read one after the other; - for standard input."),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="rnn, gru or lstm.", rich_help_panel=MODEL, show_default="lstm"),
    ] = None,
    hidden: Annotated[
        int | None,
        typer.Option(help="Units in each layer.", rich_help_panel=MODEL, show_default="256"),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(help="Recurrent layers.", rich_help_panel=MODEL, show_default="1"),
    ] = None,
    embedding: Annotated[
        int | None,
        typer.Option(
            help="Width of the character vectors; 0 feeds one-hot vectors.",
            rich_help_panel=MODEL,
            show_default="0",
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Share of each layer's outputs dropped in training.",
            rich_help_panel=MODEL,
            show_default="0",
        ),
    ] = None,
    seq_len: Annotated[
        int | None,
        typer.Option(
            help="Characters through which gradients flow back.",
            rich_help_panel=TRAINING,
            show_default="64",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Streams of text read side by side.", rich_help_panel=TRAINING, show_default="32"
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Train for so many steps.", rich_help_panel=BUDGET, show_default=False),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            help="Train for so many passes over the text.",
            rich_help_panel=BUDGET,
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Train for about so many minutes; a short trial fixes the number of steps.",
            rich_help_panel=BUDGET,
            show_default="1",
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate.",
            rich_help_panel=TRAINING,
            show_default="the optimizer's own",
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adam, rmsprop, adagrad or sgd.", rich_help_panel=TRAINING, show_default="adam"
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(
            help="Greatest norm of the gradient; 0: no clipping.",
            rich_help_panel=TRAINING,
            show_default="1",
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            help="Steps over which the learning rate rises.",
            rich_help_panel=TRAINING,
            show_default="100",
        ),
    ] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            help="Last part of the text, held out for validation.",
            rich_help_panel=TRAINING,
            show_default="0.1",
        ),
    ] = None,
    eval_every: Annotated[
        int | None,
        typer.Option(
            help="Steps between two evaluations.",
            rich_help_panel=TRAINING,
            show_default="a tenth of the run",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            help="Parts of a batch that are computed apart.",
            rich_help_panel=TRAINING,
            show_default="by the batch size",
        ),
    ] = None,
    random_seed: Annotated[
        int | None,
        typer.Option(help="Seeds weights and dropout.", rich_help_panel=TRAINING, show_default="0"),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            help="Threads that carry the shards; the result is the same with any number.",
            rich_help_panel=TRAINING,
            min=0,
            show_default="one a processor",
        ),
    ] = 0,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="The encoding of the files.", rich_help_panel=FILES, show_default="utf-8"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's directory.",
            rich_help_panel=FILES,
            show_default="runs/<corpus>-<n>",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out, or with the newest.",
            rich_help_panel=FILES,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace the run in --out.", rich_help_panel=FILES),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print each start, step, eval and done as a line of JSON.",
            rich_help_panel=FILES,
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Say nothing on stderr but errors.", rich_help_panel=FILES),
    ] = False,
) -> None:
    """Train a model on text; it is kept under runs/ with its history."""
    from charlm.cli.display import display_for

    request = Request(
        corpus or [],
        encoding,
        _given(cell=cell, hidden=hidden, layers=layers, embedding=embedding, dropout=dropout),
        _given(
            seq_len=seq_len,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            clip=clip,
            warmup=warmup,
            val_fraction=val_fraction,
            eval_every=eval_every,
            shards=shards,
            random_seed=random_seed,
        ),
        _given(steps=steps, epochs=epochs, minutes=minutes),
        threads,
    )
    with display_for(as_json=as_json, quiet=quiet) as display:
        trainer, run = resume_run(request, out) if resume else new_run(request, out, force=force)
        if trainer.progress.step >= trainer.progress.steps:
            note(
                f"{run.path} is finished, after {trainer.progress.step:,} steps; give it more "
                "with --steps, --epochs or --minutes"
            )
            return
        received = _run(trainer, run, display)
    if received is not None:
        note(
            f"saved after step {trainer.progress.step:,}; go on with: "
            f"charlm train --resume --out {shlex.quote(str(run.path))}"
        )
        raise typer.Exit(128 + received)


def _given(**options: Any) -> dict[str, Any]:
    """The options that the user set."""
    return {name: value for name, value in options.items() if value is not None}


def _run(trainer: "Trainer", run: "RunDirectory", display: "Silent") -> int | None:
    """Train to the end, or until a signal, whose number is returned."""
    from charlm.training import train as run_training

    with signals_noted() as received:
        for record in run_training(trainer, run, lambda: bool(received)):
            display.show(record)
    return received[0] if received else None


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
