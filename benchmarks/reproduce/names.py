"""The names of makemore: the held-out NLL per character, the end of a name included.

The split is makemore's rule: a random permutation, of which the last 1,000 lines are the test set.
makemore selects its model on the test set; here another 1,000 lines are held out for that, and the
test set is scored once. The test set is the same for all models and random seeds; it is drawn by
NumPy, and makemore's by PyTorch, so the names differ.

Published: see `benchmarks.fields.names`. makemore publishes no losses of its RNN and GRU, so its
transformer and the models of its lectures stand beside ours. Its default transformer has 4 layers
of 64 channels; it trains with AdamW, learning rate 5e-4 and weight decay 0.01, on 32 names a step.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

from benchmarks import harness
from benchmarks.contenders import ours
from benchmarks.fields.common import lines, split
from benchmarks.fields.names import MOST, PUBLISHED, held_out_size
from benchmarks.harness import Session
from benchmarks.reproduce.common import Source, facts, note, parser, train
from charlm.config import Budget, ModelConfig, TrainConfig

TEXT = Source(
    "names.txt",
    "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
    "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
)
CELLS = ("lstm", "gru")
DROPOUT, EPOCHS, SEQ_LEN, BATCH = 0.0, 7, 64, 32


def main(argv: Sequence[str] | None = None) -> None:
    """Remake the table."""
    options = harness.parse(parser(__doc__, seeds=(0, 1, 2)), argv)
    names = lines(TEXT.find(options))
    with Session("reproduce-names", options) as session:
        known, test = split(names, held_out_size(len(names)))
        budget = Budget(steps=20) if options.quick else Budget(epochs=EPOCHS)
        rows = list[dict[str, Any]]()
        for seed, cell in product(options.random_seeds, CELLS):
            config = TrainConfig(
                SEQ_LEN, BATCH, val_fraction=min(0.5, MOST / len(known)), random_seed=seed
            )
            model = ModelConfig(cell, dropout=DROPOUT)
            trained = train(known, model, config, budget, options.threads)
            row = {
                "model": f"charlm: {cell} {model.layers}x{model.hidden}, dropout {DROPOUT:g}",
                "parameters": f"{trained.start.parameters:,}",
                "random seed": seed,
                "validation": f"{trained.done.nats_per_char:.4f}",
                "nats per character": f"{trained.model.score(test).total.nats_per_char:.4f}",
                "epochs": f"{trained.done.best_step / trained.start.steps_per_epoch:.1f}",
                "seconds": f"{trained.done.seconds:.0f}",
            }
            note(row)
            rows.append(row)
        rows += [{"model": name, "nats per character": loss} for name, loss in PUBLISHED.items()]
        columns = list(rows[0])
        title = f"NLL of {len(test):,} of {len(names):,} names, {budget.epochs or 0:g} epochs"
        harness.table(title, columns, [[row.get(name, "") for name in columns] for row in rows])
        session.facts |= ours.facts() | facts(session, config)
        session.finish(rows)


if __name__ == "__main__":
    main()
