"""`charlm fill`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.console import as_result, print_rows
from charlm.cli.model_argument import note_unknown, open_bidirectional_model
from charlm.cli.options import BidirectionalModel, Unknown, json_option, option

if TYPE_CHECKING:
    from charlm.inference.filling import Filled

SHOWN = 5  # fillings of a gap in the table


def fill(
    text: Annotated[
        str, typer.Argument(help="Text with a gap in place of each missing character.")
    ],
    model: BidirectionalModel = None,
    gap: Annotated[str, option(help="Character that marks a gap.")] = "_",
    unknown: Unknown = "refuse",
    as_json: Annotated[bool, json_option("FILL", "Print the result as a JSON object.")] = False,
) -> None:
    """Fill the gaps in a text with the most probable characters."""
    language_model, path = open_bidirectional_model(model)
    filled = language_model.fill(text, gap=gap, unknown=unknown)
    _, skipped = language_model.vocabulary.encode(text.replace(gap, ""))
    note_unknown(language_model, skipped)
    if as_json:
        print(json.dumps(_as_dict(filled) | {"model": path}))
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
    rows = {"column": "most probable fillings, with marginal probabilities"}
    for gap in filled.gaps:
        options = [f"{text!r} {100 * p:.1f} %" for text, p in gap.options[:SHOWN]]
        rows[f"{gap.position + 1:,}"] = ", ".join(options)
    print_rows(rows)
