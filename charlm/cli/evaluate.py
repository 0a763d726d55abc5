"""`charlm eval`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.console import note, print_json, print_rows, print_table, stdout
from charlm.cli.model_argument import (
    listed_files,
    one_model,
    open_model,
    reading,
    texts_and_models,
    trained_on,
)
from charlm.cli.options import (
    AS_TRAINED,
    READING,
    json_option,
    model_option,
    option,
    options_of,
    refuse,
)
from charlm.cli.progress_bars import characters_bar, counted
from charlm.cli.standard_input import piped_text
from charlm.cli.tables import figure
from charlm.cli.unknown_characters import collected, count_and_percent, treatment, warn_of_unknown
from charlm.config import TextConfig
from charlm.errors import TextError
from charlm.system.callbacks import Advance

if TYPE_CHECKING:
    from charlm.inference.scoring import Score
    from charlm.language_model import LanguageModel

SELECTED = ", on which it was selected"
HELD_OUT = f"the validation split of the model's corpus{SELECTED}"


@options_of(TextConfig, shown=AS_TRAINED)
def evaluate(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|MODEL",
            help="Text files (including .gz and .xz), directories or glob patterns; each file is "
            "scored as a text of its own; - reads standard input. One of the arguments can be the "
            "model, as for --model.",
            show_default="piped text, or the validation split of the model's corpus",
        ),
    ] = None,
    model: Annotated[str | None, model_option()] = None,
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
    """Evaluate a model on texts: perplexity and negative log-likelihood per character."""
    from charlm.text.source_files import expand, shown_name
    from charlm.text.text_files import read_pieces

    sources, models = texts_and_models(texts or [])
    name = one_model(context, models)
    texts = expand(sources or piped_text("charlm eval -"))
    if not texts:
        refuse(context, READING, "without a text to score")
    language_model, path = open_model(name)
    if texts:
        config = reading(context, language_model)
        pieces = [read_pieces(text, config, say=note) for text in texts]
    else:
        pieces = [language_model.held_out()]
    names = texts or [HELD_OUT]
    distinct: set[str] = set()
    pieces = [collected(each, distinct) for each in pieces]
    with characters_bar("scoring") as bar:
        scores = [
            _score(language_model, counted(each, bar), name, streams, bar.update)
            for name, each in zip(names, pieces, strict=True)
        ]
    corpus, how = trained_on(language_model), treatment(language_model)
    if as_json:
        about = {"model": path, "trained_on": corpus}
        print_json(_as_dict(scores, names) | about)
    else:
        rows = {"model": path, "trained on": listed_files(corpus)}
        _print_results(scores, [*map(shown_name, names)], how, rows)
        if not texts:
            note("the model was selected on this split; expect a higher figure on new text")
    fractions = {n: s.unknown_fraction for n, s in zip(texts, scores, strict=False)}
    warn_of_unknown(fractions, language_model, distinct)


def _score(
    model: "LanguageModel", pieces: Iterable[str], name: str, streams: int, progress: Advance
) -> "Score":
    """Score a text; every error names it."""
    from charlm.text.source_files import shown_name

    is_read = False

    def read() -> Iterator[str]:
        nonlocal is_read
        yield from pieces
        is_read = True

    try:
        return model.score(read(), streams=streams, progress=progress)
    except TextError as error:
        if not is_read:  # the error of a file names it
            raise
        raise TextError(f"{shown_name(name)}: {error}") from error


def _as_dict(scores: Sequence["Score"], names: Sequence[str]) -> dict[str, Any]:
    """The results of a text; of several, the total and the results of each."""
    if len(scores) == 1:
        return _results(scores[0]) | {"text": names[0]}
    texts = [_as_dict([score], [name]) for score, name in zip(scores, names, strict=True)]
    return _results(_total(scores)) | {"texts": texts}


def _results(score: "Score") -> dict[str, Any]:
    figures = {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        _name_of_perplexity(score): score.perplexity,
    }
    return figures | asdict(score) | {"unknown_fraction": score.unknown_fraction}


def _total(scores: Sequence["Score"]) -> "Score":
    return sum(scores[1:], scores[0])


def _name_of_perplexity(score: "Score") -> str:
    return "pseudo_perplexity" if score.lookahead else "perplexity"


def _context(scores: Sequence["Score"]) -> str:
    """The context in which each character was scored; the parts are those of a single text."""
    score, is_single = _total(scores), len(scores) == 1
    context = "all preceding characters" + " of its text" * (not is_single)
    if score.streams > 1:
        context = f"the preceding characters of its stream ({score.streams} streams)"
    elif score.parts > 1 and is_single:
        twice = f", {score.reread} of them twice" * bool(score.reread)
        context += f" (read in {score.parts} parallel parts{twice})"
    if score.lookahead:
        context += f", and at least {score.lookahead} following characters, except near the end"
    return context


def _print_results(
    scores: Sequence["Score"], names: Sequence[str], how: str, model: Mapping[str, str]
) -> None:
    """Print the results of a text; of several, a row for each and the total.

    Args:
        scores: the score of each text.
        names: the name of each.
        how: what the model does with unknown characters.
        model: the rows that describe the model.
    """
    total = _total(scores)
    text = names[0].removesuffix(SELECTED)
    perplexity = _name_of_perplexity(total).replace("_", "-")
    if len(scores) > 1:
        text = f"all {len(scores)} texts"
        _print_table([*zip(names, scores, strict=True), ("total", total)], perplexity)
    values = total.perplexity, total.bits_per_char, total.nats_per_char
    shown, bits, nats = (figure(value, "{:.4f}") for value in values)
    unknown = count_and_percent(total.unknown_characters, total.unknown_fraction)
    unknown += f", {how}" * bool(total.unknown_characters)
    not_comparable = " (not comparable with a perplexity)" * bool(total.lookahead)
    rows = {
        perplexity: f"{shown}{not_comparable}",
        "negative log-likelihood": f"{bits} bits per character ({nats} nats)",
        "characters scored": f"{total.characters:,}",
        "unknown characters": unknown,
        "context": _context(scores),
        "text": text,
    }
    print_rows({**rows, **model}, to=stdout())


def _print_table(scores: Sequence[tuple[str, "Score"]], perplexity: str) -> None:
    """Print a row for each text."""
    headings = ["text", perplexity, "bits per character", "characters scored", "unknown"]
    rows = [
        [
            name,
            figure(score.perplexity, "{:.4f}"),
            figure(score.bits_per_char, "{:.4f}"),
            f"{score.characters:,}",
            count_and_percent(score.unknown_characters, score.unknown_fraction),
        ]
        for name, score in scores
    ]
    print_table(headings, rows, to=stdout())
