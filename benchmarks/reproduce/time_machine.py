"""The Time Machine as in the classic edition of Dive into Deep Learning (d2l), chapters 8 and 9.

The text, as there: in each line, whatever is not a letter becomes a single space, white space
around the line is removed, letters become lower case, and the lines are joined with nothing between
them, so the last word of a line and the first one of the next become one. The first 10,000
characters are cut into 32 streams, which are read in order in chunks of 35 steps, for 500 epochs.
The state is carried from chunk to chunk and is zeros at the start of an epoch.

The figure, as there: the perplexity of the training text during the last epoch, exp of the mean
NLL before each step's update. Beside it stands the perplexity of the trained model, which reads the
10,000 characters once more from the first to the last. Nothing is held out: the figure says how
well a model can learn a page by heart, not how well it predicts English.

Differences: d2l starts each epoch at a random one of the first 36 characters, and leaves out the
rest of each stream, for 8 steps per epoch; here an epoch starts at the first character and has 9
steps. d2l takes plain gradient descent with learning rate 1; this takes the defaults of charlm.
"""

import math
import re
from collections.abc import Sequence
from itertools import product

from benchmarks import harness
from benchmarks.contenders import ours
from benchmarks.harness import Session
from benchmarks.reproduce.common import Row, Source, Training, facts, note, parser, table, train
from charlm.config import Budget, ModelConfig, TrainConfig

TEXT = Source(
    "timemachine.txt",
    "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
    "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
)
CHARACTERS, EPOCHS = 10_000, 500
CELLS, HIDDEN = ("rnn", "gru", "lstm"), (256, 512)
# What the PyTorch notebooks of d2l 0.17.5 print, in sections 8.5 and 8.6 (rnn), 9.1 (gru) and 9.2
# (lstm). Where there are two figures: from scratch, and with the layers of PyTorch.
PUBLISHED = {
    ("rnn", 256): "1.3",
    ("rnn", 512): "1.2",
    ("gru", 256): "1.1, 1.0",
    ("lstm", 256): "1.1, 1.0",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Remake the table."""
    own = parser(__doc__)
    own.add_argument("--hidden", type=int, nargs="+", default=list(HIDDEN), help="units (256 512)")
    options = harness.parse(own, argv)
    path = TEXT.find(options)
    with Session("reproduce-time-machine", options) as session:
        text = classic(path.read_text(encoding="utf-8"))[:CHARACTERS]
        budget = Budget(epochs=1 if options.quick else EPOCHS)
        rows = list[Row]()
        for seed, hidden, cell in product(options.random_seeds, options.hidden, CELLS):
            config = TrainConfig(seq_len=35, batch_size=32, val_fraction=0, random_seed=seed)
            trained = train(text, ModelConfig(cell, hidden), config, budget, options.threads)
            row: Row = {
                "model": f"{cell} 1x{hidden}",
                "random seed": seed,
                "published": PUBLISHED.get((cell, hidden), ""),
                "last epoch": last_epoch(trained),
                "trained model": trained.model.perplexity(text),
                "steps": trained.done.step,
                "seconds": round(trained.done.seconds),
            }
            note(row)
            rows.append(row)
        table(f"Training perplexity of {len(text):,} characters, {budget.epochs} epochs", rows)
        session.facts |= ours.facts() | facts(session, config)
        session.finish(rows)


def classic(text: str) -> str:
    """The text as the classic edition of d2l prepares it."""
    lines = (re.sub("[^A-Za-z]+", " ", line) for line in text.split("\n"))
    return "".join(line.strip().lower() for line in lines)


def last_epoch(training: Training) -> float:
    """The perplexity of the training text during the last epoch."""
    steps = training.steps[-round(training.start.steps_per_epoch) :]
    nats = sum(step.nats_per_char * step.characters for step in steps)
    return math.exp(nats / sum(step.characters for step in steps))


if __name__ == "__main__":
    main()
