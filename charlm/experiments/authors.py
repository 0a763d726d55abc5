"""Whose text is it: one small model for each author, and the least surprised one has it.

Claimed: language models, one for each author, tell whose a piece of text is; and the longer it is,
the more surely.

Measured: the authors are the English and the Chinese essays that come with charlm, Python's
reference manual, and the program code of a module of its standard library. The last fifth of each
is held out, and a model is trained on what comes before it. From the held-out part come pieces of
n characters, from places evenly apart, as many for each author; `charlm.classify` gives
each to a model.
The Chinese pieces are the easy ones: their characters alone tell them. A few of the
manual's and the code's occur word for word in what was trained on. Both are those of the Python
that runs this, and the figures differ a little with its version.
"""

import http.client
import inspect
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from charlm.api import train
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.experiments.report import Entry, Line, Picture, Report
from charlm.inference.classification import classify_all
from charlm.language_model import LanguageModel
from charlm.text.datasets import find

BUNDLED = {"English": "ordinary-things", "Chinese": "xunchang-qiwu", "manual": "python-docs"}

CHARACTERS = 42_000  # of each author, at most
TOLD_BY_LETTERS = "Chinese"  # which the others do not have: not in the mean
HELD_OUT = 0.2
LENGTHS = (5, 10, 20, 40, 80)
SHOWN = 20  # characters, of the pieces whose confusions the table shows

CLAIM = (
    "Language models, one for each author, tell whose a text is, and the more surely the longer "
    "it is."
)

Counts = dict[str, dict[str, int]]  # how many pieces of each author went to each model


def run(*, quick: bool = False) -> Report:
    """Train four models and have them classify held-out pieces; quick: small models, few pieces."""
    hidden, steps, pieces = (16, 30, 20) if quick else (128, 600, 200)
    parts = {author: _split(text) for author, text in texts().items()}
    models = {author: _model(seen, hidden, steps) for author, (seen, _) in parts.items()}
    held_out = {author: rest for author, (_, rest) in parts.items()}
    counts = {n: _classified(held_out, models, n, pieces) for n in LENGTHS}
    shares = {author: [counts[n][author][author] / pieces for n in LENGTHS] for author in held_out}
    counted = [each for author, each in shares.items() if author != TOLD_BY_LETTERS]
    means = [float(np.mean(column)) for column in zip(*counted, strict=True)]
    rows: list[tuple[Entry, ...]] = [
        (
            author,
            len(parts[author][0]),
            *map(_percent, shares[author]),
            *(counts[SHOWN][author][to] for to in models),
        )
        for author in held_out
    ]
    blank = ("",) * len(models)
    rows.append((f"mean without {TOLD_BY_LETTERS}", "", *map(_percent, means), *blank))
    columns = [
        "author",
        "characters trained on",
        *(f"right, of {n} characters" for n in LENGTHS),
        *(f"of {SHOWN}, to {author}" for author in models),
    ]
    lines = [Line(author, LENGTHS, share) for author, share in shares.items()]
    picture = Picture("characters of a piece", "share given to its author", lines)
    return Report(CLAIM, columns, rows, picture, finding(means, counts[SHOWN], pieces))


def texts() -> dict[str, str]:
    """Some text of each author, by name: lines without indentation or empty ones."""
    found = {author: find(name).source.fetch().decode() for author, name in BUNDLED.items()}
    found["code"] = inspect.getsource(http.client)
    return {author: _plain(text)[:CHARACTERS] for author, text in found.items()}


def _plain(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "".join(line + "\n" for line in lines if line)


def _split(text: str) -> tuple[str, str]:
    """What a model is trained on, and the last part, which is held out."""
    edge = round(len(text) * (1 - HELD_OUT))
    return text[:edge], text[edge:]


def _model(text: str, hidden: int, steps: int) -> LanguageModel:
    config = TrainConfig(seq_len=32, batch_size=16)
    return train(text, ModelConfig("gru", hidden, dropout=0.2), config, Budget(steps=steps))


def _pieces(text: str, length: int, count: int) -> list[str]:
    """So many pieces of a text, from places evenly apart."""
    starts = np.linspace(0, len(text) - length, count).astype(int)
    return [text[start : start + length] for start in starts]


def _classified(
    held_out: Mapping[str, str], models: Mapping[str, LanguageModel], length: int, count: int
) -> Counts:
    """How many pieces of that length, of each author, went to each model."""
    counts = {}
    for author, text in held_out.items():
        winners = [each.winner for each in classify_all(_pieces(text, length, count), models)]
        counts[author] = {to: winners.count(to) for to in models}
    return counts


def _percent(share: float) -> str:
    return f"{share:.1%}"


def finding(means: list[float], counts: Counts, pieces: int) -> str:
    """Whether the share of pieces that find their author rises with their length."""
    chance = 1 / (len(counts) - 1)
    wrong = {(a, b): n for a in counts for b, n in counts[a].items() if a != b}
    (author, other), most = max(wrong.items(), key=lambda pair: pair[1])
    rises = all(b >= a for a, b in pairwise(means)) and means[-1] > means[0]
    verdict = "The figures show the claim" if rises and means[0] > chance else "No clear claim"
    return (
        f"{verdict}: {means[0]:.0%} of the pieces of {LENGTHS[0]} characters go to their author's "
        f"model, {means[-1]:.0%} of those of {LENGTHS[-1]}; by chance it would be {chance:.0%}. "
        f"{TOLD_BY_LETTERS} is told by its letters alone and does not count here. "
        f"Of {SHOWN} characters, the commonest mistake is to give {author} to {other}: {most} of "
        f"{pieces} pieces."
    )
