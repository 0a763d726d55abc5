"""`charlm corpus`: the texts one can get by name, and texts encoded ahead."""

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli import console
from charlm.cli.options import Newlines, newlines_option, option
from charlm.cli.progress_bars import bytes_bar

if TYPE_CHECKING:
    from charlm.text.corpus_report import Inspection, Rare

# The library is imported in the commands: its network modules would slow down `charlm --help`.

app = typer.Typer(no_args_is_help=True, help="Texts by name, and texts of your own encoded ahead.")


@app.command("list")
def list_(
    as_json: Annotated[
        bool, typer.Option("--json", envvar="CHARLM_CORPUS_LIST_JSON", help="Print a JSON array.")
    ] = False,
) -> None:
    """List the texts there are: name, license, description."""
    from charlm.text.datasets import DATASETS

    rows = [(entry.name, entry.license, entry.description) for entry in DATASETS.values()]
    if as_json:
        keys = ("name", "license", "description")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    names, licenses, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    for name, license_, description in rows:
        print(f"{name:{names}}  {license_:{licenses}}  {description}")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A name that `charlm corpus list` shows.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, or folder for NAME.txt.", show_default="NAME.txt"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that differs.")] = False,
) -> None:
    """Write the text NAME to a file, and print the path of the file."""
    from charlm.text import datasets

    corpus = datasets.find(name)
    path = out or Path()
    if os.path.isdir(path):  # unlike path.is_dir(), never an error: that is for the library
        path /= f"{name}.txt"
    with bytes_bar(name) as follow:
        saved = datasets.get(corpus, path, force=force, progress=follow)
    print(path)
    state = "written" if saved.written else "already there"
    command = f"charlm train {shlex.quote(str(path))}"
    console.note(f"{saved.characters:,} characters, {state}; next: {command}")


@app.command()
def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Text files, .gz or .xz too, directories or globs, as for charlm train."
        ),
    ],
    encoding: Annotated[str, option(help="The encoding of the files.")] = "utf-8",
    newlines: Annotated[Newlines, newlines_option()] = "keep",
    min_count: Annotated[
        int | None,
        option(help="Say what --min-count N of charlm train would leave.", min=1, default=False),
    ] = None,
    as_json: Annotated[
        bool,
        option(
            "--json",
            envvar="CHARLM_CORPUS_PREPARE_JSON",
            help="Print what was found as one JSON object.",
        ),
    ] = False,
) -> None:
    """Encode a text ahead of training, and say what is in it and what looks wrong."""
    from charlm.text.corpus import Corpus
    from charlm.text.corpus_report import inspect, rare

    said: list[str] = []
    with bytes_bar("encoding") as follow:
        corpus = Corpus.prepare(sources, encoding, follow, newlines=newlines, say=said.append)
    for line in said:  # not through the bar
        console.note(line)
    found = inspect(corpus)
    merged = rare(corpus, min_count) if min_count else None
    left = len(corpus.vocabulary(min_count or 1))
    if as_json:
        more = {"min_count": asdict(merged) | {"vocabulary": left}} if merged else {}
        print(json.dumps(asdict(found) | {"path": str(found.path)} | more))
        return
    _print_inspection(found)
    if merged:
        _print_row(
            f"--min-count {min_count}", f"leaves {left:,}; read as one sign: {_described(merged)}"
        )
    for concern in found.concerns:
        _print_row("looks wrong", concern.message)
    options = [] if encoding == "utf-8" else ["--encoding", encoding]
    options += [] if newlines == "keep" else ["--newlines", newlines]
    options += ["--min-count", str(min_count)] if merged else []
    console.note(f"next: charlm train {shlex.join([*sources, *options])}")


def _print_inspection(found: "Inspection") -> None:
    unit = "byte" if found.id_bytes == 1 else "bytes"
    _print_row("characters", f"{found.characters:,}")
    _print_row("vocabulary", f"{found.vocabulary:,}, ids of {found.id_bytes} {unit}")
    _print_row("encoded", f"{'before' if found.found else 'now'}, {found.path}")
    _print_row("most frequent", _counted(found.most_frequent))
    _print_row("least frequent", _counted(found.least_frequent))
    _print_row("rare", _described(found.rare))


def _counted(characters: tuple[tuple[str, int], ...]) -> str:
    from charlm.text.vocabulary import shown

    return ", ".join(f"{shown(character)} {count:,}" for character, count in characters)


def _described(rare: "Rare") -> str:
    return (
        f"{rare.distinct:,} that occur fewer than {rare.min_count:,} times, "
        f"{rare.characters:,} times together"
    )


def _print_row(name: str, value: str) -> None:
    from rich.text import Text  # which takes brackets and colons of the text as they are

    row = Text.assemble((f"{name:16}", "bold"), value)
    console.stderr().print(row, soft_wrap=True)
