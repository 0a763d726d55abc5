"""`charlm classify`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.console import as_result, note, print_json, print_table, stderr, stdout, warn
from charlm.cli.model_argument import (
    named_models,
    one_text,
    open_model,
    reading,
    texts_and_models,
)
from charlm.cli.options import AS_TRAINED, json_option, model_option, options_of
from charlm.cli.progress_bars import characters_bar
from charlm.cli.row_output import ESCAPES
from charlm.cli.tables import figure
from charlm.cli.unknown_characters import collected, count_and_percent, warn_of_unknown
from charlm.errors import TextError, in_short, printable
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.classification import Classification, TextNLL
    from charlm.language_model import LanguageModel


@options_of(TextConfig, shown=AS_TRAINED)
def classify(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|MODEL",
            help="Text file; - reads standard input. Other arguments can be models, as for "
            "--model.",
            show_default="piped text",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        model_option(
            default=False, more=" Repeat the option for each model; at least two are required."
        ),
    ] = None,
    as_json: Annotated[
        bool,
        json_option("CLASSIFY", "Print the result as a JSON object, one per document."),
    ] = False,
    **settings: Any,
) -> None:
    """Classify a text, or each of several documents, by the model with the lowest NLL.

    NLL is the negative log-likelihood. Empty documents are not classified.
    """
    from charlm.text.documents import documents_of
    from charlm.text.source_files import shown_name
    from charlm.text.text_files import read_pieces

    files, more = texts_and_models(texts or [])
    named = named_models(context, more)
    if len(named) < 2:
        raise typer.BadParameter(
            f"specify at least two models, got {', '.join(map(in_short, named)) or 'none'}"
        )
    file = one_text(files, "charlm classify - --model MODEL --model MODEL")
    models = {path: opened for opened, path in map(open_model, named)}
    if len({Path(path).resolve() for path in models}) < 2:
        raise typer.BadParameter(
            f"all models are {next(iter(models))}; specify different models", param_hint="--model"
        )
    config = reading(context, *models.values())
    distinct: set[str] = set()
    pieces = collected(read_pieces(file, config, say=note), distinct)
    contents = list(chain.from_iterable(documents_of(pieces, config, shown_name(file))))
    has_documents = config.has_documents
    if not any(contents):
        empty = "all documents are empty" if has_documents else "the text is empty"
        raise TextError(f"{shown_name(file)}: {empty}")
    results = _classify(contents, models, are_documents=has_documents)
    for text, result in zip(contents, results, strict=True):
        if as_json:
            source = {"line": text} if has_documents else {"text": file}
            print_json(source | _as_dict(result))
        else:
            winner = printable(result.winner) if result else ""
            row = text if config.lines else text.translate(ESCAPES)
            print(f"{winner}\t{as_result(row)}" if has_documents and result else winner)
    found = [result for result in results if result]
    totals = _totals(found)
    if not as_json:
        counted = "lines" if config.lines else "documents"
        _print_table(found, totals, counted if has_documents else "")
    _note_unknown_texts(found)
    best = next(iter(totals))
    warn_of_unknown({file: totals[best].unknown_fraction}, models[best], distinct, best)


def _classify(
    texts: Sequence[str], models: Mapping[str, "LanguageModel"], *, are_documents: bool
) -> list["Classification | None"]:
    """Classify each text; the result of an empty one is None.

    Raises:
        ModelError: the models cannot be compared.
    """
    from charlm.inference.classification import classify_all

    nonempty = [text for text in texts if text]
    with characters_bar("scoring", len(models) * sum(map(len, nonempty))) as bar:
        results = iter(
            classify_all(nonempty, models, are_documents=are_documents, progress=bar.update)
        )
    return [next(results) if text else None for text in texts]


def _note_unknown_texts(results: Sequence["Classification"]) -> None:
    """Print the number of texts that have no character known to any model."""
    count = sum(
        all(nll.unknown_characters == nll.characters for nll in result.nlls.values())
        for result in results
    )
    if count:
        warn(
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
        | {"unknown_fraction": nll.unknown_fraction}
        for name, nll in result.nlls.items()
    ]
    return {"model": result.winner, "models": models}


def _totals(results: Sequence["Classification"]) -> dict[str, "TextNLL"]:
    """The NLL of the whole text under each model, in ascending order."""
    from charlm.inference.classification import TextNLL

    totals = {
        name: sum((each.nlls[name] for each in results), TextNLL(0, 0, 0))
        for name in results[0].nlls
    }
    return dict(sorted(totals.items(), key=lambda item: (item[1].nats, item[0])))


def _print_table(
    results: Sequence["Classification"], totals: Mapping[str, "TextNLL"], counted: str
) -> None:
    """Print the models, in ascending order of the NLL of the whole text.

    With a result for each document, the table goes to stderr, since stdout has only these rows.

    Args:
        results: the result of each document, or of the text.
        totals: the NLL of the whole text under each model.
        counted: what the documents are; empty for a text.
    """
    headings = ["model", "bits per character", "unknown", "excess bits", *filter(None, [counted])]
    lowest = min(total.bits for total in totals.values())
    rows = []
    for name, total in totals.items():
        row = [
            name,
            figure(total.bits_per_char, "{:.4f}"),
            count_and_percent(total.unknown_characters, total.unknown_fraction),
            figure(total.bits - lowest, "{:,.1f}"),
            f"{sum(each.winner == name for each in results):,}",
        ]
        rows.append(row[: len(headings)])
    print_table(headings, rows, to=stderr() if counted else stdout())
