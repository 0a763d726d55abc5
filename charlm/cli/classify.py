"""`charlm classify`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.console import note, stderr
from charlm.cli.model_argument import open_model
from charlm.cli.options import Newlines, newlines_option, option

if TYPE_CHECKING:
    from charlm.inference.classification import Classification, TextNLL
    from charlm.language_model import LanguageModel


def classify(
    file: Annotated[str, typer.Argument(help="A text file, - for standard input.")],
    model: Annotated[
        list[str] | None,
        option(
            help="A .npz or a run's directory; give it at least twice, once for each model.",
            default=False,
        ),
    ] = None,
    lines: Annotated[
        bool,
        option(
            "--lines",
            help="Classify each line of the text; an empty line stays an empty line.",
        ),
    ] = False,
    encoding: Annotated[str, option(help="The encoding of the text.")] = "utf-8",
    newlines: Annotated[Newlines, newlines_option()] = "keep",
    as_json: Annotated[
        bool,
        option(
            "--json",
            envvar="CHARLM_CLASSIFY_JSON",
            help="Print the figures as one JSON object, with --lines one a line.",
        ),
    ] = False,
) -> None:
    """Say which of several models a text is most likely from: the one it surprises least."""
    from charlm.text.text_files import read_text

    if len(model or ()) < 2:
        raise typer.BadParameter("name at least two models to choose from", param_hint="--model")
    models = {path: opened for opened, path in map(open_model, model or ())}
    if len({Path(path).resolve() for path in models}) < 2:
        raise typer.BadParameter(f"they are all {next(iter(models))}", param_hint="--model")
    content = read_text(file, encoding, newlines=newlines, say=note)
    texts = _lines(content) if lines else [content]
    results = _classified(texts, models)
    for each, result in zip(texts, results, strict=True):
        print(_as_json(each, result, file, lines) if as_json else _as_text(each, result, lines))
    found = [result for result in results if result]
    _note_strangers(found)
    if not as_json:
        _print_table(found, models, lines)


def _note_strangers(results: Sequence["Classification"]) -> None:
    """Say of how many texts no model knows any character."""
    strange = sum(
        all(each.unknown_characters == each.characters for each in result.nlls.values())
        for result in results
    )
    if strange:
        note(f"{strange:,} of {len(results):,}: no model knows any of it; the first by name has it")


def _lines(text: str) -> list[str]:
    """The lines of a text, each without the newline that ends it."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _classified(
    texts: Sequence[str], models: Mapping[str, "LanguageModel"]
) -> list["Classification | None"]:
    """Where each text goes; None for one that is empty.

    Raises:
        TextError: all of them are.
        ModelError: the models cannot be compared.
    """
    from tqdm import tqdm

    from charlm.errors import TextError
    from charlm.inference.classification import classify_all

    wanted = [text for text in texts if text]
    if not wanted:
        raise TextError("there is nothing to classify: the text is empty")
    total = len(models) * sum(map(len, wanted))
    with tqdm(
        total=total, desc="scoring", unit="char", unit_scale=True, leave=False, disable=None
    ) as bar:
        results = iter(classify_all(wanted, models, progress=bar.update))
    return [next(results) if text else None for text in texts]


def _as_text(text: str, result: "Classification | None", is_line: bool) -> str:
    if result is None:
        return ""
    return f"{result.winner}\t{text}" if is_line else result.winner


def _as_json(text: str, result: "Classification | None", name: str, is_line: bool) -> str:
    what = {"line": text} if is_line else {"text": name}
    if result is None:
        return json.dumps(what | {"model": None, "models": []})
    figures = [_figures(model, each, result) for model, each in result.nlls.items()]
    return json.dumps(what | {"model": result.winner, "models": figures})


def _figures(model: str, nll: "TextNLL", result: "Classification") -> dict[str, Any]:
    more = nll.bits - result.nlls[result.winner].bits
    figures = {"model": model, "bits_per_char": nll.bits_per_char, "bits_more": more}
    return figures | asdict(nll)


def _print_table(
    results: Sequence["Classification"], models: Mapping[str, Any], are_lines: bool
) -> None:
    """The models, the one that is least surprised by all of the text first."""
    from rich.table import Table

    from charlm.inference.classification import TextNLL

    nothing = TextNLL(0, 0, 0)
    totals = {name: sum((each.nlls[name] for each in results), nothing) for name in models}
    names = sorted(models, key=lambda name: (totals[name].nats, name))
    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for head in ("bits a character", "unknown", "bits more", *["lines"] * are_lines):
        table.add_column(head, justify="right")
    for name in names:
        total = totals[name]
        row = [
            name,
            f"{total.bits_per_char:.4f}",
            f"{total.unknown_characters:,}",
            f"{total.bits - totals[names[0]].bits:,.1f}",
        ]
        won = f"{sum(each.winner == name for each in results):,}"
        table.add_row(*row, *[won] * are_lines)
    stderr().print(table)
