"""Everything that can be set, as frozen dataclasses that reject an invalid value.

Defaults, choices and help are stated here once; the command line derives its options from them.
The settings of texts are in `charlm.text.config`.
"""

from dataclasses import dataclass
from typing import Literal

from charlm.checks import check_fields, flag, one_of, one_or_several, real, setting, whole
from charlm.errors import ConfigError


@dataclass(frozen=True)
class CellInfo:
    """The facts about a recurrent cell that are needed before NumPy is loaded.

    The module `charlm.nn.cells.<name>`, with underscores for hyphens, defines the class.

    Attributes:
        class_name: the name of the class.
        gates: the blocks of H columns in the matrix product of a step; 0 if a step has none.
        arrays: how many arrays `(T, B, H)` a training step keeps in its workspace.
        has_activation: whether the activation can be chosen.
    """

    class_name: str
    gates: int
    arrays: int
    has_activation: bool = False


CELLS = {
    "rnn": CellInfo("RNN", 1, 2, has_activation=True),  # h; dz
    "jordan": CellInfo("Jordan", 1, 2, has_activation=True),  # h; dz
    "lstm": CellInfo("LSTM", 4, 6),  # h; c; g, i, f, o, overwritten by their gradients
    "lstm-peephole": CellInfo("PeepholeLSTM", 4, 6),
    "lstm-coupled": CellInfo("CoupledLSTM", 3, 5),  # as the LSTM's, without i
    "gru": CellInfo("GRU", 3, 5),  # h; z, r, a, n, overwritten by their gradients
    "gru-cho": CellInfo("ChoGRU", 3, 8),  # h; z, r, n; their gradients; r ∘ h
    "gru-minimal": CellInfo("MinimalGRU", 2, 3),  # h; z, n
    "sru": CellInfo("SRU", 0, 11),  # h; n, f, r, s; their gradients; c; tanh(c)
}

CELL_NAMES = tuple(CELLS)
PLAIN_CELLS = tuple(name for name, info in CELLS.items() if info.has_activation)
ACTIVATION_NAMES = ("tanh", "relu", "sigmoid")
OPTIMIZER_NAMES = ("adam", "rmsprop", "adagrad", "sgd")
Unit = Literal["character", "word", "line", "document"]
Space = Literal["before", "after"]  # which white space belongs to a word

# Learning rates that worked well on text of half a megabyte.
DEFAULT_LR = {"adam": 1e-2, "rmsprop": 6e-3, "adagrad": 0.1, "sgd": 3.0}

DEFAULT_MINUTES = 1.0
DEFAULT_ODDS = 10_000.0  # of another character, from which proofreading reports one
DEFAULT_RANK_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of a network.

    Attributes:
        cell: the recurrent cell, a name in `CELLS`.
        hidden: H, the number of units in each recurrent layer.
        layers: the number of recurrent layers.
        embedding: the size of the character embeddings; 0 uses one-hot vectors.
        dropout: the dropout probability on the output of each recurrent layer.
        activation: tanh, relu or sigmoid, for the cells rnn and jordan; None means tanh.
        head_layers: the number of dense tanh layers between the recurrent layers and the softmax.
        residual: whether the input of each recurrent layer above the first is added to its output.
        bidirectional: whether a character is predicted from the text on both sides.
    """

    cell: str = setting("lstm", "Recurrent cell.", one_of(CELLS), choices=CELLS)
    hidden: int = setting(256, "Number of units in each recurrent layer.", whole(1))
    layers: int = setting(1, "Number of recurrent layers.", whole(1))
    embedding: int = setting(
        0, "Size of the character embeddings; 0 uses one-hot vectors.", whole(0)
    )
    dropout: float = setting(
        0.0, "Dropout probability on the output of each recurrent layer.", real(0, 1, bounds="[)")
    )
    activation: str | None = setting(
        None,
        f"Activation function of the cells {' and '.join(PLAIN_CELLS)}.",
        one_of(ACTIVATION_NAMES),
        choices=ACTIVATION_NAMES,
        shown="tanh",
    )
    head_layers: int = setting(
        0,
        "Number of dense tanh layers between the recurrent layers and the softmax.",
        whole(0),
    )
    residual: bool = setting(
        False, "Add the input of each recurrent layer above the first to its output.", flag
    )
    bidirectional: bool = setting(
        False,
        "Predict each character from the text on both sides; required by charlm fill and charlm "
        "proofread.",
        flag,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_that_options_apply()

    @property
    def plain_activation(self) -> str | None:
        """The activation of rnn and jordan; None for the other cells."""
        return self.activation or "tanh" if self.cell in PLAIN_CELLS else None

    def _check_that_options_apply(self) -> None:
        """Reject options that have no effect, and those that the cell jordan does not support.

        The top layer of jordan returns logits, so no dropout, residual connection or dense layer
        can follow it.
        """
        if self.activation and self.cell not in PLAIN_CELLS:
            cells = " and ".join(PLAIN_CELLS)
            expected = f"omitted for the cell {self.cell} (it applies only to {cells})"
            raise ConfigError("activation", self.activation, expected)
        is_jordan = self.cell == "jordan"
        for name, none in (("head_layers", 0), ("bidirectional", False)):
            if is_jordan and getattr(self, name):
                expected = f"{none} for the cell jordan (it has its own output layer)"
                raise ConfigError(name, getattr(self, name), expected)
        for name, none, least in (
            ("dropout", 0, 1 + is_jordan),
            ("residual", False, 2 + is_jordan),
        ):
            if getattr(self, name) and self.layers < least:
                expected = f"{none} for fewer than {least} layers of {self.cell}"
                raise ConfigError(name, getattr(self, name), expected)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. It is fixed for the whole run; the budget is separate.

    Attributes:
        seq_len: T, the truncated-BPTT length in characters.
        batch_size: B, the number of parallel streams of text.
        optimizer: a name in `charlm.nn.optimizers.OPTIMIZERS`.
        lr: the peak learning rate; None uses the optimizer's default.
        clip: the maximum gradient norm; 0 disables clipping.
        warmup: the steps of learning-rate warm-up, at most a tenth of the run.
        val_fraction: the fraction of the corpus that is held out for validation: the end of each
            text, or documents that are drawn at random; None holds out a tenth, but at most a
            million characters; 0 holds out nothing.
        min_count: the minimum number of occurrences of a character in the text; all rarer
            characters become the unknown token.
        eval_every: the steps between two evaluations; 0 means a twentieth of the run, but at
            least 10.
        patience: the number of evaluations in a row without a lower validation loss after which
            training stops early; 0 never stops early.
        accumulate: the number of chunks whose gradients are summed in a step.
        in_order: whether the gradients of the shards are summed in an order that does not depend
            on the number of processes. Any order can be faster on several machines.
        shards: the number of parts of a batch whose gradients are computed separately and then
            summed; 0 derives it from the batch size. The result depends on it, but not on which
            process computes which shard.
        random_seed: the seed for the initial weights, dropout and state resets.
    """

    seq_len: int = setting(64, "Truncated-BPTT length, in characters.", whole(1))
    batch_size: int = setting(32, "Batch size: the number of parallel streams.", whole(1))
    optimizer: str = setting("adam", "Optimizer.", one_of(OPTIMIZER_NAMES), choices=OPTIMIZER_NAMES)
    lr: float | None = setting(
        None, "Peak learning rate.", real(0, bounds="()"), shown="depends on the optimizer"
    )
    clip: float = setting(1.0, "Maximum gradient norm; 0 disables clipping.", real(0, bounds="[)"))
    warmup: int = setting(100, "Number of learning-rate warm-up steps.", whole(0))
    val_fraction: float | None = setting(
        None,
        "Fraction of the corpus to hold out for validation: the end of each text, or documents "
        "drawn at random; 0 for none.",
        real(0, 1, bounds="[)"),
        shown="0.1, at most 1,000,000 characters",
    )
    min_count: int = setting(
        1,
        "Minimum number of occurrences of a character; rarer characters become the unknown token.",
        whole(1),
    )
    eval_every: int = setting(
        0,
        "Number of steps between evaluations.",
        whole(0),
        shown="a twentieth of the run, at least 10",
    )
    patience: int = setting(
        0,
        "Number of evaluations in a row without improvement after which training stops early; 0 "
        "never stops early.",
        whole(0),
    )
    accumulate: int = setting(
        1, "Number of chunks over which each step accumulates gradients.", whole(1)
    )
    in_order: bool = setting(
        True,
        "Sum the gradients in a fixed order, so that the result does not depend on the number of "
        "processes. --any-order can be faster, but does not guarantee this.",
        flag,
        shown="in order",
    )
    shards: int = setting(
        0,
        "Number of shards to split each batch into. Their gradients are computed separately.",
        whole(0),
        shown="depends on the batch size",
    )
    random_seed: int = setting(
        0,
        "Random seed for the initial weights, dropout and state resets.",
        whole(0, most=2**256),  # secrets.randbits makes large ones
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def peak_lr(self) -> float:
        """The peak learning rate of the schedule."""
        return DEFAULT_LR[self.optimizer] if self.lr is None else self.lr


@dataclass(frozen=True)
class Budget:
    """How long to train: exactly one of steps, epochs, minutes and operations.

    Attributes:
        steps: the number of training steps.
        epochs: the number of passes over the training split.
        minutes: the wall time in minutes. A short trial determines the number of steps.
        operations: the operations of the matrix products of training, the same on any machine.
    """

    steps: int | None = setting(None, "Number of training steps.", whole(1))
    epochs: float | None = setting(
        None, "Number of passes over the training text.", real(0, 1e9, bounds="()")
    )
    minutes: float | None = setting(
        None,
        "Training time in minutes. A short trial determines the number of steps.",
        real(0, 1e9, bounds="()"),
        shown=f"{DEFAULT_MINUTES:g}",
    )
    operations: float | None = setting(
        None,
        "Number of operations of the matrix products of training, such as 8.3e12. Unlike minutes, "
        "they mean the same on any machine.",
        real(0, bounds="()"),
    )

    def __post_init__(self) -> None:
        given = {k: v for k, v in vars(self).items() if v is not None}
        if len(given) != 1:
            names = ", ".join(given) or "none"
            raise ConfigError(
                "budget", names, "exactly one of steps, epochs, minutes and operations"
            )
        check_fields(self)


@dataclass(frozen=True)
class SampleConfig:
    """How characters are sampled from a model's distribution.

    Attributes:
        length: the number of characters to generate, excluding the prompt.
        temperature: divides the logits; 0 always takes the most probable character.
        top_k: sample from the k most probable characters; 0 uses all.
        top_p: sample from the smallest set of characters whose total probability is at least
            this value (Holtzman et al. 2020); 1 uses all.
        stop: a text after which generation stops, or several; empty for none. Without a prompt, the
            first character is none of them, so that no text is empty but for its end.
    """

    length: int = setting(500, "Number of characters to generate, excluding the prompt.", whole(0))
    temperature: float = setting(
        1.0,
        "Sampling temperature. Lower values are more conservative; 0 always takes the most "
        "probable character.",
        real(0, bounds="[)"),
    )
    top_k: int = setting(0, "Sample from the k most probable characters; 0 uses all.", whole(0))
    top_p: float = setting(
        1.0,
        "Sample from the smallest set of characters whose total probability is at least this "
        "value; 1 uses all.",
        real(0, 1, bounds="(]"),
    )
    stop: str | tuple[str, ...] = setting(
        "", "Stop after this text has been generated. Can be repeated.", one_or_several
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts after which generation stops."""
        return (self.stop,) * bool(self.stop) if isinstance(self.stop, str) else self.stop
