"""`charlm fill`."""

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from charlm.cli.console import stderr
from charlm.cli.model_argument import note_unknown, open_bidirectional_model
from charlm.cli.options import option

if TYPE_CHECKING:
    from charlm.inference.filling import Filled

SHOWN = 5  # of the options for a gap


def fill(
    text: Annotated[
        str,
        typer.Argument(help="The text itself, with a gap in place of each character to be found."),
    ],
    model: Annotated[
        str | None,
        option(help="A .npz or a run's directory.", default="the newest bidirectional run's best"),
    ] = None,
    gap: Annotated[str, option(help="The character that stands for a gap.")] = "_",
    unknown: Annotated[
        Literal["refuse", "skip"],
        option(help="What to do with characters of the text the model has never seen."),
    ] = "refuse",
    as_json: Annotated[
        bool,
        option("--json", envvar="CHARLM_FILL_JSON", help="Print the result as one JSON object."),
    ] = False,
) -> None:
    """Fill the gaps of a text by what is before and what is after them."""
    language_model, path = open_bidirectional_model(model)
    filled = language_model.fill(text, gap=gap, unknown=unknown)
    _, skipped = language_model.vocabulary.encode(text.replace(gap, ""))
    note_unknown(language_model, skipped)
    if as_json:
        print(json.dumps(_as_dict(filled) | {"model": path}))
        return
    print(filled.text)
    _print_options(filled)


def _as_dict(filled: "Filled") -> dict[str, object]:
    gaps = [
        {
            "column": gap.place + 1,
            "options": [{"text": text, "probability": p} for text, p in gap.options],
        }
        for gap in filled.gaps
    ]
    return {"text": filled.text, "probability": filled.probability, "gaps": gaps}


def _print_options(filled: "Filled") -> None:
    """What may stand in each gap, with probabilities."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("column", justify="right", style="bold")
    table.add_column("most probable there, whatever stands in other gaps", overflow="fold")
    for gap in filled.gaps:
        options = [f"{text!r} {100 * p:.1f} %" for text, p in gap.options[:SHOWN]]
        table.add_row(f"{gap.place + 1:,}", Text(", ".join(options)))
    stderr().print(table)
