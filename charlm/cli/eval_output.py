"""What `charlm eval` prints: tables and JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from charlm.cli.console import print_rows, print_table, stdout
from charlm.cli.tables import figure
from charlm.cli.unknown_characters import count_and_percent

if TYPE_CHECKING:
    from charlm.inference.scoring import Score

SELECTED = ", on which it was selected"


def as_dict(
    scores: Sequence["Score"], names: Sequence[str], models: Sequence[str], *, are_several: bool
) -> dict[str, Any]:
    """The results of a text; if several were given, the total and the results of each."""
    texts = [
        _results(score, models) | {"text": name} for score, name in zip(scores, names, strict=True)
    ]
    return _results(total_of(scores), models) | {"texts": texts} if are_several else texts[0]


def _results(score: "Score", models: Sequence[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        _name_of_perplexity(score): score.perplexity,
    }
    totals = asdict(replace(score, dynamic=None, models=()))
    for name in ("blocks", "dynamic", "models"):  # which are for other figures
        del totals[name]
    if score.documents:
        pseudo = "pseudo_" * bool(score.lookahead)
        figures[f"{pseudo}nats_per_document"] = score.nats_per_document
        figures[f"{pseudo}word_perplexity"] = score.word_perplexity
    else:  # words are counted in documents only
        del totals["documents"], totals["words"]
    more = {"unknown_fraction": score.unknown_fraction, "interval": _interval(score)}
    return figures | totals | more | _dynamic(score) | _models(score, models)


def _dynamic(score: "Score") -> dict[str, Any]:
    """The figures of dynamic evaluation, under a key of their own; empty if there are none."""
    return {"dynamic": _figures(score.dynamic)} if score.dynamic else {}


def _models(score: "Score", names: Sequence[str]) -> dict[str, Any]:
    """The figures of each of several models, under a key of their own; empty if there is one."""
    each = zip(names, score.models, strict=True) if score.models else ()
    models = [{"model": name} | _figures(model) for name, model in each]
    return {"models": models} if models else {}


def _figures(score: "Score") -> dict[str, Any]:
    """The figures that are reported beside those of a text."""
    return {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        _name_of_perplexity(score): score.perplexity,
        "nats": score.nats,
        "interval": _interval(score),
    }


def _interval(score: "Score") -> dict[str, Any] | None:
    """The 95 % confidence intervals of the figures per character; None if there are none."""
    from charlm.inference.scoring import perplexity

    if score.interval is None:
        return None
    return {
        "blocks": score.blocks.count,
        "nats_per_char": score.interval,
        "bits_per_char": [nats / math.log(2) for nats in score.interval],
        _name_of_perplexity(score): [perplexity(nats) for nats in score.interval],
    }


def _shown_interval(score: "Score") -> str:
    """The interval of the perplexity, in as many digits as its width justifies."""
    from charlm.inference.scoring import perplexity

    if score.interval is None:
        return ""
    low, high = map(perplexity, score.interval)
    width = high - low
    digits = 4 if width < 0.01 else 3 if width < 0.1 else 2
    return " (95 % interval {} to {})".format(
        *(figure(value, f"{{:.{digits}f}}") for value in (low, high))
    )


def total_of(scores: Sequence["Score"]) -> "Score":
    """The score of all texts."""
    return sum(scores[1:], scores[0])


def _name_of_perplexity(score: "Score") -> str:
    return "pseudo_perplexity" if score.lookahead else "perplexity"


def _name_of_nll(score: "Score") -> str:
    return "pseudo-NLL" if score.lookahead else "negative log-likelihood"


def context(scores: Sequence["Score"]) -> str:
    """The context in which each character was scored; the parts are those of a single text."""
    score, is_single = total_of(scores), len(scores) == 1
    context = "all preceding characters"
    if score.documents:
        context += " of its document"
    elif not is_single:
        context += " of its text"
    if score.cold:
        context = f"at most {score.cold:,} characters (windows, each from a state of zeros)"
    elif score.streams > 1:
        context = f"the preceding characters of its stream ({score.streams} streams)"
    elif score.parts > 1 and is_single and not score.documents:
        twice = f", {score.reread} of them twice" * bool(score.reread)
        context += f" (read in {score.parts} parallel parts{twice})"
    if score.lookahead:
        context += f", and at least {score.lookahead} following characters, except near the end"
    return context


def print_results(
    scores: Sequence["Score"], names: Sequence[str], how: str, model: Mapping[str, str]
) -> None:
    """Print the results of a text; of several, a row for each and the total.

    Args:
        scores: the score of each text.
        names: the name of each.
        how: what the model does with unknown characters.
        model: the rows that describe the model.
    """
    total = total_of(scores)
    text = names[0].removesuffix(SELECTED)
    perplexity = _name_of_perplexity(total).replace("_", "-")
    if len(scores) > 1:
        text = f"all {len(scores)} texts"
        _print_table([*zip(names, scores, strict=True), ("total", total)], perplexity)
    unknown = count_and_percent(total.unknown_characters, total.unknown_fraction)
    unknown += f", {how}" * bool(total.unknown_characters)
    not_comparable = " (not comparable with a perplexity)" * bool(total.lookahead)
    rows = {
        perplexity: f"{_shown_perplexity(total)}{not_comparable}",
        _name_of_nll(total): _shown_nll(total),
        **_rows_of_dynamic(total),
        "characters scored": f"{total.characters:,}",
        **_rows_of_documents(total),
        "unknown characters": unknown,
        "context": context(scores),
        "text": text,
    }
    print_rows({**rows, **model}, to=stdout())


def _shown_perplexity(score: "Score") -> str:
    return figure(score.perplexity, "{:.4f}") + _shown_interval(score)


def _shown_nll(score: "Score") -> str:
    bits, nats = (figure(value, "{:.4f}") for value in (score.bits_per_char, score.nats_per_char))
    return f"{bits} bits per character ({nats} nats)"


def _rows_of_dynamic(score: "Score") -> dict[str, str]:
    if score.dynamic is None:
        return {}
    return {"dynamic evaluation": _shown_figures(score.dynamic)}


def rows_of_models(score: "Score", names: Sequence[str]) -> dict[str, str]:
    """The rows of each of several models."""
    rows = zip(names, score.models, strict=True)
    return {
        f"model {n}": f"{name}: {_shown_figures(each)}" for n, (name, each) in enumerate(rows, 1)
    }


def _shown_figures(score: "Score") -> str:
    """The figures that are reported beside those of a text, in one row."""
    name = _name_of_perplexity(score).replace("_", "-")
    return f"{name} {_shown_perplexity(score)}, {_shown_nll(score)}"


def _rows_of_documents(score: "Score") -> dict[str, str]:
    if not score.documents:
        return {}
    nats, words = score.nats_per_document, figure(score.word_perplexity, "{:.4f}")
    words = f"{words} ({score.words:,} words)" if score.words else "none, without words"
    nll, pseudo = ("pseudo-NLL ", "pseudo-") if score.lookahead else ("", "")
    return {
        "documents": f"{score.documents:,}, whose ends count as characters",
        f"{nll}per document": f"{nats / math.log(2):.4f} bits ({nats:.4f} nats)",
        f"{pseudo}perplexity per word": words,
    }


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
