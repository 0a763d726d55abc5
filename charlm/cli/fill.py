"""`charlm fill`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.console import as_result, note, print_json, print_rows
from charlm.cli.model_argument import one_model, one_text, open_model, reading
from charlm.cli.options import (
    AS_TRAINED,
    DECODING,
    NEWEST_BIDIRECTIONAL,
    Unknown,
    json_option,
    model_argument,
    model_option,
    option,
    options_of,
    refuse,
)
from charlm.cli.standard_input import without_last_newline
from charlm.cli.unknown_characters import note_unknown, refuse_unknown
from charlm.text.config import DOCUMENTS, TextConfig

if TYPE_CHECKING:
    from charlm.inference.filling import Filled

SHOWN = 5  # fillings of a gap in the table


@options_of(TextConfig, shown=AS_TRAINED, without=DOCUMENTS)
def fill(
    context: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(
            help="Text with a gap in place of each missing character; - reads standard input, "
            "without a newline at its end.",
            show_default="piped text",
        ),
    ] = None,
    run: Annotated[str | None, model_argument(NEWEST_BIDIRECTIONAL)] = None,
    model: Annotated[str | None, model_option(NEWEST_BIDIRECTIONAL)] = None,
    gap: Annotated[str, option(help="Character that marks a gap.")] = "_",
    unknown: Unknown = "refuse",
    as_json: Annotated[bool, json_option("FILL", "Print the result as a JSON object.")] = False,
    **settings: Any,
) -> None:
    """Fill the gaps in a text with the most probable characters."""
    from charlm.text.source_files import STDIN
    from charlm.text.text_files import converted, read_pieces

    name = one_model(context, [run] if run is not None else [])
    text = one_text([text] if text is not None else [], "charlm fill -")
    if text != STDIN:
        refuse(context, DECODING, "on an argument")
    language_model, path = open_model(name, bidirectional=True)
    refuse_unknown(context, language_model)
    config = reading(context, language_model)
    if text == STDIN:
        text = "".join(without_last_newline(read_pieces(STDIN, config, say=note)))
    filled = language_model.fill(text, gap=gap, unknown=unknown)
    known = "".join(converted([text], config)).replace(gap, "")
    _, skipped = language_model.vocabulary.encode(known)
    note_unknown(language_model, skipped, len(skipped), len(known))
    if as_json:
        print_json(_as_dict(filled) | {"model": path})
        return
    print(as_result(filled.text))
    _print_options(filled)


def _as_dict(filled: "Filled") -> dict[str, object]:
    gaps = [
        {
            "column": gap.position + 1,
            "options": [{"text": text, "probability": p} for text, p in gap.options],
        }
        for gap in filled.gaps
    ]
    return {"text": filled.text, "probability": filled.probability, "gaps": gaps}


def _print_options(filled: "Filled") -> None:
    """Print the most probable fillings of each gap."""
    from charlm.text.characters import shown

    rows = {"column": "most probable fillings, with marginal probabilities"}
    for gap in filled.gaps:
        options = [f"{shown(text)} {100 * p:.1f} %" for text, p in gap.options[:SHOWN]]
        rows[f"{gap.position + 1:,}"] = ", ".join(options)
    print_rows(rows)
