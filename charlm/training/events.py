"""The events of a training run. Each is a line of `history.jsonl` and of `--json`."""

from dataclasses import dataclass
from typing import Any, ClassVar

from charlm.system.json_values import finite


@dataclass(frozen=True)
class Record:
    """An event after `step` steps."""

    event: ClassVar[str]

    step: int

    def as_dict(self) -> dict[str, Any]:
        """The record for JSON, `event` first; numbers that are not finite become null."""
        return {"event": self.event} | {k: finite(v) for k, v in vars(self).items()}


@dataclass(frozen=True)
class Start(Record):
    """Training starts or resumes after `step` of `steps` steps.

    Attributes:
        steps: the planned number of steps.
        steps_per_epoch: the steps in one pass over the training split.
        corpus: the name of the corpus.
        train_characters: the length of the training split.
        val_characters: the length of the validation split.
        train_documents: the number of documents for training; None for texts.
        val_documents: the number of documents for validation; None for texts.
        validation: what the validation split is: "ends" of the texts, "documents" or "files" of the
            corpus, drawn at random, "texts" of its own, or "none".
        unknown_val_characters: the number of characters of a validation text of its own that are
            not in the vocabulary.
        vocabulary: the number of distinct characters that the model knows, with the unknown token.
        rare_characters: the number of characters of the corpus that become the unknown token.
        parameters: the number of parameters.
        batch_size: the number of parallel streams, fewer than configured if the text is short.
        model: the fields of `ModelConfig`.
        train: the fields of `TrainConfig`.
        run: the run directory, if there is one.
    """

    event = "start"

    steps: int
    steps_per_epoch: float
    corpus: str
    train_characters: int
    val_characters: int
    train_documents: int | None
    val_documents: int | None
    validation: str
    unknown_val_characters: int
    vocabulary: int
    rare_characters: int
    parameters: int
    batch_size: int
    model: dict[str, Any]
    train: dict[str, Any]
    run: str | None


@dataclass(frozen=True)
class Step(Record):
    """A training step.

    Attributes:
        nats_per_char: the mean NLL of the characters of the step, before the update.
        lr: the learning rate.
        grad_norm: the gradient norm before clipping.
        characters: the number of characters of the step.
        seconds: its duration.
    """

    event = "step"

    nats_per_char: float
    lr: float
    grad_norm: float
    characters: int
    seconds: float


@dataclass(frozen=True)
class Eval(Record):
    """A sample of the validation split was scored, at most 50,000 characters from all of it.

    For a bidirectional model, the perplexities here and in `Done` are pseudo-perplexities. Without
    validation, all figures of the validation split are None, here and in `Done`.

    Attributes:
        train_nats_per_char: the mean over the steps since the last evaluation; None without any.
        val_nats_per_char: the mean NLL of the scored characters.
        bits_per_char: `val_nats_per_char` in bits.
        train_perplexity: exp of `train_nats_per_char`.
        val_perplexity: exp of `val_nats_per_char`.
        lr: the learning rate of the last step.
        grad_norm: the mean gradient norm since the last evaluation.
        best: whether no earlier evaluation was better; without validation always True.
        sample: a short sample of the model; for a bidirectional model, the most probable
            characters at the start of the validation split.
    """

    event = "eval"

    train_nats_per_char: float | None
    val_nats_per_char: float | None
    bits_per_char: float | None
    train_perplexity: float | None
    val_perplexity: float | None
    lr: float | None
    grad_norm: float | None
    best: bool
    sample: str


@dataclass(frozen=True)
class Rollback(Record):
    """Training diverged and continues from its best model with a lower learning rate.

    Attributes:
        step: the step of the best model.
        diverged_after: the number of steps before it diverged.
        cause: the value that was not finite.
        rollbacks: the number of rollbacks so far.
        peak_lr: the peak learning rate from now on.
    """

    event = "rollback"

    diverged_after: int
    cause: str
    rollbacks: int
    peak_lr: float


@dataclass(frozen=True)
class Done(Record):
    """Training is finished, and the best model was scored on the whole validation split.

    Attributes:
        best_step: the step of the best model; without validation, of the last one.
        nats_per_char: its mean NLL, as `charlm eval` reports it.
        bits_per_char: `nats_per_char` in bits.
        perplexity: exp of `nats_per_char`.
        characters: the number of scored characters.
        train_chars_per_second: the training speed without the first three steps; None if there
            were no others.
        seconds: the total time of the steps, with those before the run was resumed.
        model: the file of the best model, if there is one.
        ngram: an n-gram model of the training split on the same characters: its `order`,
            `nats_per_char`, `bits_per_char` and `perplexity`, as `charlm eval --baseline` reports
            them. None without validation and for a bidirectional model.
    """

    event = "done"

    best_step: int
    nats_per_char: float | None
    bits_per_char: float | None
    perplexity: float | None
    characters: int
    train_chars_per_second: float | None
    seconds: float
    model: str | None
    ngram: dict[str, Any] | None = None
