"""A checkpoint: one `.npz` that plain NumPy can read, written atomically, read strictly.

    meta                0-d string: JSON with the format's number, the configurations, the
                        progress, the corpus's files, size and hash, and what else decides
                        how numbers are rounded
    vocabulary          (V,) uint32 code points, the character of each id; where meta's has_unk
                        is true, U+FFFD among them is the unknown token
    params/<name>       the weights, `0.W`, `head.b`, …
    optimizer/<name>    what the optimiser keeps, a vector as long as all weights together
    state/<k>           what the streams carry from chunk to chunk, (B, features)
    sha256              0-d string: a checksum of all of these

A model saved without its training lacks optimizer and state. Format 1 had no checksum; formats 1
and 2 called has_unk has_sign and rollbacks setbacks.
"""

import json
import math
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from charlm import __version__
from charlm.config import NEWLINES, ModelConfig, TrainConfig
from charlm.errors import CheckpointError, ConfigError, ModelError
from charlm.nn.model import CharLM
from charlm.nn.optimizers import OPTIMIZERS
from charlm.nn.params import Params
from charlm.system import npz
from charlm.system.arrays import Array
from charlm.system.atomic_files import write_atomically
from charlm.system.available_memory import check_fits
from charlm.system.npz import NpzError
from charlm.text.vocabulary import UNK, Vocabulary

FORMAT, OLDER = 3, (1, 2)
META = 1 << 19  # characters of JSON; more would take much more memory to read than the file's size
LINE = 300  # characters that are said of a file, which may hold names of any length


@dataclass(frozen=True)
class CorpusInfo:
    """Which text a model was trained on.

    Attributes:
        sources: its files, `-` for standard input; empty where it was given from Python.
        encoding: the encoding that they were read in.
        characters: its length.
        sha256: the hash of the text as UTF-8.
        newlines: whether line ends were kept, or read as lf.
    """

    sources: tuple[str, ...]
    encoding: str
    characters: int
    sha256: str
    newlines: str = "keep"

    def __post_init__(self) -> None:
        texts = (*self.sources, self.encoding, self.sha256)
        if not all(isinstance(text, str) for text in texts) or self.newlines not in NEWLINES:
            raise ValueError("a corpus is described by texts")
        _check_counts(self.characters)


@dataclass(frozen=True)
class TrainingProgress:
    """How far training has come.

    Attributes:
        step: the steps done.
        steps: the steps there are to be.
        best_nats: the lowest validation figure so far, nats a character.
        best_step: the steps done when it was measured.
        seconds: wall time spent in steps.
        rollbacks: how often training has diverged and resumed from its best model.
    """

    step: int = 0
    steps: int = 0
    best_nats: float | None = None
    best_step: int = 0
    seconds: float = 0.0
    rollbacks: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether a run is still to begin, with an evaluation before its first step."""
        return self.step == self.rollbacks == 0

    def __post_init__(self) -> None:
        _check_counts(self.step, self.steps, self.best_step, self.rollbacks)
        for figure in (self.seconds, 0.0 if self.best_nats is None else self.best_nats):
            if isinstance(figure, bool) or not (isinstance(figure, (int, float)) and figure >= 0):
                raise ValueError("a figure is no number of 0 or more")
            if not math.isfinite(figure):
                raise ValueError("a figure is not finite")


def _check_counts(*counts: int) -> None:
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("a count is no whole number of 0 or more")


@dataclass(frozen=True)
class TrainingState:
    """All that a run needs beside the weights to go on as if it had not stopped.

    Attributes:
        config: how the model is trained.
        progress: how far it has come.
        corpus: the text.
        moments: what the optimiser keeps, `(k, size)`.
        carried: the streams' state, arrays `(B, features)`.
        environment: what else decided how its numbers were rounded, where that is known.
    """

    config: TrainConfig
    progress: TrainingProgress
    corpus: CorpusInfo
    moments: Array
    carried: tuple[Array, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A model, and where its training stands, if that is kept."""

    config: ModelConfig
    vocabulary: Vocabulary
    params: Params
    training: TrainingState | None = None


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, so that `path` is at any moment a whole old file or a whole new one.

    Raises:
        CheckpointError: the file cannot be written, or `load` would refuse it; what was there is
            untouched.
    """
    meta: dict[str, Any] = {
        "format": FORMAT,
        "charlm": __version__,
        "model": asdict(checkpoint.config),
        "has_unk": checkpoint.vocabulary.unk_id is not None,
    }
    arrays: dict[str, Array] = {"vocabulary": checkpoint.vocabulary.points}
    arrays |= {f"params/{name}": array for name, array in checkpoint.params.items()}
    training = checkpoint.training
    if training is not None:
        names = OPTIMIZERS[training.config.optimizer][1]
        arrays |= {f"optimizer/{n}": v for n, v in zip(names, training.moments, strict=True)}
        arrays |= {f"state/{k}": part for k, part in enumerate(training.carried)}
        meta |= {
            "train": asdict(training.config),
            "progress": asdict(training.progress),
            "corpus": asdict(training.corpus),
            "environment": dict(training.environment),
        }
    try:
        arrays["meta"] = np.array(_text_of(meta))
        _check_finite(arrays)
        write_atomically(path, lambda file: npz.write(file, arrays))
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        cause = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot write {path}: {cause}") from error


def _text_of(meta: dict[str, Any]) -> str:
    text = json.dumps(meta)
    if len(text) > META:
        raise ValueError("its corpus has too many files to be named; name their directory")
    return text


def _check_finite(arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"a number in {name} is not finite")


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, checking every array against the configuration it comes with.

    Nothing in the file is ever run, and no more memory is taken than it is large, but for some
    megabytes.

    Raises:
        CheckpointError: the file cannot be read, is not a checkpoint, or contradicts itself.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError("is not a regular file; name a .npz or a run's directory")
        with npz.reading(path) as arrays:
            return _decode(arrays)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (CheckpointError, NpzError) as error:
        raise CheckpointError(f"{path} {str(error)[:LINE]}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (MemoryError, ModelError) as error:
        raise CheckpointError(f"cannot read {path}: {str(error) or 'no memory'}") from error
    except KeyError as error:
        raise CheckpointError(f"{path} is not a charlm checkpoint: it lacks {error}") from error
    except Exception as error:  # whatever zip, NumPy and JSON make of bytes that are not theirs
        raise CheckpointError(
            f"{path} is not a charlm checkpoint, or is damaged; name a .npz or a run's directory"
        ) from error


def load_of_run(path: Path, config: ModelConfig, train: TrainConfig, sha256: str) -> Checkpoint:
    """Read another checkpoint of a run, with its training.

    Args:
        path: of the file.
        config: the run's model.
        train: how it is trained.
        sha256: the hash of its corpus.

    Raises:
        CheckpointError: as `load`; or it is of another run.
    """
    checkpoint = load(path)
    state = checkpoint.training
    found = state and (checkpoint.config, state.config, state.corpus.sha256)
    if found != (config, train, sha256):
        raise CheckpointError(f"{path} is not of this run")
    return checkpoint


def _decode(arrays: npz.Reader) -> Checkpoint:
    meta = json.loads(arrays.text("meta", META), parse_constant=_refuse)
    if type(meta["format"]) is not int or meta["format"] not in (FORMAT, *OLDER):
        reads = f"{', '.join(map(str, OLDER))} and {FORMAT}"
        raise CheckpointError(
            f"has format {meta['format']!r}, and this charlm {__version__} reads {reads}"
        )
    if meta["format"] < FORMAT:
        _renew(meta)
    vocabulary = _decode_vocabulary(meta, arrays)
    model = _decode_model(meta, arrays, len(vocabulary))
    dtype, _ = arrays.form(f"params/{next(iter(model.shapes()))}")
    if dtype not in (np.float32, np.float64):
        raise CheckpointError(f"has weights of type {dtype}, where float32 or float64 is expected")
    for name, shape in model.shapes().items():  # all of them before memory is taken for any
        arrays.check(f"params/{name}", dtype, shape)
    check_fits(arrays.size, "its model", "train a smaller one")
    params = Params(model.shapes(), dtype=dtype)
    for name, array in params.items():
        arrays.read_into(f"params/{name}", array)
    training = _decode_training(meta, arrays, model, params) if "train" in meta else None
    arrays.finish(has_checksum=meta["format"] > 1)
    return Checkpoint(model.config, vocabulary, params, training)


def _refuse(constant: str) -> NoReturn:
    raise CheckpointError(f"has the figure {constant}")


def _decode_vocabulary(meta: dict[str, Any], arrays: npz.Reader) -> Vocabulary:
    _, shape = arrays.form("vocabulary")
    if math.prod(shape) > sys.maxunicode + 1:  # before memory is taken for it
        raise CheckpointError("has a vocabulary of more characters than there are")
    points = arrays.read("vocabulary", np.dtype(np.uint32), shape)
    rising = points.ndim == 1 and points.size and (np.diff(points.astype(np.int64)) > 0).all()
    if not rising or points[-1] > sys.maxunicode:
        raise CheckpointError("has a vocabulary that is not a rising list of code points")
    has_unk = meta["has_unk"]
    if type(has_unk) is not bool:
        raise CheckpointError(f"has a has_unk of {has_unk!r}, where true or false is expected")
    if has_unk and ord(UNK) not in points:
        raise CheckpointError(f"has a vocabulary without its sign for others, U+{ord(UNK):04X}")
    return Vocabulary(points, has_unk=has_unk)


def _decode_model(meta: dict[str, Any], arrays: npz.Reader, vocabulary: int) -> CharLM:
    try:
        config = ModelConfig(**meta["model"])
    except ConfigError as error:
        raise CheckpointError(f"holds a model this charlm cannot make: {error}") from error
    if config.layers + config.head_layers > len(arrays):  # before an object is made of each layer
        raise CheckpointError("has fewer arrays than layers")
    return CharLM(config, vocabulary)


def _renew(meta: dict[str, Any]) -> None:
    """Give what formats 1 and 2 say today's names, and drop a figure that was never read."""
    meta["has_unk"] = meta.pop("has_sign", False)
    if progress := meta.get("progress"):
        progress.pop("position", None)
        progress["rollbacks"] = progress.pop("setbacks", 0)


def _decode_training(
    meta: dict[str, Any], arrays: npz.Reader, model: CharLM, params: Params
) -> TrainingState:
    config = TrainConfig(**meta["train"])
    if type(meta["corpus"]["sources"]) is not list:
        raise CheckpointError("has sources of its corpus that are no list")
    corpus = meta["corpus"] | {"sources": tuple(meta["corpus"]["sources"])}
    environment = meta.get("environment", {"NumPy": meta.get("numpy")})
    if not all(isinstance(value, str) and len(value) < 1000 for value in environment.values()):
        raise CheckpointError("has an environment that is not described by short texts")
    dtype, size = params.flat.dtype, params.flat.shape
    names = [f"optimizer/{name}" for name in OPTIMIZERS[config.optimizer][1]]
    for name in names:
        arrays.check(name, dtype, size)
    moments = np.empty((len(names), *size), dtype)
    for name, moment in zip(names, moments, strict=True):
        arrays.read_into(name, moment)
    batch = arrays.form("state/0")[1][0]
    carried = tuple(
        arrays.read(f"state/{k}", dtype, (batch, width))
        for k, width in enumerate(model.cells.state_widths())
    )
    progress, info = TrainingProgress(**meta["progress"]), CorpusInfo(**corpus)
    return TrainingState(config, progress, info, moments, carried, environment)
