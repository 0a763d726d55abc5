"""Authorship attribution with one language model per author.

Claim: the author of a piece of text is the one whose language model assigns it the lowest negative
log-likelihood, and accuracy increases with the length of the piece.

The authors are the English and the Chinese essays that come with charlm, the Python reference
manual, and the source code of a module of the standard library. The last fifth of each text is
held out, and one model per author is trained on the rest. The same number of pieces of n
characters, evenly spaced in the held-out text, is classified for each author with
`charlm.classify`. Chinese is easy because its characters alone identify it. Some pieces of the
manual and the code also occur in the training text. The manual and the code are those of the
running Python, so the figures differ slightly between its versions.
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

CHARACTERS = 42_000  # per author, at most
EASY = "Chinese"  # identified by its characters alone, so not in the mean
HELD_OUT = 0.2
LENGTHS = (5, 10, 20, 40, 80)
SHOWN = 20  # length of the pieces in the confusion matrix
PERCENT = "{:.1%}".format

Counts = dict[str, dict[str, int]]  # confusion matrix: pieces by author and chosen model


def run(*, quick: bool = False) -> Report:
    """Train four models and classify held-out pieces; quick: small models, few pieces."""
    hidden, steps, pieces = (16, 30, 20) if quick else (128, 600, 200)
    parts = {author: _split(text) for author, text in texts().items()}
    models = {author: _model(seen, hidden, steps) for author, (seen, _) in parts.items()}
    held_out = {author: rest for author, (_, rest) in parts.items()}
    counts = {n: _classified(held_out, models, n, pieces) for n in LENGTHS}
    shares = {author: [counts[n][author][author] / pieces for n in LENGTHS] for author in held_out}
    counted = [each for author, each in shares.items() if author != EASY]
    means = [float(np.mean(column)) for column in zip(*counted, strict=True)]
    rows: list[list[Entry]] = [
        [author, len(seen), *map(PERCENT, shares[author]), *counts[SHOWN][author].values()]
        for author, (seen, _) in parts.items()
    ]
    rows.append([f"mean without {EASY}", "", *map(PERCENT, means), *[""] * len(models)])
    columns = [
        "author",
        "training characters",
        *(f"accuracy, {n} characters" for n in LENGTHS),
        *(f"{SHOWN} characters, as {author}" for author in models),
    ]
    lines = [Line(author, LENGTHS, share) for author, share in shares.items()]
    return Report(
        claim="One language model per author identifies authors, more accurately on longer texts.",
        columns=columns,
        rows=rows,
        picture=Picture("length of the piece in characters", "accuracy", lines),
        finding=finding(means, counts[SHOWN], pieces),
    )


def texts() -> dict[str, str]:
    """The text of each author, without indentation and empty lines."""
    found = {author: find(name).source.fetch().decode() for author, name in BUNDLED.items()}
    found["code"] = inspect.getsource(http.client)
    return {author: _plain(text)[:CHARACTERS] for author, text in found.items()}


def _plain(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "".join(line + "\n" for line in lines if line)


def _split(text: str) -> tuple[str, str]:
    """The training text and the held-out text."""
    edge = round(len(text) * (1 - HELD_OUT))
    return text[:edge], text[edge:]


def _model(text: str, hidden: int, steps: int) -> LanguageModel:
    config = TrainConfig(seq_len=32, batch_size=16)
    return train(text, ModelConfig("gru", hidden, dropout=0.2), config, Budget(steps=steps))


def _pieces(text: str, length: int, count: int) -> list[str]:
    """Evenly spaced pieces of a text."""
    starts = np.linspace(0, len(text) - length, count).astype(int)
    return [text[start : start + length] for start in starts]


def _classified(
    held_out: Mapping[str, str], models: Mapping[str, LanguageModel], length: int, count: int
) -> Counts:
    """The confusion matrix for pieces of one length."""
    counts = {}
    for author, text in held_out.items():
        winners = [each.winner for each in classify_all(_pieces(text, length, count), models)]
        counts[author] = {to: winners.count(to) for to in models}
    return counts


def finding(means: list[float], counts: Counts, pieces: int) -> str:
    """Whether accuracy is above chance and increases with the length of the pieces."""
    chance = 1 / (len(counts) - 1)
    wrong = {(a, b): n for a in counts for b, n in counts[a].items() if a != b}
    (author, other), most = max(wrong.items(), key=lambda pair: pair[1])
    rises = all(b >= a for a, b in pairwise(means)) and means[-1] > means[0]
    verdict = "holds" if rises and means[0] > chance else "does not hold"
    return (
        f"The claim {verdict}: accuracy is {means[0]:.0%} for pieces of {LENGTHS[0]} characters "
        f"and {means[-1]:.0%} for {LENGTHS[-1]}; chance level is {chance:.0%}. "
        f"{EASY} is not included, because its characters alone identify it. The most frequent "
        f"error at {SHOWN} characters is {author} classified as {other}: {most} of {pieces} pieces."
    )
