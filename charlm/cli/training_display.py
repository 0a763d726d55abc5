"""The display of training: a bar and a table on stderr, JSON Lines on stdout, or nothing."""

import math
from typing import Any

from charlm.cli.baseline_rows import more_or_fewer, name_of_ngram
from charlm.cli.console import (
    as_shown,
    columns,
    note,
    plural,
    print_json,
    print_line,
    print_paragraph,
    print_rows,
    stderr,
    warn,
)
from charlm.cli.progress_bars import bar
from charlm.cli.tables import figure, fitting, right
from charlm.system.shell import quoted
from charlm.training.events import Done, Eval, Record, Rollback, Start, Step
from charlm.training.loop import MAX_ROLLBACKS
from charlm.training.summary import Curve, Summary

SMOOTHING = 0.95  # of the moving averages in the bar
CURVE_WIDTH = 40
SHORTEST_CURVE = 4
BESIDE_CURVE = 34  # columns: the name, the first and the last value
OVERFITTED = 0.6  # of the steps; a best model before that suggests overfitting
MORE_DROPOUT = 0.2
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
WIDTHS = (7, 10, 8, 7, 7, 7)  # of the columns of figures
SEPARATOR = "  "  # before the sample
# Why a validation loss can be high although a model is good, by `Start.validation`.
DIFFERENT = {
    "ends": "the end of the text differs from the rest",
    "files": "the files of the validation split differ from the others",
    "texts": "the validation text is of another kind",
}
MAX_LOSS = 700.0  # whose exp is finite


class Silent:
    """Show nothing.

    Attributes:
        summary: the summary of the run, which training keeps up to date.
    """

    def __init__(self) -> None:
        self.summary = Summary()

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
        super().__init__()
        self.quiet = quiet

    def note(self, message: str) -> None:
        if not self.quiet:
            note(message)

    def show(self, record: Record) -> None:
        print_json(record.as_dict())


class Terminal(Silent):
    """Show a bar, a row for each evaluation, and a summary."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = bar(silent=True)
        self.run, self.is_bidirectional = "", False
        self.validation, self.kind = "", "text"
        self.widths = WIDTHS
        self.steps = self.patience = 0
        self.dropout = 0.0
        self.loss = self.speed = 0.0

    def note(self, message: str) -> None:
        note(message)

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
        model, train = start.model, start.train
        self.run, self.validation = str(start.run), start.validation
        self.kind = _kind(start)
        self.is_bidirectional = model["bidirectional"]
        self.steps, self.patience = start.steps, train["patience"]
        self.dropout = model["dropout"]
        self.widths = (max(WIDTHS[0], len(f"{start.steps:,}")), *WIDTHS[1:])
        epochs = start.steps / start.steps_per_epoch
        lines = [
            f"{start.corpus}: {start.train_characters:,} training and "
            f"{plural(start.val_characters, 'validation character')}, "
            f"vocabulary of {start.vocabulary:,}",
            *_validation(start),
        ]
        if start.rare_characters:
            lines.append(
                "<unk> replaces all characters that occur fewer than "
                f"{plural(train['min_count'], 'time')} each, "
                f"{plural(start.rare_characters, 'occurrence')} in total"
            )
        lines.append(
            f"{_shape(model)}: {plural(start.parameters, 'parameter')}; "
            f"{plural(start.steps, 'step')} of {start.batch_size} x "
            f"{plural(train['seq_len'], 'character')}, {epochs:.3g} epoch{'s' * (epochs != 1)}"
        )
        if self.is_bidirectional:
            lines.append(
                "ppl is the pseudo-perplexity given the text on both sides; sample shows the most "
                "probable character at each position of the validation text"
            )
        for line in lines:
            print_paragraph(line)
        self._print_row("step", "train ppl", "val ppl", "bits", "lr", "|grad|", "sample")
        self.bar = bar(total=start.steps, initial=start.step)

    def _step(self, step: Step) -> None:
        speed = step.characters / step.seconds
        keep = SMOOTHING if self.speed else 0.0
        self.loss = keep * self.loss + (1 - keep) * step.nats_per_char
        self.speed = keep * self.speed + (1 - keep) * speed
        ppl = math.exp(min(self.loss, MAX_LOSS))
        self.bar.set_postfix_str(
            f"loss {figure(self.loss, '{:.3f}')}, ppl {figure(ppl, '{:.2f}')}, "
            f"{self.speed:,.0f} char/s",
            refresh=False,
        )
        self.bar.update()

    def _eval(self, row: Eval) -> None:
        figures = [
            (row.step, "{:,}"),
            (row.train_perplexity, "{:.3f}"),
            (row.val_perplexity, "{:.3f}"),
            (row.bits_per_char, "{:.4f}"),
            (row.lr, "{:.2g}"),
            (row.grad_norm, "{:.2f}"),
        ]
        cells = [figure(*each, width) for each, width in zip(figures, self.widths, strict=True)]
        self._print_row(*cells, repr(row.sample)[1:-1])

    def _rollback(self, rollback: Rollback) -> None:
        warn(
            f"training diverged after step {rollback.diverged_after:,}: {rollback.cause}; "
            f"rolling back to the best model, from step {rollback.step:,}, with a peak learning "
            f"rate of {rollback.peak_lr:g} (rollback {rollback.rollbacks} of {MAX_ROLLBACKS})"
        )
        self.bar.update(rollback.step - self.bar.n)

    def _print_row(self, *cells: str) -> None:
        """Print figures and a sample above the bar, as far as the terminal has room for them."""
        from rich.cells import set_cell_size

        *figures, sample = cells
        console = stderr()
        width = columns(console)
        kept = fitting(self.widths, width, gap=1)
        row = " ".join(right(cell, w) for cell, w in zip(figures, kept, strict=False))
        room = (width or console.width) - len(row) - len(SEPARATOR)
        if len(kept) == len(self.widths) and room >= len("sample"):
            row += SEPARATOR + set_cell_size(as_shown(sample, console), room).rstrip()
        print_line((row, ""))
        self.bar.refresh()

    def _done(self, done: Done) -> None:
        name = "pseudo-perplexity" if self.is_bidirectional else "perplexity"
        over = f" over {plural(done.characters, 'character')}" * bool(done.characters)
        rows = {
            f"held-out {name}": figure(done.perplexity, "{:.4f}"),
            "bits per character": f"{figure(done.bits_per_char, '{:.4f}')}{over}",
            **_row_of_ngram(done),
            "best model": f"after step {done.best_step:,} of {done.step:,}{self._early(done)}",
        }
        if done.train_chars_per_second:
            speed = f"{done.train_chars_per_second:,.0f} characters per second"
            rows["training"] = f"{done.seconds:.1f} s, {speed}"
        rows |= {
            "training loss": self._curve(self.summary.train),
            "validation loss": self._curve(self.summary.val),
            "files": f"{self.run}/best.npz, last.npz, history.jsonl",
        }
        print_rows(rows)
        self._advise(done)

    def _early(self, done: Done) -> str:
        """That the run has not taken all steps, and why."""
        if done.step >= self.steps:
            return ""
        stale = plural(self.patience, "evaluation")
        return f"; stopped early, after {stale} without improvement, {self.steps:,} steps planned"

    def _advise(self, done: Done) -> None:
        """Print what to do next."""
        if self.validation != "none":
            self._judge(done)
        # without a prompt, which would depend on the script of the text
        run = quoted(self.run)
        command = f"proofread FILE --model {run}" if self.is_bidirectional else f"sample {run}"
        print_line((f"next: charlm {command}", "bold"))

    def _judge(self, done: Done) -> None:
        """Say whether the validation loss has improved as it should."""
        differs = DIFFERENT.get(self.validation, "")
        if done.best_step == 0:
            self.note(
                f"no step improved the validation loss{differs and f', or {differs}'}; train "
                f"longer, or use a smaller model or more {self.kind}"
            )
        elif done.best_step < OVERFITTED * done.step:
            self.note(
                "the validation loss increased after the best model, which suggests overfitting"
                f"{differs and f', or that {differs}'}; try {self._more_dropout()}more {self.kind}"
            )

    def _more_dropout(self) -> str:
        """A higher dropout probability, which helps against overfitting more than fewer units."""
        more = self.dropout + MORE_DROPOUT
        return f"--dropout {more:g} or " if more < 1 - MORE_DROPOUT else ""

    def _curve(self, values: Curve) -> str:
        """Values as a line of blocks between the first and the last value."""
        room = (columns(stderr()) or CURVE_WIDTH + BESIDE_CURVE) - BESIDE_CURVE
        means = values.means(min(CURVE_WIDTH, max(room, SHORTEST_CURVE)))
        if not means:
            return "-"
        blocks = ASCII_BLOCKS if stderr().options.ascii_only else BLOCKS
        low, span = min(means), max(means) - min(means) or 1.0
        line = "".join(blocks[round((m - low) / span * (len(blocks) - 1))] for m in means)
        return f"{means[0]:.3f} {line} {means[-1]:.3f}"


def _row_of_ngram(done: Done) -> dict[str, str]:
    """What an n-gram model makes of the same characters."""
    if not done.ngram or done.nats_per_char is None:
        return {}
    perplexity, bits = (figure(done.ngram[k], "{:.4f}") for k in ("perplexity", "bits_per_char"))
    more = more_or_fewer(done.nats_per_char, done.ngram["nats_per_char"])
    shown = f"perplexity {perplexity}, {bits} bits; the model needs {more}"
    return {name_of_ngram(done.ngram["order"]): shown}


def _kind(start: Start) -> str:
    """What a corpus has more or less of."""
    if start.train_documents is None:
        return "text"
    return "files" if start.validation == "files" else "documents"


def _validation(start: Start) -> list[str]:
    """Where the validation split comes from, unless it is the end of the text."""
    train, val = start.train_documents or 0, start.val_documents or 0
    drawn = f"validation: {val:,} of {train + val:,} {start.validation}, drawn at random"
    all_of_it = plural(train, "document") if train else "the corpus"
    lines = {
        "documents": drawn,
        "files": f"{drawn}, none of which is in the training split",
        "texts": f"validation: {plural(val, 'document') if train else 'text'} of other files; "
        f"training reads all of {all_of_it}",
        "none": "validation: none; best.npz is the model of the last evaluation step",
    }
    return [lines[start.validation]] if start.validation in lines else []


def _shape(model: dict[str, Any]) -> str:
    """A short description of a network, such as `lstm, 2 x 256, bidirectional`."""
    parts = [model["cell"], f"{model['layers']} x {model['hidden']}"]
    if model["activation"] not in (None, "tanh"):
        parts[0] += f" ({model['activation']})"
    parts += ["residual"] * model["residual"] + ["bidirectional"] * model["bidirectional"]
    if model["head_layers"]:
        parts.append(plural(model["head_layers"], "head layer"))
    return ", ".join(parts)


def display_for(*, as_json: bool, quiet: bool) -> Silent:
    """The display for these options."""
    if as_json:
        return JsonLines(quiet=quiet)
    return Silent() if quiet else Terminal()
