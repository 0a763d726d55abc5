"""`charlm corpus`: the texts one can get by name."""

import json
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from charlm.cli import console
from charlm.cli.progress import bytes_bar

# The library is imported in the commands: its network modules would slow down `charlm --help`.

app = typer.Typer(no_args_is_help=True, help="List the texts that come by name, and get one.")


@app.command("list")
def list_(
    as_json: Annotated[
        bool, typer.Option("--json", envvar="CHARLM_CORPUS_LIST_JSON", help="Print a JSON array.")
    ] = False,
) -> None:
    """List the texts there are: name, license, description."""
    from charlm.corpora import CORPORA

    rows = [(entry.name, entry.license, entry.description) for entry in CORPORA.values()]
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
    from charlm import corpora

    corpus = corpora.find(name)
    path = out or Path()
    if os.path.isdir(path):  # unlike path.is_dir(), never an error: that is for the library
        path /= f"{name}.txt"
    with bytes_bar(name) as follow:
        saved = corpora.get(corpus, path, force=force, progress=follow)
    print(path)
    state = "written" if saved.written else "already there"
    command = f"charlm train {shlex.quote(str(path))}"
    console.note(f"{saved.characters:,} characters, {state}; next: {command}")
