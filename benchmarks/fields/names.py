"""First names, beside makemore's published losses.

The split is makemore's rule: a random permutation, of which the last 1,000 lines, at most a tenth,
are the test set. A name can occur twice in the file, so some test names are also training names;
a row of the table leaves those out. Another 1,000 training names are held out for validation.
The NLL per character is in nats, over all characters and ends, as makemore's.

Published: the README of makemore for its default transformer of 200,000 parameters (the lowest
loss on its test set); the notebook `makemore_part5_cnn1` of its lectures (nn-zero-to-hero) for the
others, on a tenth of the names. No losses of its recurrent networks are published.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.fields.common import lines, parse, parser, samples, share, split, train
from benchmarks.harness import Session
from charlm.inference.scoring import Score

MOST, FRACTION = 1000, 0.1  # of the test set
SAMPLES, LONGEST = 10_000, 100
PUBLISHED = {
    "makemore: transformer, 200K parameters": "1.92",
    "makemore lectures: MLP, 12K parameters, 3 characters": "2.105",
    "makemore lectures: hierarchical CNN, 76K parameters, 8 characters": "1.993",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the field."""
    options = parse(parser(__doc__), argv)
    with Session("fields-names", options) as session:
        names = lines(options.data)
        known, test = split(names, held_out_size(len(names)), options.random_seed)
        model = train(known, session, val_fraction=min(0.5, MOST / len(known)))
        distinct = set(known)
        new_test = [name for name in test if name not in distinct]
        drawn = [d.text for d in samples(model, SAMPLES, LONGEST, options.random_seed)]
        unique = share(len(set(drawn)), SAMPLES)
        new = share(sum(name not in distinct for name in drawn), SAMPLES)
        rows = [
            ("charlm", *_figures(model.score(test).total), unique, new),
            ("charlm, test names not in training", *_figures(model.score(new_test).total), "", ""),
            ("bigram counts + 1", *_figures(bigram_score(known, test)), "", ""),
            *((name, loss, "", "", "") for name, loss in PUBLISHED.items()),
        ]
        title = f"{len(known):,} names, {len(test):,} test names, {SAMPLES:,} samples"
        columns = ["", "nats per character", "nats per name", "unique samples", "new samples"]
        harness.table(title, columns, rows)
        session.finish([dict(zip(columns, row, strict=True)) for row in rows])


def held_out_size(count: int) -> int:
    """The size of makemore's test set, given the number of names."""
    return min(MOST, int(count * FRACTION))


def _figures(score: Score) -> tuple[str, str]:
    return f"{score.nats_per_char:.4f}", f"{score.nats_per_document:.3f}"


def bigram_score(known: Sequence[str], test: Sequence[str]) -> Score:
    """The NLL under the counts of pairs of characters, each plus one; "" is before and after."""
    index = {c: k for k, c in enumerate(["\n", *sorted({*"".join(known), *"".join(test)})])}
    V = len(index)

    def counts(names: Sequence[str]) -> NDArray[np.int64]:
        ids = np.array([index[c] for c in "\n" + "\n".join(names) + "\n"])
        return np.bincount(ids[:-1] * V + ids[1:], minlength=V * V).reshape(V, V)

    learned, seen = counts(known) + 1, counts(test)
    nats = -float((seen * np.log(learned / learned.sum(axis=1, keepdims=True))).sum())
    return Score(nats, int(seen.sum()), documents=len(test))
