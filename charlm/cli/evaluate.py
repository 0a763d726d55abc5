"""`charlm eval`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.console import note, print_rows, stdout
from charlm.cli.model_argument import open_model
from charlm.cli.options import ModelArgument, json_option, option, options_of, text_config
from charlm.cli.progress_bars import characters_bar, counted
from charlm.cli.tables import figure
from charlm.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.scoring import Score

SELECTED = ", on which it was selected"
HELD_OUT = f"the validation split of the model's corpus{SELECTED}"


@options_of(TextConfig)
def evaluate(
    context: typer.Context,
    model: ModelArgument = None,
    text: Annotated[
        str | None,
        typer.Argument(
            help="Text file to score; - reads standard input. The model can be omitted.",
            show_default="the validation split of the model's corpus",
        ),
    ] = None,
    streams: Annotated[
        int,
        option(
            help="Number of parallel streams to split the text into. Each starts from a state of "
            "zeros; with 1, every character is scored given all preceding characters.",
            check=whole(1),
            kind=int,
        ),
    ] = 1,
    as_json: Annotated[bool, json_option("EVAL", "Print the results as a JSON object.")] = False,
    **settings: Any,
) -> None:
    """Evaluate a model on a text: perplexity and negative log-likelihood per character."""
    from charlm.text.text_files import read_pieces

    model, text = _model_and_text(model, text)
    language_model, path = open_model(model)
    pieces = (
        language_model.held_out()
        if text is None
        else read_pieces(
            text, text_config(context, language_model.text_config.for_other_files), say=note
        )
    )
    name = HELD_OUT if text is None else text
    with characters_bar("scoring") as bar:
        score = language_model.score(counted(pieces, bar), streams=streams, progress=bar.update)
    if as_json:
        print(json.dumps(_results(score) | asdict(score) | {"model": path, "text": name}))
        return
    has_unk = language_model.vocabulary.unk_id is not None
    _print_table(score, path, name.removesuffix(SELECTED), has_unk=has_unk)
    if text is None:
        note("the model was selected on this split; expect a higher perplexity on new text")


def _model_and_text(first: str | None, second: str | None) -> tuple[str | None, str | None]:
    """Assign the arguments: a `.npz` file or a directory is the model, anything else the text."""
    from charlm.training.run_directory import is_model_path

    if first is None or is_model_path(first):
        return first, second
    if second is None:
        return None, first
    raise typer.BadParameter(
        f"the first of two arguments must be a .npz file or a run directory, not {first!r}"
    )


def _results(score: "Score") -> dict[str, float]:
    return {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "pseudo_perplexity" if score.lookahead else "perplexity": score.perplexity,
    }


def _context(score: "Score") -> str:
    """The context in which each character was scored."""
    context = "all preceding characters"
    if score.streams > 1:
        context = f"the preceding characters of its stream ({score.streams} streams)"
    elif score.parts > 1:
        context += f" (read in {score.parts} parallel parts, {score.reread} of them twice)"
    if score.lookahead:
        context += f", and at least {score.lookahead} following characters, except near the end"
    return context


def _print_table(score: "Score", model: str, text: str, *, has_unk: bool) -> None:
    values = score.perplexity, score.bits_per_char, score.nats_per_char
    perplexity, bits, nats = (figure(value, "{:.4f}") for value in values)
    unknown = f"{score.unknown_characters:,}"
    if score.unknown_characters:
        unknown += ", scored as <unk>" if has_unk else ", skipped"
    rows = {
        "pseudo-perplexity" if score.lookahead else "perplexity": perplexity,
        "negative log-likelihood": f"{bits} bits per character ({nats} nats)",
        "characters scored": f"{score.characters:,}",
        "unknown characters": unknown,
        "context": _context(score),
        "text": text,
        "model": model,
    }
    print_rows(rows, to=stdout())
