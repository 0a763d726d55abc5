"""A setting that cannot work is refused when it is made, by name, with what it takes."""

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields

import numpy as np
import pytest

from charlm.config import (
    ACTIVATION_NAMES,
    CELL_NAMES,
    DEFAULT_LR,
    OPTIMIZER_NAMES,
    Budget,
    ModelConfig,
    SampleConfig,
    TrainConfig,
)
from charlm.errors import CharlmError, ConfigError
from charlm.nn.cells import CELLS
from charlm.nn.cells.activations import ACTIVATIONS
from charlm.nn.optimizers import OPTIMIZERS
from charlm.text.config import TextConfig

NOT_NUMBERS = ["1", b"1", True, False, [1], (), 1j, math.nan, math.inf, -math.inf]
NOT_WHOLE = [*NOT_NUMBERS, 1.0, 2.5, -1, -(10**30)]


def whole(least: int) -> tuple[list, list, list[str]]:
    bad = [*NOT_WHOLE, least - 1]
    return bad, [least, least + 1, 10**6], ["integer", str(least)]


def real(bad: list, good: list, *words: str) -> tuple[list, list, list[str]]:
    return [*NOT_NUMBERS, *bad], good, ["number", *words]


def one_of(names) -> tuple[list, list, list[str]]:
    first = next(iter(names))
    bad = ["", first.upper(), first + " ", "transformer", 0, True, math.nan, [first], (first,)]
    return bad, list(names), list(names)


YES_OR_NO = ([0, 1, "yes", "", (), math.nan], [True, False], ["True", "False"])

# Of each field: values it refuses, values it takes, and words that say what it takes.
FIELDS = {
    ModelConfig: {
        "cell": one_of(CELLS),
        "hidden": whole(1),
        "layers": whole(1),
        "embedding": whole(0),
        "dropout": real([-1e-9, 1, 1.0, 1.5], [0, 0.0, 0.5, 0.999], "of at least 0", "below 1"),
        "activation": one_of(ACTIVATIONS),
        "head_layers": whole(0),
        "residual": YES_OR_NO,
        "bidirectional": YES_OR_NO,
    },
    TrainConfig: {
        "seq_len": whole(1),
        "batch_size": whole(1),
        "optimizer": one_of(OPTIMIZERS),
        "lr": real([0, 0.0, -1e-3], [None, 1e-9, 3], "above 0"),
        "clip": real([-1e-9, -5], [0, 0.25, 5], "of at least 0"),
        "warmup": whole(0),
        "val_fraction": real(
            [1, 1.5, -0.1], [None, 0, 0.0, 1e-6, 0.5, 0.999], "of at least 0", "below 1"
        ),
        "min_count": whole(1),
        "eval_every": whole(0),
        "patience": whole(0),
        "accumulate": whole(1),
        "in_order": YES_OR_NO,
        "shards": whole(0),
        "random_seed": whole(0),
    },
    Budget: {
        "steps": whole(1),
        "epochs": real([0, 0.0, -1], [0.01, 3, 2.5], "above 0"),
        "minutes": real([0, 0.0, -1], [0.01, 3, 2.5], "above 0"),
        "operations": real([0, 0.0, -1], [1, 8.3e12], "above 0"),
    },
    SampleConfig: {
        "length": whole(0),
        "temperature": real([-1e-9, -1], [0, 0.0, 1e-3, 1, 50.0], "of at least 0"),
        "top_k": whole(0),
        "top_p": real([0, 0.0, -0.5, 1.0000001, 2], [1e-9, 0.5, 1, 1.0], "above 0", "at most 1"),
        "stop": (
            [1, True, b"x", [1], ["x", ""], ("x", None), {"x"}, math.nan],
            ["", "\n", "end."],
            ["string"],
        ),
    },
}
# None stands for the default here, and is refused everywhere else.
MAY_BE_NONE = {"activation", "lr", "val_fraction", "steps", "epochs", "minutes", "operations"}

# What else has to be set for a field to have an effect.
NEEDS = {"activation": {"cell": "rnn"}, "residual": {"layers": 2}}

ALL = [(kind, name) for kind, names in FIELDS.items() for name in names]
BAD = [
    pytest.param(kind, name, value, id=f"{name}={value!r}")
    for kind, name in ALL
    for value in [*FIELDS[kind][name][0], *([] if name in MAY_BE_NONE else [None])]
]


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_is_tried(kind):
    assert {field.name for field in fields(kind)} == FIELDS[kind].keys()


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_bad_value_is_refused_with_the_field_the_value_and_what_it_takes(kind, name, value):
    with pytest.raises(ConfigError) as info:
        kind(**{name: value} | NEEDS.get(name, {}))
    message = str(info.value)
    assert message.startswith(f"{name} must be ")
    assert len(message.splitlines()) == 1
    assert message.endswith(f", got {value!r}")
    assert all(word in message for word in FIELDS[kind][name][2]), message
    assert info.value.field == name
    assert info.value.got is value


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_good_values_are_kept_as_they_are(kind, name):
    for value in FIELDS[kind][name][1]:
        if kind is Budget or value is not None:
            config = kind(**{name: value} | NEEDS.get(name, {}))
            assert getattr(config, name) is value


def test_defaults_are_good():
    assert ModelConfig() == ModelConfig()
    assert TrainConfig().lr is None
    assert SampleConfig().stop == ""


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("activation", {"cell": "lstm", "activation": "relu"}),
        ("activation", {"cell": "sru", "activation": "tanh"}),
        ("dropout", {"cell": "jordan", "dropout": 0.5}),
        ("head_layers", {"cell": "jordan", "head_layers": 1}),
        ("bidirectional", {"cell": "jordan", "bidirectional": True}),
        ("residual", {"residual": True}),
        ("residual", {"cell": "jordan", "layers": 2, "residual": True}),
    ],
)
def test_what_would_have_no_effect_is_refused(field, given):
    with pytest.raises(ConfigError, match=f"^{field} must be .*, got ") as info:
        ModelConfig(**given)
    assert info.value.field == field


def test_plain_cells_have_tanh_where_nothing_is_said():
    assert ModelConfig("rnn").plain_activation == "tanh"
    assert ModelConfig("jordan", activation="relu").plain_activation == "relu"
    assert ModelConfig("gru").plain_activation is None


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, "none"),
        ({"steps": 1, "epochs": 1}, "steps, epochs"),
        ({"epochs": 1, "minutes": 1}, "epochs, minutes"),
        ({"steps": 1, "epochs": 1, "minutes": 1}, "steps, epochs, minutes"),
    ],
)
def test_budget_takes_exactly_one(given, names):
    with pytest.raises(ConfigError, match=f"budget must be exactly one of .*, got '{names}'"):
        Budget(**given)


@pytest.mark.parametrize("config", [ModelConfig(), TrainConfig(), Budget(steps=1), SampleConfig()])
def test_configurations_cannot_be_changed_and_compare_by_value(config):
    name = fields(config)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(config, name, getattr(config, name))
    copy = type(config)(**vars(config))
    assert copy == config
    assert hash(copy) == hash(config)


def test_names_are_those_of_the_tables():
    assert sorted(CELL_NAMES) == sorted(CELLS)
    assert sorted(ACTIVATION_NAMES) == sorted(ACTIVATIONS)
    assert sorted(OPTIMIZER_NAMES) == sorted(OPTIMIZERS) == sorted(DEFAULT_LR)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_learning_rate_is_the_given_one_or_the_optimizers_own(name):
    assert TrainConfig(optimizer=name).peak_lr == DEFAULT_LR[name] > 0
    assert TrainConfig(optimizer=name, lr=0.125).peak_lr == 0.125


def test_a_refusal_is_an_error_of_charlm_and_a_value_error():
    assert issubclass(ConfigError, CharlmError)
    assert issubclass(ConfigError, ValueError)


NUMPY = [np.int64(3), np.uint8(3), np.array(3)]


@pytest.mark.parametrize("value", NUMPY)
def test_numpys_integers_become_pythons(value):
    config = ModelConfig(hidden=value)
    assert config == ModelConfig(hidden=3)
    assert type(config.hidden) is int


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.float64(0.5), np.float16(0.5), np.array(0.5)]
)
def test_numpys_numbers_become_pythons(value):
    config = TrainConfig(lr=value, clip=NUMPY[0])
    assert json.loads(json.dumps(asdict(config))) == asdict(TrainConfig(lr=0.5, clip=3))
    assert type(config.lr) is float


def test_numpys_strings_and_booleans_become_pythons():
    config = ModelConfig(np.str_("gru"), layers=2, residual=np.True_)
    assert config == ModelConfig("gru", layers=2, residual=True)
    assert (type(config.cell), type(config.residual)) == (str, bool)
    assert type(TextConfig(np.str_("latin-1")).encoding) is str
    assert type(SampleConfig(stop=np.str_("."), length=np.int32(2)).stop) is str


@pytest.mark.parametrize(
    "value", [np.True_, np.nan, np.int64(-1), np.array([3]), np.array([1, 2]), np.str_("1")]
)
def test_numpys_values_are_checked_as_pythons_are(value):
    with pytest.raises(ConfigError, match=r"^hidden must be an integer of at least 1, got "):
        ModelConfig(hidden=value)
    with pytest.raises(ConfigError, match=r"^dropout must be a number of at least 0 and below 1"):
        ModelConfig(dropout=value)
    with pytest.raises(ConfigError, match="got a value of type int"):
        TrainConfig(lr=10**5000)


class Strange:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    ["x" * 10**7, b"x" * 10**7, ["x" * 99] * 10**6, 10**9999, "\x1b[31m\0\n\u202e", Strange()],
    ids=["text", "bytes", "list", "integer", "escape sequence", "strange"],
)
def test_a_refusal_is_short_and_cannot_control_a_terminal(value):
    for field in ("cell", "dropout", "bidirectional"):
        with pytest.raises(ConfigError) as info:
            ModelConfig(**{field: value})
        assert len(str(info.value)) < 700
        assert str(info.value).isprintable()


def test_other_files_have_encodings_of_their_own():
    corpus = TextConfig("cp1252", errors="skip", newlines="lf", normalize="NFC")
    assert corpus.for_other_files == TextConfig(newlines="lf", normalize="NFC")
