"""`charlm classify`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.console import as_result, note, print_table, printable, stderr, stdout
from charlm.cli.model_argument import open_model
from charlm.cli.options import MODEL_HELP, TextFile, json_option, option, options_of, text_config
from charlm.cli.progress_bars import characters_bar
from charlm.cli.tables import figure
from charlm.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.classification import Classification
    from charlm.language_model import LanguageModel


@options_of(TextConfig)
def classify(
    context: typer.Context,
    file: TextFile,
    model: Annotated[
        list[str] | None,
        option(
            help=f"{MODEL_HELP} Repeat the option for each model; at least two are required.",
            default=False,
        ),
    ] = None,
    lines: Annotated[
        bool,
        option("--lines", help="Classify each line separately. Empty lines remain empty."),
    ] = False,
    as_json: Annotated[
        bool,
        json_option("CLASSIFY", "Print the result as a JSON object, one per line with --lines."),
    ] = False,
    **settings: Any,
) -> None:
    """Classify a text by the model that gives it the lowest negative log-likelihood."""
    from charlm.text.text_files import read_text

    if len(model or ()) < 2:
        raise typer.BadParameter("specify at least two models", param_hint="--model")
    models = {path: opened for opened, path in map(open_model, model or ())}
    if len({Path(path).resolve() for path in models}) < 2:
        raise typer.BadParameter(
            f"all models are {next(iter(models))}; specify different models", param_hint="--model"
        )
    content = read_text(file, text_config(context), say=note)
    texts = content.removesuffix("\n").split("\n") if lines else [content]
    results = _classify(texts, models)
    for text, result in zip(texts, results, strict=True):
        if as_json:
            source = {"line": text} if lines else {"text": file}
            print(json.dumps(source | _as_dict(result)))
        else:
            winner = printable(result.winner) if result else ""
            print(f"{winner}\t{as_result(text)}" if lines and result else winner)
    found = [result for result in results if result]
    _note_unknown_texts(found)
    if not as_json:
        _print_table(found, models, by_line=lines)


def _classify(
    texts: Sequence[str], models: Mapping[str, "LanguageModel"]
) -> list["Classification | None"]:
    """Classify each text; the result of an empty one is None.

    Raises:
        TextError: all texts are empty.
        ModelError: the models cannot be compared.
    """
    from charlm.errors import TextError
    from charlm.inference.classification import classify_all

    nonempty = [text for text in texts if text]
    if not nonempty:
        raise TextError("the text to classify is empty")
    with characters_bar("scoring", len(models) * sum(map(len, nonempty))) as bar:
        results = iter(classify_all(nonempty, models, progress=bar.update))
    return [next(results) if text else None for text in texts]


def _note_unknown_texts(results: Sequence["Classification"]) -> None:
    """Print the number of texts that have no character known to any model."""
    count = sum(
        all(nll.unknown_characters == nll.characters for nll in result.nlls.values())
        for result in results
    )
    if count:
        note(
            f"{count:,} of {len(results):,} texts have no character known to any model; "
            "they are assigned to the first model in alphabetical order"
        )


def _as_dict(result: "Classification | None") -> dict[str, Any]:
    if result is None:
        return {"model": None, "models": []}
    lowest = result.nlls[result.winner].bits
    models = [
        {"model": name, "bits_per_char": nll.bits_per_char, "bits_more": nll.bits - lowest}
        | asdict(nll)
        for name, nll in result.nlls.items()
    ]
    return {"model": result.winner, "models": models}


def _print_table(
    results: Sequence["Classification"], models: Mapping[str, Any], *, by_line: bool
) -> None:
    """Print the models, in ascending order of the NLL of the whole text.

    With a result for each line, the table goes to stderr, since stdout has only these lines.
    """
    from charlm.inference.classification import TextNLL

    nothing = TextNLL(0, 0, 0)
    totals = {name: sum((each.nlls[name] for each in results), nothing) for name in models}
    names = sorted(models, key=lambda name: (totals[name].nats, name))
    headings = ["model", "bits per character", "unknown", "excess bits", *["lines"] * by_line]
    lowest = totals[names[0]].bits
    rows = []
    for name in names:
        total = totals[name]
        row = [
            name,
            figure(total.bits_per_char, "{:.4f}"),
            f"{total.unknown_characters:,}",
            figure(total.bits - lowest, "{:,.1f}"),
        ]
        won = f"{sum(each.winner == name for each in results):,}"
        rows.append([*row, *[won] * by_line])
    print_table(headings, rows, to=stderr() if by_line else stdout())
