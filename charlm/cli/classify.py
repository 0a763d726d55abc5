"""`charlm classify`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.console import as_result, note, print_json, print_table, stderr, stdout, warn
from charlm.cli.model_argument import named_models, open_model, reading, texts_and_models
from charlm.cli.options import AS_TRAINED, json_option, model_option, options_of
from charlm.cli.progress_bars import characters_bar
from charlm.cli.row_output import ESCAPES
from charlm.cli.standard_input import piped_text
from charlm.cli.tables import figure
from charlm.cli.unknown_characters import count_and_percent, warn_of_unknown
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
            help="Text files (including .gz and .xz), directories or glob patterns; - reads "
            "standard input. Other arguments can be models, as for --model.",
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
    """Classify texts, or each of several documents, by the model with the lowest NLL.

    NLL is the negative log-likelihood. Empty documents are not classified. If there are several
    files, each row begins with the name of its file.
    """
    from charlm.text.source_files import expand

    sources, more = texts_and_models(texts or [])
    named = named_models(context, more)
    if len(named) < 2:
        raise typer.BadParameter(
            f"specify at least two models, got {', '.join(map(in_short, named)) or 'none'}"
        )
    waiting = "charlm classify - --model MODEL --model MODEL"
    files = expand(sources or piped_text(waiting))
    if not files:
        raise typer.BadParameter(f"specify a text; to type or pipe it: {waiting}")
    models = {path: opened for opened, path in map(open_model, named)}
    if len({Path(path).resolve() for path in models}) < 2:
        raise typer.BadParameter(
            f"all models are {next(iter(models))}; specify different models", param_hint="--model"
        )
    config = reading(context, *models.values())
    items = [
        _Item(file, text)
        for file in files
        for text in _documents(file, config, is_alone=len(files) == 1)
    ]
    if not any(item.text for item in items):
        raise TextError(f"none of the {len(files)} files has a document that is not empty")
    _classify(items, models, are_documents=config.has_documents)
    _print_results(items, config, as_json=as_json, names_files=len(files) > 1)
    best = next(iter(_totals(items)))
    _note_unknown_texts(items)
    distinct = set[str]().union(*(item.text for item in items))
    warn_of_unknown(_unknown_fractions(items, best), models[best], distinct, best)


@dataclass
class _Item:
    """A text or document, and its result; None if it is empty.

    Attributes:
        file: the file that it is in.
        text: the text.
        result: the result.
    """

    file: str
    text: str
    result: "Classification | None" = None


def _documents(file: str, config: TextConfig, *, is_alone: bool) -> list[str]:
    """The documents of a file, or its text, which must not be empty.

    Args:
        file: the file.
        config: how it is read.
        is_alone: whether it is the only file. Of several, a note names one without documents.

    Raises:
        TextError: it is empty.
    """
    from charlm.text.documents import documents_of
    from charlm.text.source_files import shown_name
    from charlm.text.text_files import read_pieces

    name = shown_name(file)
    pieces = read_pieces(file, config, say=note)
    documents = list(chain.from_iterable(documents_of(pieces, config, name)))
    if not any(documents):
        if not config.has_documents:
            raise TextError(f"{name}: the text is empty")
        if is_alone:
            raise TextError(f"{name}: all documents are empty")
        note(f"{name}: all documents are empty")
    return documents


def _classify(
    items: Sequence[_Item], models: Mapping[str, "LanguageModel"], *, are_documents: bool
) -> None:
    """Classify each text that is not empty.

    Raises:
        ModelError: the models cannot be compared.
    """
    from charlm.inference.classification import classify_all

    nonempty = [item for item in items if item.text]
    texts = [item.text for item in nonempty]
    with characters_bar("scoring", len(models) * sum(map(len, texts))) as bar:
        results = classify_all(texts, models, are_documents=are_documents, progress=bar.update)
    for item, result in zip(nonempty, results, strict=True):
        item.result = result


def _print_results(
    items: Sequence[_Item], config: TextConfig, *, as_json: bool, names_files: bool
) -> None:
    """Print each result and, unless as JSON, a table of the models.

    Args:
        items: the texts, with their results.
        config: how they were read.
        as_json: whether to print JSON.
        names_files: whether each row begins with the file.
    """
    are_documents = config.has_documents
    for item in items:
        if as_json:
            source = {"file": item.file} if names_files else {}
            source |= {"line": item.text} if are_documents else {"text": item.file}
            print_json(source | _as_dict(item.result))
        else:
            row = [item.file.translate(ESCAPES)] if names_files else []
            row += [printable(item.result.winner) if item.result else ""]
            if are_documents and (item.result or names_files):
                row += [item.text if config.lines else item.text.translate(ESCAPES)]
            print(as_result("\t".join(row)))
    if not as_json:
        counted = "lines" if config.lines else "documents" if are_documents else "texts"
        _print_table(items, counted if are_documents or names_files else "")


def _note_unknown_texts(items: Sequence[_Item]) -> None:
    """Print the number of texts that have no character known to any model."""
    results = _results(items)
    count = sum(
        all(nll.unknown_characters == nll.characters for nll in result.nlls.values())
        for result in results
    )
    if count:
        warn(
            f"{count:,} of {len(results):,} texts have no character known to any model; "
            "they are assigned to the first model in alphabetical order"
        )


def _unknown_fractions(items: Sequence[_Item], model: str) -> dict[str, float]:
    """The share of each file that a model does not know."""
    from charlm.inference.classification import TextNLL

    totals: dict[str, TextNLL] = {}
    for item in items:
        if item.result:
            totals[item.file] = totals.get(item.file, TextNLL(0, 0, 0)) + item.result.nlls[model]
    return {file: total.unknown_fraction for file, total in totals.items()}


def _results(items: Sequence[_Item]) -> list["Classification"]:
    return [item.result for item in items if item.result]


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


def _totals(items: Sequence[_Item]) -> dict[str, "TextNLL"]:
    """The NLL of all texts under each model, in ascending order."""
    from charlm.inference.classification import TextNLL

    results = _results(items)
    totals = {
        name: sum((each.nlls[name] for each in results), TextNLL(0, 0, 0))
        for name in results[0].nlls
    }
    return dict(sorted(totals.items(), key=lambda item: (item[1].nats, item[0])))


def _print_table(items: Sequence[_Item], counted: str) -> None:
    """Print the models, in ascending order of the NLL of all texts.

    With a row for each of several texts, it goes to stderr, since stdout has only these rows.

    Args:
        items: the texts, with their results.
        counted: what they are in words; empty for a single text.
    """
    results, totals = _results(items), _totals(items)
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
