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

from benchmarks import harness
from benchmarks.contenders import ours
from benchmarks.fields.common import lines, split
from benchmarks.fields.names import MOST, PUBLISHED, held_out_size
from benchmarks.harness import Session
from benchmarks.reproduce.common import Row, Source, facts, note, parser, table, train
from charlm.config import Budget, ModelConfig, TrainConfig

TEXT = Source(
    "names.txt",
    "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
    "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
)
CELLS = ("lstm", "gru")
EPOCHS = 7  # more of them overfit


def main(argv: Sequence[str] | None = None) -> None:
    """Remake the table."""
    options = harness.parse(parser(__doc__, seeds=(0, 1, 2)), argv)
    names = lines(TEXT.find(options))
    with Session("reproduce-names", options) as session:
        known, test = split(names, held_out_size(len(names)))
        budget = Budget(steps=20) if options.quick else Budget(epochs=EPOCHS)
        rows = list[Row]()
        for seed, cell in product(options.random_seeds, CELLS):
            config = TrainConfig(val_fraction=min(0.5, MOST / len(known)), random_seed=seed)
            trained = train(known, ModelConfig(cell), config, budget, options.threads)
            assert trained.done.nats_per_char is not None, "there is a validation split"
            row: Row = {
                "model": f"charlm: {cell} 1x{ModelConfig.hidden}",
                "random seed": seed,
                "parameters": trained.start.parameters,
                "best step": trained.done.best_step,
                "steps": trained.done.step,
                "seconds": round(trained.done.seconds),
                "nats per character, validation": trained.done.nats_per_char,
                "test": trained.model.score(test).total.nats_per_char,
            }
            note(row)
            rows.append(row)
        rows += [{"model": name, "test": loss} for name, loss in PUBLISHED.items()]
        table(f"NLL of {len(test):,} of {len(names):,} names, {EPOCHS} epochs of training", rows)
        session.facts |= ours.facts() | facts(session, config)
        session.finish(rows)


if __name__ == "__main__":
    main()
