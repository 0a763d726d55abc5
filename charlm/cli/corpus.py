"""`charlm corpus`: example corpora, and preparation of a corpus."""

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli import console
from charlm.cli.failures import with_options
from charlm.cli.options import (
    CORPUS_HELP,
    ESCAPED,
    escaped,
    json_option,
    option,
    options_of,
    text_config,
)
from charlm.cli.parsing import App
from charlm.cli.progress_bars import bytes_bar
from charlm.cli.run_setup import check_sources
from charlm.cli.standard_input import piped_text
from charlm.errors import ConfigError, TextError, cause_of
from charlm.system.shell import quoted
from charlm.text.config import PLAIN_TEXT, TextConfig

if TYPE_CHECKING:
    from charlm.text.corpus_report import Inspection, Rare

app = App(help="Get an example corpus, or prepare your own.")


@app.command("list")
def list_(
    as_json: Annotated[bool, json_option("CORPUS_LIST", "Print the list as a JSON array.")] = False,
) -> None:
    """List the example corpora: name, license and description."""
    from charlm.text.datasets import DATASETS

    rows = [(entry.name, entry.license, entry.description) for entry in DATASETS.values()]
    if as_json:
        keys = ("name", "license", "description")
        console.print_json([dict(zip(keys, row, strict=True)) for row in rows], indent=2)
        return
    names, licenses, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    for name, license_, description in rows:
        print(f"{name:{names}}  {license_:{licenses}}  {description}")


def _names() -> list[str]:
    from charlm.text.datasets import DATASETS

    return list(DATASETS)


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(help="Name of a corpus; see `charlm corpus list`.", autocompletion=_names),
    ],
    out: Annotated[
        Path | None,
        option(help="Output file, or directory for NAME.txt.", default="NAME.txt"),
    ] = None,
    force: Annotated[
        bool, option("--force", help="Replace an existing file that has different content.")
    ] = False,
) -> None:
    """Write an example corpus to a file and print its path."""
    from charlm.text import datasets

    corpus = datasets.find(name)
    path = out or Path()
    if os.path.isdir(path):  # unlike path.is_dir(), never raises; the library reports errors
        path /= f"{name}.txt"
    with bytes_bar(name) as follow:
        saved = datasets.get(corpus, path, force=force, progress=follow)
    console.print_result(str(path))
    state = "written" if saved.written else "unchanged"
    command = f"charlm train {quoted(path)}"
    count = console.plural(saved.characters, "character")
    console.note(f"{count}, {state}; next: {command}")


@app.command()
@options_of(TextConfig)
def prepare(
    context: typer.Context,
    sources: Annotated[
        list[str] | None, typer.Argument(help=CORPUS_HELP, show_default="piped text")
    ] = None,
    min_count: Annotated[
        int | None,
        option(
            help="Report the effect of training with this --min-count.", check=whole(1), kind=int
        ),
    ] = None,
    as_json: Annotated[
        bool, json_option("CORPUS_PREPARE", "Print the report as a JSON object.")
    ] = False,
    **settings: Any,
) -> None:
    """Encode a corpus ahead of training and report its contents and possible problems."""
    from charlm.text.corpus import Corpus
    from charlm.text.corpus_report import inspect, rare

    sources = sources or piped_text("charlm corpus prepare -")
    if not sources:
        raise typer.BadParameter("charlm corpus prepare needs SOURCES: files or directories")
    check_sources(sources, "SOURCES")
    with bytes_bar("encoding") as follow:
        corpus = Corpus.prepare(sources, text_config(context), follow, say=console.note)
    found = inspect(corpus)
    shown = (replace(each, message=with_options(each.message)) for each in found.concerns)
    found = replace(found, concerns=tuple(shown))
    merged = rare(corpus, min_count) if min_count else None
    left = len(corpus.vocabulary(min_count or 1))
    if as_json:
        more = {"min_count": asdict(merged) | {"vocabulary": left}} if merged else {}
        console.print_json(asdict(found) | {"path": str(found.path)} | more)
        return
    rows = _rows(found)
    if merged:
        replaced = f"<unk> replaces {_described(merged)}"
        rows[f"--min-count {min_count}"] = f"vocabulary of {left:,}; {replaced}"
    console.print_rows(rows, to=console.stdout())
    for concern in found.concerns:
        console.warn(concern.message)
    options = [*_options(settings), *(["--min-count", str(min_count)] if merged else [])]
    command = ["charlm", "train", *map(quoted, sources), *map(shlex.quote, options)]
    console.note(f"next: {' '.join(command)}")


def _options(settings: Mapping[str, Any]) -> Iterator[str]:
    """The options that `charlm train` needs to read the same corpus, as they are typed."""
    for name, value in settings.items():
        if value != getattr(PLAIN_TEXT, name):
            yield f"--{name}"
            if value is not True:  # a flag has no value
                yield escaped(value) if name in ESCAPED else value


@app.command()
def cache(
    action: Annotated[
        str | None,
        typer.Argument(help="`clear` removes all texts that no other process uses."),
    ] = None,
    as_json: Annotated[
        bool, json_option("CORPUS_CACHE", "Print the figures as a JSON object.")
    ] = False,
) -> None:
    """Show what the cache of encoded texts occupies, or clear it."""
    from charlm.text.cache_folder import LIMIT, cache_folder, shrink, usage

    if action not in (None, "clear"):
        raise ConfigError("action", action, "clear")
    try:
        folder = cache_folder()
        before = left = usage(folder)
        if action == "clear":
            shrink(folder, 0)
            left = usage(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home directory
        raise TextError(
            f"cannot read the cache: {cause_of(error)}; set CHARLM_CACHE to a directory"
        ) from error
    removed = {"removed": before.texts - left.texts} if action else {}
    if as_json:
        console.print_json({"path": str(folder), **asdict(left), "limit": LIMIT, **removed})
        return
    rows = {"path": str(folder)}
    rows |= {name: console.plural(count, "text") for name, count in removed.items()}
    rows |= {"texts": f"{left.texts:,}", "size": f"{left.bytes / 1e6:,.1f} MB"}
    console.print_rows(rows, to=console.stdout())


def _rows(found: "Inspection") -> dict[str, str]:
    """The names and values of a report."""
    vocabulary = console.plural(found.vocabulary, "character")
    return {
        "characters": f"{found.characters:,}",
        "vocabulary": f"{vocabulary}, {found.id_bytes}-byte ids",
        "encoded": f"{found.path} ({'existing' if found.found else 'new'})",
        "most frequent": _counted(found.most_frequent),
        "least frequent": _counted(found.least_frequent),
        "rare": _described(found.rare),
    }


def _counted(characters: tuple[tuple[str, int], ...]) -> str:
    from charlm.text.characters import shown

    return ", ".join(f"{shown(character)} {count:,}" for character, count in characters)


def _described(rare: "Rare") -> str:
    characters = console.plural(rare.distinct, "character that occurs", "characters that occur")
    times = console.plural(rare.min_count, "time") + " each" * (rare.distinct != 1)
    total = console.plural(rare.characters, "occurrence")
    return f"{characters} fewer than {times}, {total} in total"
