"""A checkpoint: one `.npz` file that plain NumPy can read, written atomically and read strictly.

    meta                0-d string: JSON with the number of the format, the configurations, how
                        files become text, the progress, the files, size and hash of the corpus,
                        and the numerical environment
    vocabulary          (V,) uint32 code points, the character of each id; if has_unk in meta is
                        true, U+FFFD is the unknown token
    params/<name>       the weights, `0.W`, `head.b`, …
    optimizer/<name>    a moment of the optimizer, a vector as long as all weights together
    state/<k>           the state of the streams, (B, features)
    sha256              0-d string: a checksum of all other arrays

A file with weights only has no optimizer and no state. Formats 1 to 3 have the encoding and the
treatment of line endings among the facts about the corpus. Formats 1 and 2 have `has_sign` for
`has_unk`, and `setbacks` for `rollbacks`. Format 1 has no checksum.
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
from charlm.config import ModelConfig, TrainConfig
from charlm.errors import CheckpointError, ConfigError, ModelError, cause_of
from charlm.nn.model import CharLM
from charlm.nn.optimizers import OPTIMIZERS
from charlm.nn.params import Params
from charlm.system import npz
from charlm.system.arrays import Array
from charlm.system.atomic_files import write_atomically
from charlm.system.available_memory import check_fits
from charlm.system.npz import NpzError
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import UNK, Vocabulary

FORMAT, OLDER = 4, (1, 2, 3)
META = 1 << 19  # characters of JSON; reading more would take much more memory than the file
LISTED = META // 2  # characters of JSON with the files that directories and globs stand for
# Unless `eval_every` says otherwise: evaluations in a run, and at least so many steps between them.
EVALUATIONS, FEWEST_STEPS = 20, 10
LINE = 300  # characters of a message, since a file may contain names of any length


@dataclass(frozen=True)
class CorpusInfo:
    """The corpus that a model was trained on.

    Attributes:
        sources: its files, directories and globs, `-` for standard input; empty for a text that was
            given from Python.
        characters: its length.
        sha256: the hash of the text as UTF-8.
        files: the files that the sources stand for; empty if they are the same, or too many to
            list. Files before format 4 have none.
        bytes: the size of the files together; None if unknown.
        validation: the corpus of the validation split; None if that is held out of this one, or if
            there is none. Files before format 4 have none.
    """

    sources: tuple[str, ...]
    characters: int
    sha256: str
    files: tuple[str, ...] = ()
    bytes: int | None = None
    validation: "CorpusInfo | None" = None

    @classmethod
    def of(cls, corpus: Corpus, validation: Corpus | None = None) -> "CorpusInfo":
        """The description of a corpus, and of that of its validation split."""
        files = corpus.files if corpus.files != corpus.sources else ()
        listed = LISTED // 2 if validation else LISTED
        if sum(map(len, files)) > listed or len(json.dumps([corpus.sources, files])) > listed:
            files = ()
        other = cls.of(validation) if validation else None
        sha256 = corpus.encoded.sha256
        return cls(corpus.sources, len(corpus), sha256, files, corpus.bytes, other)

    def __post_init__(self) -> None:
        if not all(isinstance(text, str) for text in (*self.sources, *self.files, self.sha256)):
            raise ValueError("the corpus description has an invalid field")
        _check_counts(self.characters, self.bytes or 0)


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a training run.

    Attributes:
        step: the number of steps so far.
        steps: the planned number of steps.
        best_nats: the lowest validation loss so far, in nats per character.
        best_step: the step after which it was measured.
        seconds: the total time of the steps.
        rollbacks: how often training diverged and continued from its best model.
    """

    step: int = 0
    steps: int = 0
    best_nats: float | None = None
    best_step: int = 0
    seconds: float = 0.0
    rollbacks: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether the run has not begun; it begins with an evaluation before the first step."""
        return self.step == self.rollbacks == 0

    def eval_every(self, config: TrainConfig) -> int:
        """The number of steps between two evaluations."""
        return config.eval_every or max(FEWEST_STEPS, math.ceil(self.steps / EVALUATIONS))

    def has_stalled(self, config: TrainConfig) -> bool:
        """Whether `config.patience` evaluations in a row have not improved the validation loss."""
        stale = self.step - self.best_step
        return 0 < config.patience * self.eval_every(config) <= stale

    def is_finished(self, config: TrainConfig) -> bool:
        """Whether there are no steps left, or training has stopped early."""
        return self.step >= self.steps or self.has_stalled(config)

    def __post_init__(self) -> None:
        _check_counts(self.step, self.steps, self.best_step, self.rollbacks)
        for figure in (self.seconds, 0.0 if self.best_nats is None else self.best_nats):
            if isinstance(figure, bool) or not (isinstance(figure, (int, float)) and figure >= 0):
                raise ValueError("a value is not a number of at least 0")
            if not math.isfinite(figure):
                raise ValueError("a value is not finite")


def _check_counts(*counts: int) -> None:
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("a count is not an integer of at least 0")


@dataclass(frozen=True)
class TrainingState:
    """What a run needs in addition to the weights to resume bit-identically.

    Attributes:
        config: how the model is trained.
        progress: the progress of the run.
        corpus: the corpus.
        moments: the moments of the optimizer, `(k, size)`.
        carried: the state of the streams, arrays `(B, features)`.
        environment: the numerical environment, which also affects rounding.
    """

    config: TrainConfig
    progress: TrainingProgress
    corpus: CorpusInfo
    moments: Array
    carried: tuple[Array, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A model, how it reads text, and its training state unless it has weights only."""

    config: ModelConfig
    vocabulary: Vocabulary
    params: Params
    training: TrainingState | None = None
    text: TextConfig = PLAIN_TEXT


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: `path` is always either the old file or the new one.

    Raises:
        CheckpointError: the file cannot be written, or `load` would reject it. The old file is
            unchanged.
    """
    meta: dict[str, Any] = {
        "format": FORMAT,
        "charlm": __version__,
        "model": asdict(checkpoint.config),
        "has_unk": checkpoint.vocabulary.unk_id is not None,
        "text": asdict(checkpoint.text),
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
        raise CheckpointError(f"cannot write {path}: {cause_of(error)}") from error


def _text_of(meta: dict[str, Any]) -> str:
    text = json.dumps(meta)
    if len(text) > META:
        raise ValueError("the corpus has too many files to list; specify their directory instead")
    return text


def _check_finite(arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} has NaN or infinite values")


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, and check every array against the configuration in the file.

    No code in the file is executed. The memory used is the size of the file plus a few megabytes.

    Raises:
        CheckpointError: the file cannot be read, is not a checkpoint, or is inconsistent.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError("is not a regular file; specify a .npz file or a run directory")
        with npz.reading(path) as arrays:
            return _decode(arrays)
    except FileNotFoundError:
        raise CheckpointError(
            f"checkpoint {path} not found; specify a .npz file or a run directory"
        ) from None
    except (CheckpointError, NpzError) as error:
        raise CheckpointError(f"{path} {str(error)[:LINE]}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {cause_of(error)}") from error
    except (MemoryError, ModelError) as error:
        raise CheckpointError(f"cannot read {path}: {str(error) or 'out of memory'}") from error
    except KeyError as error:
        raise CheckpointError(f"{path} is not a charlm checkpoint: {error} is missing") from error
    except Exception as error:  # zipfile, NumPy and JSON raise many kinds of error on invalid data
        raise CheckpointError(
            f"{path} is not a charlm checkpoint, or is damaged; specify a .npz file or a run "
            "directory"
        ) from error


def load_of_run(path: Path, config: ModelConfig, train: TrainConfig, sha256: str) -> Checkpoint:
    """Read another checkpoint of a run, with its training state.

    Args:
        path: the file.
        config: the model configuration of the run.
        train: the training configuration of the run.
        sha256: the hash of its corpus.

    Raises:
        CheckpointError: as `load`, or it belongs to another run.
    """
    checkpoint = load(path)
    state = checkpoint.training
    found = state and (checkpoint.config, state.config, state.corpus.sha256)
    if found != (config, train, sha256):
        raise CheckpointError(f"{path} belongs to another run")
    return checkpoint


def _decode(arrays: npz.Reader) -> Checkpoint:
    meta = json.loads(arrays.text("meta", META), parse_constant=_refuse)
    if type(meta["format"]) is not int or meta["format"] not in (FORMAT, *OLDER):
        reads = f"{', '.join(map(str, OLDER))} and {FORMAT}"
        raise CheckpointError(
            f"has format {meta['format']!r}, but charlm {__version__} supports only {reads}; use "
            "another version of charlm"
        )
    _renew(meta)
    vocabulary = _decode_vocabulary(meta, arrays)
    text = _decode_text(meta)
    model = _decode_model(meta, arrays, len(vocabulary), reads_documents=text.has_documents)
    dtype, _ = arrays.form(f"params/{next(iter(model.shapes()))}")
    if dtype not in (np.float32, np.float64):
        raise CheckpointError(f"has weights of type {dtype}, expected float32 or float64")
    for name, shape in model.shapes().items():  # before memory is allocated for any of them
        arrays.check(f"params/{name}", dtype, shape)
    check_fits(arrays.size, "the model", "train a smaller model")
    params = Params(model.shapes(), dtype=dtype)
    for name, array in params.items():
        arrays.read_into(f"params/{name}", array)
    training = _decode_training(meta, arrays, model, params) if "train" in meta else None
    arrays.finish(has_checksum=meta["format"] > 1)
    return Checkpoint(model.config, vocabulary, params, training, text)


def _refuse(constant: str) -> NoReturn:
    raise CheckpointError(f"has the invalid number {constant} in its metadata")


def _decode_vocabulary(meta: dict[str, Any], arrays: npz.Reader) -> Vocabulary:
    _, shape = arrays.form("vocabulary")
    if math.prod(shape) > sys.maxunicode + 1:  # before memory is allocated
        raise CheckpointError("has a vocabulary larger than Unicode")
    points = arrays.read("vocabulary", np.dtype(np.uint32), shape)
    rising = points.ndim == 1 and points.size and (np.diff(points.astype(np.int64)) > 0).all()
    if not rising or points[-1] > sys.maxunicode:
        raise CheckpointError("has a vocabulary that is not an increasing list of code points")
    has_unk = meta["has_unk"]
    if type(has_unk) is not bool:
        raise CheckpointError(f"has the value {has_unk!r} for has_unk, expected true or false")
    if has_unk and ord(UNK) not in points:
        raise CheckpointError(f"has a vocabulary without the unknown token, U+{ord(UNK):04X}")
    if has_unk and len(points) == 1:
        raise CheckpointError("has a vocabulary of the unknown token only")
    return Vocabulary(points, has_unk=has_unk)


def _decode_model(
    meta: dict[str, Any], arrays: npz.Reader, vocabulary: int, *, reads_documents: bool
) -> CharLM:
    try:
        config = ModelConfig(**meta["model"])
    except ConfigError as error:
        raise CheckpointError(f"has an invalid model configuration: {error}") from error
    if config.layers + config.head_layers > len(arrays):  # before there is an object per layer
        raise CheckpointError("has fewer arrays than layers")
    return CharLM(config, vocabulary, reads_documents=reads_documents)


def _decode_text(meta: dict[str, Any]) -> TextConfig:
    try:
        return TextConfig(**meta["text"])
    except ConfigError as error:
        raise CheckpointError(f"has invalid settings for reading text: {error}") from error


def _renew(meta: dict[str, Any]) -> None:
    """Bring the metadata of an older format to the newest one."""
    if meta["format"] < 3:
        meta["has_unk"] = meta.pop("has_sign", False)
        if progress := meta.get("progress"):
            progress.pop("position", None)
            progress["rollbacks"] = progress.pop("setbacks", 0)
    if meta["format"] < 4:
        corpus = meta.get("corpus", {})
        meta["text"] = {k: corpus.pop(k) for k in ("encoding", "newlines") if k in corpus}
        meta["text"]["joined"] = True


def _decode_training(
    meta: dict[str, Any], arrays: npz.Reader, model: CharLM, params: Params
) -> TrainingState:
    config = TrainConfig(**meta["train"])
    environment = meta.get("environment", {"NumPy": meta.get("numpy")})
    if not all(isinstance(value, str) and len(value) < 1000 for value in environment.values()):
        raise CheckpointError("has a numerical environment with invalid values")
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
    progress, info = TrainingProgress(**meta["progress"]), _decode_corpus(meta["corpus"])
    return TrainingState(config, progress, info, moments, carried, environment)


def _decode_corpus(description: dict[str, Any]) -> CorpusInfo:
    corpus = {"files": [], "validation": None} | description
    for name in ("sources", "files"):
        if type(corpus[name]) is not list:
            raise CheckpointError(f"has corpus {name} that are not a list")
        corpus[name] = tuple(corpus[name])
    if corpus["validation"] is not None:
        if corpus["validation"].get("validation") is not None:
            raise CheckpointError("has a validation text with a validation text of its own")
        corpus["validation"] = _decode_corpus(corpus["validation"])
    return CorpusInfo(**corpus)
