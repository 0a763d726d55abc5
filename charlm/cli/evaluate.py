"""`charlm eval`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.console import note, stderr
from charlm.cli.model_argument import open_model
from charlm.cli.options import Newlines, newlines_option, option
from charlm.cli.progress_bars import characters_bar, counted

if TYPE_CHECKING:
    from charlm.inference.scoring import Score


SELECTED = ", on which it was selected"
HELD_OUT = f"the held-out part of its corpus{SELECTED}"


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(help="A .npz or a run's directory.", show_default="the newest run's best"),
    ] = None,
    text: Annotated[
        str | None,
        typer.Argument(
            help="The text to score, - for standard input; it may be the only argument.",
            show_default="what the model's corpus held out",
        ),
    ] = None,
    streams: Annotated[
        int,
        option(
            help="At how many places to read the text at once, each from an empty memory; "
            "with 1 every character is scored given all the text before it.",
            min=1,
        ),
    ] = 1,
    encoding: Annotated[str, option(help="The encoding of the text.")] = "utf-8",
    newlines: Annotated[Newlines, newlines_option()] = "keep",
    as_json: Annotated[
        bool,
        option("--json", envvar="CHARLM_EVAL_JSON", help="Print the figures as one JSON object."),
    ] = False,
) -> None:
    """Measure how surprised a model is by a text: perplexity, bits and nats a character."""
    from charlm.text.text_files import read_pieces

    model, text = _model_and_text(model, text)
    language_model, path = open_model(model)
    pieces = (
        language_model.held_out()
        if text is None
        else read_pieces(text, encoding, newlines=newlines, say=note)
    )
    name = HELD_OUT if text is None else text
    with characters_bar("scoring") as bar:
        score = language_model.score(counted(pieces, bar), streams=streams, progress=bar.update)
    if as_json:
        print(json.dumps(_figures(score) | asdict(score) | {"model": path, "text": name}))
        return
    has_unk = language_model.vocabulary.unk_id is not None
    _print_table(score, path, name.removesuffix(SELECTED), has_unk=has_unk)
    if text is None:
        note("The model was selected on this part: on new text it does a little worse.")


def _model_and_text(first: str | None, second: str | None) -> tuple[str | None, str | None]:
    """Sort the arguments: a `.npz` or a directory is the model, anything else the text."""
    from charlm.training.run_directory import is_model_path

    if first is None or is_model_path(first):
        return first, second
    if second is None:
        return None, first
    raise typer.BadParameter(f"of two, the first is a .npz or a run's directory, not {first!r}")


def _figures(score: "Score") -> dict[str, float]:
    return {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "pseudo_perplexity" if score.lookahead else "perplexity": score.perplexity,
    }


def _context(score: "Score") -> str:
    """What each character was given."""
    context = "all the text before it"
    if score.streams > 1:
        context = f"its part of the text, read as {score.streams} streams from empty memories"
    elif score.parts > 1:
        context += f" (read side by side in {score.parts} parts, {score.reread} of them again)"
    if score.lookahead:
        context += f", and {score.lookahead} characters or more after it, where it has them"
    return context


def _print_table(score: "Score", model: str, text: str, *, has_unk: bool) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    unknown = "unknown, scored as one sign" if has_unk else "unknown, passed over"
    rows = {
        "pseudo-perplexity" if score.lookahead else "perplexity": f"{score.perplexity:.4f}",
        "bits a character": f"{score.bits_per_char:.4f}",
        "nats a character": f"{score.nats_per_char:.4f}",
        "characters scored": f"{score.characters:,}",
        unknown: f"{score.unknown_characters:,}",
        "each one given": _context(score),
        "text": text,
        "model": model,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    stderr().print(table)
