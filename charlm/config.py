"""What can be set, as frozen dataclasses that refuse a bad value when they are made."""

import math
from dataclasses import dataclass
from typing import Any

from charlm.errors import ConfigError

CELL_NAMES = (
    "rnn",
    "jordan",
    "lstm",
    "lstm-peephole",
    "lstm-coupled",
    "gru",
    "gru-cho",
    "gru-minimal",
    "sru",
)
ACTIVATION_NAMES = ("tanh", "relu", "sigmoid")
PLAIN_CELLS = ("rnn", "jordan")  # those with an activation to choose
OPTIMIZER_NAMES = ("adam", "rmsprop", "adagrad", "sgd")
NEWLINES = ("keep", "lf")  # how a text's line ends are read

# The step sizes that did well on text of half a megabyte; `--lr` overrules them.
DEFAULT_LR = {"adam": 1e-2, "rmsprop": 6e-3, "adagrad": 0.1, "sgd": 3.0}


def _whole(field: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(field, value, f"a whole number of {least} or more")


def _real(field: str, value: Any, low: float, high: float = math.inf, *, bounds: str) -> None:
    """See that low < value < high; `bounds`, such as "[)", says which ends are allowed."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    over = low <= value if number and bounds[0] == "[" else number and low < value
    under = value <= high if number and bounds[1] == "]" else number and value < high
    if over and under:
        return
    above = f"of {low:g} or more" if bounds[0] == "[" else f"above {low:g}"
    below = f"at most {high:g}" if bounds[1] == "]" else f"below {high:g}"
    raise ConfigError(field, value, f"a number {above}" + f", {below}" * (high < math.inf))


def _one_of(field: str, value: Any, names: tuple[str, ...]) -> None:
    if value not in names:
        raise ConfigError(field, value, "one of " + ", ".join(names))


def _yes_or_no(field: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(field, value, "True or False")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network.

    Attributes:
        cell: the recurrent cell, a name in `charlm.nn.cells.CELLS`.
        hidden: H, the width of each recurrent layer, in units.
        layers: how many recurrent layers are stacked.
        embedding: the width of the character vectors; 0 feeds one-hot vectors.
        dropout: the share of each layer's outputs that a training step sets to zero.
        activation: tanh, relu or sigmoid, for the cells rnn and jordan; None is tanh for them.
        head_layers: how many layers of plain tanh units lie between the top cell and the softmax.
        residual: whether the input of each layer above the first is added to its output.
        bidirectional: whether a character is predicted from what comes before it and after it.
    """

    cell: str = "lstm"
    hidden: int = 256
    layers: int = 1
    embedding: int = 0
    dropout: float = 0.0
    activation: str | None = None
    head_layers: int = 0
    residual: bool = False
    bidirectional: bool = False

    def __post_init__(self) -> None:
        _one_of("cell", self.cell, CELL_NAMES)
        _whole("hidden", self.hidden, 1)
        _whole("layers", self.layers, 1)
        _whole("embedding", self.embedding, 0)
        _real("dropout", self.dropout, 0, 1, bounds="[)")
        _whole("head_layers", self.head_layers, 0)
        _yes_or_no("residual", self.residual)
        _yes_or_no("bidirectional", self.bidirectional)
        if self.activation is not None:
            _one_of("activation", self.activation, ACTIVATION_NAMES)
        self._check_that_options_apply()

    @property
    def plain_activation(self) -> str | None:
        """The activation of plain units; None for cells with gates."""
        return self.activation or "tanh" if self.cell in PLAIN_CELLS else None

    def _check_that_options_apply(self) -> None:
        """Refuse what would have no effect, and what the cell jordan cannot have.

        Its top layer puts out logits, to which nothing is added, of which nothing is dropped, and
        above which nothing lies.
        """
        if self.activation and self.cell not in PLAIN_CELLS:
            cells = " and ".join(PLAIN_CELLS)
            expected = f"effect with the cells {cells} only, and the cell is {self.cell}"
            raise ConfigError("activation", self.activation, expected)
        is_jordan = self.cell == "jordan"
        for field, none in (("head_layers", 0), ("bidirectional", False)):
            if is_jordan and getattr(self, field):
                expected = f"{none} with the cell jordan, which owns its output layer"
                raise ConfigError(field, getattr(self, field), expected)
        for field, enough in (("dropout", 1 + is_jordan), ("residual", 2 + is_jordan)):
            if getattr(self, field) and self.layers < enough:
                expected = f"effect with {enough} layers of {self.cell} or more, not {self.layers}"
                raise ConfigError(field, getattr(self, field), expected)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained; everything but the budget is fixed for the life of a run.

    Attributes:
        seq_len: T, the characters between two truncations of backpropagation through time.
        batch_size: B, the streams of text that are read side by side.
        optimizer: a name in `charlm.nn.optimizers.OPTIMIZERS`.
        lr: the highest learning rate of the schedule; None takes the optimiser's own.
        clip: the greatest norm of the gradient over all parameters; 0 leaves it alone.
        warmup: the steps over which the learning rate rises, a tenth of the run at the most.
        val_fraction: the last part of the corpus, held out for validation; None holds out a tenth,
            but a million characters at most.
        min_count: how often a character has to occur in the corpus to be known; one sign stands
            for all others.
        eval_every: the steps between two evaluations; 0 makes it a tenth of the run.
        accumulate: the chunks whose gradients make up a step, one after the other.
        in_order: whether the gradients of shards are summed in an order that does not depend on
            the number of processes; without it, processes on several machines may agree faster.
        shards: the parts of a batch whose gradients are computed apart and summed in order;
            0 lets the batch size decide. The result depends on it, and not on who computes.
        random_seed: seeds the initial weights, and each step's dropout and resets of the state.
    """

    seq_len: int = 64
    batch_size: int = 32
    optimizer: str = "adam"
    lr: float | None = None
    clip: float = 1.0
    warmup: int = 100
    val_fraction: float | None = None
    min_count: int = 1
    eval_every: int = 0
    accumulate: int = 1
    in_order: bool = True
    shards: int = 0
    random_seed: int = 0

    def __post_init__(self) -> None:
        _whole("seq_len", self.seq_len, 1)
        _whole("batch_size", self.batch_size, 1)
        _one_of("optimizer", self.optimizer, OPTIMIZER_NAMES)
        if self.lr is not None:
            _real("lr", self.lr, 0, bounds="()")
        _real("clip", self.clip, 0, bounds="[)")
        _whole("warmup", self.warmup, 0)
        if self.val_fraction is not None:
            _real("val_fraction", self.val_fraction, 0, 1, bounds="()")
        _whole("min_count", self.min_count, 1)
        _whole("eval_every", self.eval_every, 0)
        _whole("accumulate", self.accumulate, 1)
        _yes_or_no("in_order", self.in_order)
        _whole("shards", self.shards, 0)
        _whole("random_seed", self.random_seed, 0)

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of the schedule."""
        return DEFAULT_LR[self.optimizer] if self.lr is None else self.lr


@dataclass(frozen=True)
class Budget:
    """How long to train: exactly one of steps, epochs and minutes of wall time."""

    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = {k: v for k, v in vars(self).items() if v is not None}
        if len(given) != 1:
            names = ", ".join(given) or "none"
            raise ConfigError("budget", names, "exactly one of steps, epochs, minutes")
        if self.steps is not None:
            _whole("steps", self.steps, 1)
        if self.epochs is not None:
            _real("epochs", self.epochs, 0, 1e9, bounds="()")
        if self.minutes is not None:
            _real("minutes", self.minutes, 0, 1e9, bounds="()")


@dataclass(frozen=True)
class SampleConfig:
    """How characters are drawn from a model's distribution.

    Attributes:
        length: how many characters to generate, the prompt not counted.
        temperature: divides the logits; 0 always takes the most probable character.
        top_k: keep only the k most probable characters; 0 keeps all.
        top_p: keep the fewest characters whose probabilities sum to p or more; 1 keeps all.
        stop: end a stream once it has generated this text; empty never does.
    """

    length: int = 500
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop: str = ""

    def __post_init__(self) -> None:
        _whole("length", self.length, 0)
        _real("temperature", self.temperature, 0, bounds="[)")
        _whole("top_k", self.top_k, 0)
        _real("top_p", self.top_p, 0, 1, bounds="(]")
        if not isinstance(self.stop, str):
            raise ConfigError("stop", self.stop, "a text")
