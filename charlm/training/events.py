"""What training reports as it goes: each record is a line of `history.jsonl` and of `--json`."""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Record:
    """A thing that happened after `step` steps."""

    event: ClassVar[str]

    step: int

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON takes it, `event` first; what is not finite becomes null."""
        return {"event": self.event} | {k: _finite(v) for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Start(Record):
    """Training starts, or goes on, after `step` steps of `steps`.

    Attributes:
        steps: the steps there are to be.
        steps_per_epoch: the steps of one pass over the training part.
        corpus: what the corpus is called.
        train_characters: the length of the training part.
        val_characters: the length of the held-out part.
        vocabulary: how many distinct characters the model knows, a sign for unknown ones included.
        rare_characters: how many characters of the corpus are read as that sign.
        parameters: how many numbers are learned.
        batch_size: the streams read side by side; fewer than asked for where the text is short.
        model: the shape of the network.
        train: how it is trained.
        run: the run's directory, if it has one.
    """

    event = "start"

    steps: int
    steps_per_epoch: float
    corpus: str
    train_characters: int
    val_characters: int
    vocabulary: int
    rare_characters: int
    parameters: int
    batch_size: int
    model: dict[str, Any]
    train: dict[str, Any]
    run: str | None


@dataclass(frozen=True)
class Step(Record):
    """One step was done.

    Attributes:
        nats_per_char: the mean surprise of the step's characters before the update.
        lr: the learning rate.
        grad_norm: the norm of the gradient before clipping.
        characters: how many characters it learned from.
        seconds: how long it took.
    """

    event = "step"

    nats_per_char: float
    lr: float
    grad_norm: float
    characters: int
    seconds: float


@dataclass(frozen=True)
class Eval(Record):
    """The held-out part was scored, 50,000 characters of it at the most.

    Of a bidirectional model, perplexities here and in `Done` are pseudo-perplexities.

    Attributes:
        train_nats_per_char: the mean over the steps since the last one; None before any.
        val_nats_per_char: the mean over the scored characters.
        bits_per_char: that in bits.
        train_perplexity: exp of `train_nats_per_char`.
        val_perplexity: exp of `val_nats_per_char`.
        lr: the learning rate of the last step.
        grad_norm: the mean norm of the gradient since the last one.
        best: whether no earlier evaluation was better.
        sample: a short text drawn from the model; of a bidirectional one, what it finds most
            probable at each place of the held-out part's beginning.
    """

    event = "eval"

    train_nats_per_char: float | None
    val_nats_per_char: float
    bits_per_char: float
    train_perplexity: float | None
    val_perplexity: float
    lr: float | None
    grad_norm: float | None
    best: bool
    sample: str


@dataclass(frozen=True)
class Rollback(Record):
    """Training has diverged, and goes on from its best model with a lower learning rate.

    Attributes:
        step: after how many steps the best model was reached.
        diverged_after: how many steps had been done.
        cause: which figure was not finite.
        setbacks: how often this has happened.
        peak_lr: the highest learning rate of the schedule from now on.
    """

    event = "rollback"

    diverged_after: int
    cause: str
    rollbacks: int
    peak_lr: float


@dataclass(frozen=True)
class Done(Record):
    """Training is finished, and the best model has been scored on the whole held-out part.

    Attributes:
        best_step: after how many steps the best model was reached.
        nats_per_char: its mean surprise, as `charlm eval` reports it.
        bits_per_char: that in bits.
        perplexity: exp of `nats_per_char`.
        characters: how many characters were scored.
        train_chars_per_second: characters by time in steps, the first three steps left out;
            None where there were no more than three.
        seconds: the time in steps, over all sittings.
        model: the file of the best model, if there is one.
    """

    event = "done"

    best_step: int
    nats_per_char: float
    bits_per_char: float
    perplexity: float
    characters: int
    train_chars_per_second: float | None
    seconds: float
    model: str | None
