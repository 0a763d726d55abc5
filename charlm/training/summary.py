"""What is kept in memory of the events of a run, however many steps it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from charlm.training.events import Eval, Rollback, Step

BINS = 400  # of a curve, at most
UNTIMED_STEPS = 3  # the first steps, which are slower


@dataclass
class Curve:
    """A growing sequence of values, kept as the sums of bins of equal length.

    It is exact up to `BINS` values. Then bins are merged in pairs.

    Attributes:
        count: the number of values.
        width: the number of values in a bin; the last one may have fewer.
        sums: the sum of each bin.
    """

    count: int = 0
    width: int = 1
    sums: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Append a value."""
        if self.count == BINS * self.width:
            self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
            self.width *= 2
        if self.count % self.width == 0:
            self.sums.append(0.0)
        self.sums[-1] += value
        self.count += 1

    def means(self, parts: int) -> list[float]:
        """The means of at most `parts` consecutive parts of about equal length."""
        bins = len(self.sums)
        parts = min(parts, bins)
        edges = [bins * k // parts for k in range(parts + 1)] if parts else []
        return [
            sum(self.sums[a:b]) / (min(b * self.width, self.count) - a * self.width)
            for a, b in pairwise(edges)
        ]


@dataclass
class Means:
    """The steps since the last evaluation: the sums for their means, and the last learning rate."""

    count: int = 0
    nats: float = 0.0
    grad_norms: float = 0.0
    lr: float | None = None

    def add(self, nats_per_char: float, grad_norm: float, lr: float) -> None:
        """Add a step."""
        self.count += 1
        self.nats += nats_per_char
        self.grad_norms += grad_norm
        self.lr = lr

    @property
    def nats_per_char(self) -> float | None:
        """The mean NLL of the steps; None without any."""
        return self.nats / self.count if self.count else None

    @property
    def grad_norm(self) -> float | None:
        """The mean gradient norm of the steps; None without any."""
        return self.grad_norms / self.count if self.count else None


@dataclass
class Summary:
    """A summary of a run, also of the time before it was resumed.

    Attributes:
        since: the steps since the last evaluation or rollback.
        train: the training loss of the steps.
        val: the validation loss of the evaluations.
    """

    since: Means = field(default_factory=Means)
    train: Curve = field(default_factory=Curve)
    val: Curve = field(default_factory=Curve)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add an event, as a record of the history."""
        event = record["event"]
        if event == Step.event:
            self.since.add(record["nats_per_char"], record["grad_norm"], record["lr"])
            self.train.add(record["nats_per_char"])
        elif event == Eval.event and record["val_nats_per_char"] is not None:
            self.val.add(record["val_nats_per_char"])
        if event in (Eval.event, Rollback.event):
            self.since = Means()


@dataclass
class Speed:
    """The speed of the steps of this process, without the first ones."""

    steps: int = 0
    characters: int = 0
    seconds: float = 0.0

    def add(self, step: Step) -> None:
        """Add a step."""
        self.steps += 1
        if self.steps > UNTIMED_STEPS:
            self.characters += step.characters
            self.seconds += step.seconds

    @property
    def characters_per_second(self) -> float | None:
        """The characters per second; None if no step was timed."""
        return self.characters / self.seconds if self.seconds else None
