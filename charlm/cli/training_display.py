"""The display of training: a bar and a table on stderr, JSON Lines on stdout, or nothing."""

import json
import math
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from charlm.cli.console import note, print_rows, stderr, utf8
from charlm.training.events import Done, Eval, Record, Rollback, Start, Step
from charlm.training.loop import MAX_ROLLBACKS
from charlm.training.run_directory import RunDirectory

SMOOTHING = 0.95  # of the moving averages in the bar
CURVE_WIDTH = 40
OVERFITTED = 0.6  # of the steps; a best model before that suggests overfitting
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
BAR = "{percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt}{postfix} {remaining} left"


class Silent:
    """Show nothing."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def show(self, record: Record) -> None:
        """Show a record."""

    def note(self, message: str) -> None:
        """Print a note."""

    def close(self) -> None:
        """Remove the bar."""


class JsonLines(Silent):
    """Print each record as a line of JSON."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def note(self, message: str) -> None:
        if not self.quiet:
            note(message)

    def show(self, record: Record) -> None:
        print(json.dumps(record.as_dict()), flush=True)


class Terminal(Silent):
    """Show a bar, a row for each evaluation, and a summary."""

    def note(self, message: str) -> None:
        self.bar.clear()
        note(message)

    def __init__(self) -> None:
        from tqdm import tqdm

        self.console = stderr()
        self.bar = tqdm(disable=True)
        self.run, self.is_bidirectional = "", False
        self.loss = self.speed = 0.0

    def show(self, record: Record) -> None:
        match record:
            case Start():
                self._start(record)
            case Step():
                self._step(record)
            case Eval():
                self._eval(record)
            case Rollback():
                self._rollback(record)
            case Done():
                self.close()
                self._done(record)

    def close(self) -> None:
        self.bar.close()

    def _start(self, start: Start) -> None:
        from tqdm import tqdm

        model, train = start.model, start.train
        self.run, self.is_bidirectional = str(start.run), model["bidirectional"]
        epochs = start.steps / start.steps_per_epoch
        self._print(
            f"{start.corpus}: {start.train_characters:,} training and "
            f"{start.val_characters:,} validation characters, vocabulary of {start.vocabulary:,}"
        )
        if start.rare_characters:
            self._print(
                f"<unk> replaces all characters that occur fewer than {train['min_count']:,} "
                f"times each, {start.rare_characters:,} occurrences in total"
            )
        self._print(
            f"{_shape(model)}: {start.parameters:,} parameters; {start.steps:,} steps of "
            f"{start.batch_size} x {train['seq_len']} characters, {epochs:.3g} epochs"
        )
        if self.is_bidirectional:
            self._print(
                "ppl is the pseudo-perplexity given the text on both sides; sample shows the most "
                "probable character at each position of the validation text"
            )
        self._print(self._row("step", "train ppl", "val ppl", "bits", "lr", "|grad|", "sample"))
        self.bar = tqdm(
            total=start.steps, initial=start.step, bar_format=BAR, leave=False, disable=None
        )

    def _step(self, step: Step) -> None:
        speed = step.characters / step.seconds
        keep = SMOOTHING if self.speed else 0.0
        self.loss = keep * self.loss + (1 - keep) * step.nats_per_char
        self.speed = keep * self.speed + (1 - keep) * speed
        self.bar.set_postfix_str(
            f"loss {self.loss:.3f}, ppl {math.exp(min(self.loss, 99)):.2f}, "
            f"{self.speed:,.0f} char/s",
            refresh=False,
        )
        self.bar.update()

    def _eval(self, row: Eval) -> None:
        self._print(
            self._row(
                f"{row.step:,}",
                _figure(row.train_perplexity, "{:.3f}"),
                _figure(row.val_perplexity, "{:.3f}"),
                _figure(row.bits_per_char, "{:.4f}"),
                _figure(row.lr, "{:.2g}"),
                _figure(row.grad_norm, "{:.2f}"),
                repr(row.sample)[1:-1],
            )
        )

    def _rollback(self, rollback: Rollback) -> None:
        self.note(
            f"training diverged after step {rollback.diverged_after:,}: {rollback.cause}; "
            f"rolling back to the best model, from step {rollback.step:,}, with a peak learning "
            f"rate of {rollback.peak_lr:g} (rollback {rollback.rollbacks} of {MAX_ROLLBACKS})"
        )
        self.bar.update(rollback.step - self.bar.n)

    def _row(self, *cells: str) -> str:
        *figures, sample = cells
        row = " ".join(
            f"{cell:>{width}}" for cell, width in zip(figures, (7, 10, 8, 7, 7, 7), strict=True)
        )
        from rich.cells import set_cell_size

        room = self.console.width - len(row) - 3
        return f"{row}  {set_cell_size(sample, room).rstrip()}" if room >= len("sample") else row

    def _print(self, line: str) -> None:
        """Print a line above the bar."""
        self.bar.clear()
        self.console.print(line, markup=False, soft_wrap=True)
        self.bar.refresh()

    def _done(self, done: Done) -> None:
        name = "pseudo-perplexity" if self.is_bidirectional else "perplexity"
        bits = f"{done.bits_per_char:.4f} over {done.characters:,} characters"
        rows = {
            f"held-out {name}": f"{done.perplexity:.4f}",
            "bits per character": bits,
            "best model": f"after step {done.best_step:,} of {done.step:,}",
        }
        if done.train_chars_per_second:
            speed = f"{done.train_chars_per_second:,.0f} characters per second"
            rows["training"] = f"{done.seconds:.1f} s, {speed}"
        history = RunDirectory(Path(self.run)).read_history()
        train = [r["nats_per_char"] for r in history if r["event"] == Step.event]
        val = [r["val_nats_per_char"] for r in history if r["event"] == Eval.event]
        rows |= {
            "training loss": self._curve(train),
            "validation loss": self._curve(val),
            "files": f"{self.run}/best.npz, last.npz, history.jsonl",
        }
        print_rows(rows)
        self._advise(done)

    def _advise(self, done: Done) -> None:
        """Print what to do next."""
        if done.best_step == 0:
            self.note(
                "no step improved the validation loss; train longer, or use a smaller model or "
                "more text"
            )
        elif done.best_step < OVERFITTED * done.step:
            self.note(
                "the validation loss increased after the best model, which suggests overfitting; "
                "try a smaller --hidden, --dropout 0.3 or more text"
            )
        run = shlex.quote(self.run)
        # without a prompt, which would depend on the script of the text
        command = f"proofread FILE --model {run}" if self.is_bidirectional else f"sample {run}"
        self.console.print(f"next: charlm {command}", markup=False, style="bold", soft_wrap=True)

    def _curve(self, values: Sequence[float]) -> str:
        """Values as a line of blocks between the first and the last value."""
        if not values:
            return "-"
        count = min(CURVE_WIDTH, len(values))
        edges = [len(values) * k // count for k in range(count + 1)]
        means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
        blocks = BLOCKS if utf8(self.console) else ASCII_BLOCKS
        low, span = min(means), max(means) - min(means) or 1.0
        line = "".join(blocks[round((m - low) / span * (len(blocks) - 1))] for m in means)
        return f"{means[0]:.3f} {line} {means[-1]:.3f}"


def _shape(model: dict[str, Any]) -> str:
    """A short description of a network, such as `lstm, 2 x 256, bidirectional`."""
    parts = [model["cell"], f"{model['layers']} x {model['hidden']}"]
    if model["activation"] not in (None, "tanh"):
        parts[0] += f" ({model['activation']})"
    parts += ["residual"] * model["residual"] + ["bidirectional"] * model["bidirectional"]
    if model["head_layers"]:
        parts.append(f"{model['head_layers']} head layers")
    return ", ".join(parts)


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def display_for(*, as_json: bool, quiet: bool) -> Silent:
    """The display for these options."""
    if as_json:
        return JsonLines(quiet=quiet)
    return Silent() if quiet else Terminal()
