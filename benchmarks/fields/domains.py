"""Domain names: those that malware generates, ranked by a model that has seen benign ones only.

`--data` is a folder with `benign.txt` and a file `dga-<family>.txt` for each generator, a name a
line. Of the benign names, 2,000 are held out; the model is trained on the others. Then each name is
scored, and the area under the ROC curve (AUC) says how often a name of a family has a higher NLL
than a held-out benign one: per character, or in total. The end of a name counts as a character.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from benchmarks import harness
from benchmarks.fields.common import lines, parse, parser, split, train
from benchmarks.fields.statistics import auc
from benchmarks.harness import Session

HELD_OUT = 2000
TIMED, ROUNDS = 10_000, 5


def main(argv: Sequence[str] | None = None) -> None:
    """Run the field."""
    options = parse(parser(__doc__), argv)
    with Session("fields-domains", options) as session:
        names = list(dict.fromkeys(lines(options.data / "benign.txt")))
        known, benign = split(names, min(HELD_OUT, len(names) // 10), options.random_seed)
        paths = sorted(options.data.glob("dga-*.txt"))
        families = {path.stem.removeprefix("dga-"): lines(path) for path in paths}
        model = train(known, session)
        normal = model.score(benign)
        rows = []
        for family, generated in families.items():
            scores = model.score(generated)
            per_character = auc(scores.nats / scores.predicted, normal.nats / normal.predicted)
            total = auc(scores.nats, normal.nats)
            rows.append((family, f"{len(generated):,}", f"{per_character:.4f}", f"{total:.4f}"))
        timed = [*benign, *(name for each in families.values() for name in each)][:TIMED]
        columns = ["family", "names", "AUC, NLL per character", "AUC, total NLL"]
        title = f"Trained on {len(known):,} benign names, against {len(benign):,} others"
        harness.table(title, columns, rows)
        seconds = statistics.median(_seconds(model.score, timed) for _ in range(ROUNDS))
        session.facts["scoring"] = f"{seconds * TIMED / len(timed):.2f} s for {TIMED:,} names"
        session.finish([dict(zip(columns, row, strict=True)) for row in rows], seconds=seconds)


def _seconds(score: Callable[[list[str]], object], names: list[str]) -> float:
    started = time.perf_counter()
    score(names)
    return time.perf_counter() - started
