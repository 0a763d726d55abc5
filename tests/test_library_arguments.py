"""Whatever is passed to the library, it works, or a CharlmError says what it takes.

The public callables are found: a new one needs a line in `VALID` if it requires an argument that no
other has.
"""

import decimal
import inspect
import os
import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.errors import LONGEST, CharlmError, ConfigError, TextError
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import UNK, Vocabulary
from tests.helpers import TEXT

ROOTS = {name: getattr(charlm, name) for name in charlm.__all__} | {"Vocabulary": Vocabulary}

# These take arrays that the package makes.
INTERNAL = {"Vocabulary.frequent", "Vocabulary.numbers", "Vocabulary.table"}

ODD = {
    "None": None,
    "True": True,
    "0": 0,
    "1": 1,
    "-1": -1,
    "2.5": 2.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "1e308": 1e308,
    "huge": 10**30,
    "of 5,000 digits": 10**5000,
    "complex": 1j,
    "decimal": decimal.Decimal(1),
    "empty string": "",
    "string": "the cat",
    "path of a text": "text.txt",
    "file": "model.npz",
    "NUL": "a\0b",
    "escape sequence": "\x1b[31m",
    "surrogate": "\ud800",
    "long string": "a" * 5000,
    "bytes": b"the cat",
    "much": b"x" * 10**7,
    "Path": Path("text.txt"),
    "bytes path": os.fsencode("text.txt"),
    "list": [],
    "strings": ["the", "cat"],
    "numbers": [1, 2],
    "mixed": ["the", None],
    "tuple": (),
    "dict": {},
    "dict of numbers": {"a": 1},
    "set": {1},
    "object": object(),
    "iterator": iter([3]),
    "lambda": lambda *_: None,
    "np.int64": np.int64(1),
    "np.uint8": np.uint8(0),
    "np.float32": np.float32(0.5),
    "np.nan": np.float32("nan"),
    "np.bool_": np.True_,
    "np.str_": np.str_("the cat"),
    "np.datetime64": np.datetime64("2020-01-01"),
    "()": np.array(1),
    "integers": np.array([1, 2]),
    "floats": np.zeros((2, 2)),
    "characters": np.array(["the", "cat"]),
    "objects": np.array([None]),
    "RandomState": np.random.RandomState(0),
    "Random": random.Random(0),
    "Generator": np.random.default_rng(0),
}


def model(*, bidirectional: bool = False, lines: bool = False) -> LanguageModel:
    config = charlm.ModelConfig("rnn", 2, bidirectional=bidirectional)
    vocabulary = Vocabulary.of(TEXT)
    network = CharLM(config, len(vocabulary), reads_documents=lines)
    params = network.init_params(np.random.default_rng(0))
    return LanguageModel(config, vocabulary, params, text_config=TextConfig(lines=lines))


MODEL = model()
OF_LINES = model(lines=True)
BOTH_SIDES = model(bidirectional=True)

# Arguments that a call needs, by the name of the callable or for all.
VALID: dict[str, Any] = {
    "text": TEXT,
    "prompt": "the",
    "models": {"it": MODEL},
    "sources": "text.txt",
    "path": "model.npz",
    "vocabulary": MODEL.vocabulary,
    "params": MODEL.params,
    "points": np.array([97, 98], np.uint32),
    "ids": np.array([0, 1]),
    "encoded": Corpus.of(TEXT).encoded,
    "count": 2,
    "min_count": 1,
    "LanguageModel.sample_streams.config": charlm.SampleConfig(3),
    "LanguageModel.config": MODEL.config,
    "LanguageModel.fill.text": "the _at",
    "LanguageModel.save.path": "new.npz",
    "CharlmError.message": "it failed",
    "Budget.steps": 1,
    "train.model": charlm.ModelConfig("rnn", 2),
    "train.config": charlm.TrainConfig(seq_len=5, batch_size=2),
    "train.budget": charlm.Budget(steps=1),
    "train.threads": 1,
}


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions, constructors and methods, by name; methods of an instance."""
    for name, found in ROOTS.items():
        yield name, found
        if inspect.isclass(found) and not issubclass(found, Exception):
            for each, value in inspect.getmembers(instance_of(name, found)):
                if not each.startswith("_") and isinstance(value, (FunctionType, MethodType)):
                    yield f"{name}.{each}", value


def instance_of(name: str, found: type) -> Any:
    known = {"LanguageModel": MODEL, "Vocabulary": MODEL.vocabulary, "Corpus": Corpus.of(TEXT)}
    return known.get(name) or found(**needed(name, inspect.signature(found)))


def needed(name: str, signature: inspect.Signature) -> dict[str, Any]:
    """Valid arguments: those of `VALID` for this callable, and those that have no default."""
    arguments = {}
    for each, parameter in signature.parameters.items():
        own = f"{name}.{each}"
        if own in VALID:
            arguments[each] = VALID[own]
        elif parameter.default is parameter.empty:
            assert each in VALID, f"add a valid {own} to this test"
            arguments[each] = VALID[each]
    return arguments


CALLABLES = dict(callables())
CASES = [
    pytest.param(name, parameter, id=f"{name}-{parameter}")
    for name, found in CALLABLES.items()
    if name not in INTERNAL
    for parameter in inspect.signature(found).parameters
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a text and a model; a minute of training is a few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("charlm.api.DEFAULT_MINUTES", 1e-6)
    (tmp_path / "text.txt").write_text(TEXT)
    MODEL.save("model.npz")


def run(name: str, arguments: dict[str, Any]) -> None:
    """Call it, and read the start of what it yields."""
    call = CALLABLES[name]
    if name in ("LanguageModel.fill", "LanguageModel.proofread"):
        call = getattr(BOTH_SIDES, call.__name__)
    elif name == "LanguageModel.sample_documents":
        call = OF_LINES.sample_documents
    elif name in (
        "LanguageModel.held_out",
        "LanguageModel.corpus_documents",
        "LanguageModel.baselines",
    ):
        return  # the model has no corpus
    result = call(**arguments)
    if isinstance(result, Iterator):
        list(islice(result, 2))


@pytest.mark.parametrize("name", sorted(CALLABLES.keys() - INTERNAL))
def test_valid_arguments_work(name):
    run(name, needed(name, inspect.signature(CALLABLES[name])))


def fault(error: Exception, argument: str) -> str:
    """What is wrong with a refusal; empty if it is one short line that names the argument."""
    message = str(error)
    if not isinstance(error, CharlmError):
        return f"{type(error).__name__}: {message}"
    is_named = not isinstance(error, ConfigError) or error.field.split()[-1] in (argument, "budget")
    if is_named and len(message) <= LONGEST + 10 and message.isprintable():
        return ""
    return f"an unclear message: {message}"


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_any_argument_works_or_is_refused(name, parameter):
    others = {} if name == "Budget" else needed(name, inspect.signature(CALLABLES[name]))
    faults = {}
    for kind, value in ODD.items():
        try:
            run(name, others | {parameter: value})
        except Exception as error:
            faults[kind] = fault(error, parameter)
    assert not {kind: found[:200] for kind, found in faults.items() if found}


PATHS = ["text.txt", "nowhere.txt", "folder/nowhere.TXT.gz", "many/*.txt", ".", "model.npz"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("make", [charlm.train, Corpus.of], ids=["train", "Corpus.of"])
def test_a_path_is_no_text_to_train_on(make, path):
    for value in (path, np.str_(path), Path(path)):
        advice = re.escape(f"Corpus.read({str(path)!r})")
        with pytest.raises(TextError, match=rf"^text is .* path.*; read the file with {advice}$"):
            make(value)


def test_texts_that_contain_paths_are_texts():
    for text in ("text.txt\n" * 2, "acgt" * 9, "I read text.txt yesterday", "a" * 5000 + ".txt"):
        assert len(Corpus.of(text)) == len(text)


@pytest.mark.parametrize("use", [MODEL.score, MODEL.perplexity, BOTH_SIDES.proofread])
def test_the_name_of_a_file_is_not_its_content(use):
    for value in ("text.txt", "./text.txt", Path("text.txt"), Path("nowhere")):
        with pytest.raises(TextError, match=r"^text is .*; pass what it contains, .* open\('"):
            use(value)
    use("other.txt and text.txt")
    Path("them").touch()
    use("them")  # a word
    assert MODEL.score(["text.txt"]).characters.tolist() == [len("text.txt")]
    assert MODEL.score(iter(["text.txt"])) == MODEL.score(iter("text.txt"))
    with open("text.txt", encoding="utf-8", newline="") as file:
        assert MODEL.score(file) == MODEL.score(TEXT)


def test_texts_may_be_numpys_strings():
    assert MODEL.score(np.str_(TEXT)) == MODEL.score(np.array(list(TEXT))) == MODEL.score(TEXT)
    assert charlm.classify(np.str_(TEXT), {"it": MODEL}) == charlm.classify(TEXT, {"it": MODEL})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.npz", "nowhere.npz not found; specify a .npz file or a run directory"),
        (".", "has no best.npz, so it is not the directory of a run; specify a .npz file"),
        ("text.txt", "text.txt is not a charlm checkpoint.*; specify a .npz file"),
        ("a" * 300, "File name too long"),
        ("a" * 5000, "path must be a path of 1 to 4,096 characters, got 'aaa"),
        ("", "path must be a path of 1 to 4,096 characters, got ''"),
        (b"model.npz", "path must be a path .*, got b'model.npz'"),
        (None, "path must be a path .*, got None"),
        ("a\0b", r"path must be a path .*, got 'a\\x00b'"),
    ],
)
def test_what_is_not_a_model_is_refused_with_what_to_do(path, words):
    with pytest.raises(CharlmError, match=words):
        charlm.load(path)


def test_parts_of_a_model_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"^params must be the weights of a network with this"):
        LanguageModel(charlm.ModelConfig("rnn", 3), MODEL.vocabulary, MODEL.params)
    for points in ([97, 98], [ord(UNK)]):
        with pytest.raises(ConfigError, match=r"^has_unk must be False for a vocabulary without"):
            Vocabulary(np.array(points, np.uint32), has_unk=True)


def test_the_middle_of_a_long_message_is_left_out():
    message = str(TextError(f"cannot read {'a' * 10**7}\n: it is too long; use a shorter name"))
    assert len(message) <= LONGEST + 10
    assert message.startswith("cannot read aaa")
    assert message.endswith("aaa\\n: it is too long; use a shorter name")
