"""`charlm proofread`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import real
from charlm.cli.console import note, plural, print_json, print_result
from charlm.cli.model_argument import one_model, one_text, open_model, reading, texts_and_models
from charlm.cli.options import (
    AS_TRAINED,
    NEWEST_BIDIRECTIONAL,
    json_option,
    model_option,
    option,
    options_of,
    refuse,
)
from charlm.cli.progress_bars import characters_bar
from charlm.cli.tables import figure
from charlm.cli.unknown_characters import note_unknown
from charlm.config import DEFAULT_ODDS
from charlm.errors import in_short
from charlm.text.config import DOCUMENTS, TextConfig

if TYPE_CHECKING:
    from charlm.inference.proofreading import Misfit


READ = ("lines", "files")  # the kinds of documents whose text is that of the file
RECORDS = tuple(name for name in DOCUMENTS if name not in READ)


@options_of(TextConfig, shown=AS_TRAINED, without=RECORDS)
def proofread(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|MODEL",
            help="Text file; - reads standard input. Another argument can be the model, as for "
            "--model.",
            show_default="piped text",
        ),
    ] = None,
    model: Annotated[str | None, model_option(NEWEST_BIDIRECTIONAL)] = None,
    odds: Annotated[
        float,
        option(
            help="Minimum ratio of the suggested to the actual character's probability.",
            check=real(1, bounds="()"),
            kind=float,
        ),
    ] = DEFAULT_ODDS,
    as_json: Annotated[
        bool, json_option("PROOFREAD", "Print each finding as a line of JSON.")
    ] = False,
    **settings: Any,
) -> None:
    """List the characters of a text that are improbable given the text on both sides.

    The text consists of lines, or is one document, if the model was trained on documents.
    """
    from charlm.text.text_files import read_text

    files, models = texts_and_models(texts or [])
    name = one_model(context, models)
    file = one_text(files, "charlm proofread -")
    language_model, _ = open_model(name, bidirectional=True)
    has_documents = language_model.text_config.has_documents
    if not has_documents:
        refuse(context, READ, "on a model that was trained on a text")
    config = reading(context, language_model)
    _check_kind(config)
    text = read_text(file, config, say=note)
    if has_documents and not config.lines:
        text = text.rstrip("\r\n")  # which are no part of the document
    ids, unknown = language_model.vocabulary.encode(text)
    found = 0
    with characters_bar("proofreading", len(ids)) as bar:
        for misfit in language_model.proofread(text, odds=odds, progress=bar.update):
            found += 1
            if as_json:
                print_json(asdict(misfit))
            else:
                print_result(f"{file}:{_line(misfit)}")
    counts = f"{plural(found, 'improbable character')} among {len(ids):,}"
    note(f"found {counts}; set the threshold with --odds")
    note_unknown(language_model, unknown, len(unknown), len(text))


def _check_kind(config: TextConfig) -> None:
    """Check that the text to be proofread is not a table of records, or cut by separators.

    Raises:
        BadParameter: it is.
    """
    for name in RECORDS:
        if value := getattr(config, name):
            raise typer.BadParameter(
                f"the model reads documents by --{name} {in_short(value)}, which proofread cannot; "
                "specify --lines for a text with a document on each line, or --files for a text "
                "that is one document"
            )


def _line(misfit: "Misfit") -> str:
    """The position, the character, the suggestion and the context of a finding."""
    from charlm.text.characters import listed_characters, shown

    character = listed_characters(misfit.character, misfit.suggestion)  # which may look the same
    odds = figure(misfit.odds, "{:,.0f}" if misfit.odds >= 10 else "{:.1f}")
    return (
        f"{misfit.line}:{misfit.column}: {character} -> {shown(misfit.suggestion)}, "
        f"{odds} times as probable: "
        f"{misfit.before}[{misfit.character}]{misfit.after}"
    )
