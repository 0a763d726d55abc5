"""A checkpoint: one `.npz` that plain NumPy can read, written atomically, read strictly.

    meta                0-d string: JSON with the format's number, the configurations, the
                        progress, and the corpus's files, size and hash
    vocabulary          (V,) uint32 code points, the character of each id; where meta's has_sign
                        is true, U+FFFD among them stands for every other character
    params/<name>       the weights, `0.W`, `head.b`, …
    optimizer/<name>    what the optimiser keeps, a vector as long as all weights together
    state/<k>           what the streams carry from chunk to chunk, (B, features)

A model saved without its training has the first three only.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlm import __version__
from charlm.arrays import Array
from charlm.config import ModelConfig, TrainConfig
from charlm.errors import CheckpointError, ConfigError
from charlm.files import write_atomically
from charlm.model import CharLM
from charlm.optim import OPTIMIZERS
from charlm.params import Params
from charlm.vocabulary import SIGN, Vocabulary

FORMAT = 1


@dataclass(frozen=True)
class CorpusInfo:
    """Which text a model was trained on.

    Attributes:
        sources: its files, `-` for standard input; empty where it was given from Python.
        encoding: the encoding that they were read in.
        characters: its length.
        sha256: the hash of the text as UTF-8.
    """

    sources: tuple[str, ...]
    encoding: str
    characters: int
    sha256: str


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Attributes:
        step: the steps done.
        steps: the steps there are to be.
        position: the characters of each stream read in this epoch.
        best_nats: the lowest validation figure so far, nats a character.
        best_step: the steps done when it was measured.
        seconds: wall time spent in steps.
    """

    step: int = 0
    steps: int = 0
    position: int = 0
    best_nats: float | None = None
    best_step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if min(self.step, self.steps, self.position, self.best_step) < 0:
            raise ValueError("a count of steps or characters is below 0")


@dataclass(frozen=True)
class TrainingState:
    """All that a run needs beside the weights to go on as if it had not stopped.

    Attributes:
        config: how the model is trained.
        progress: how far it has come.
        corpus: the text.
        moments: what the optimiser keeps, `(k, size)`.
        carried: the streams' state, arrays `(B, features)`.
    """

    config: TrainConfig
    progress: Progress
    corpus: CorpusInfo
    moments: Array
    carried: tuple[Array, ...]


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
        CheckpointError: the file cannot be written; what was there is untouched.
    """
    arrays: dict[str, Array] = {"vocabulary": checkpoint.vocabulary.points}
    arrays |= {f"params/{name}": array for name, array in checkpoint.params.items()}
    meta: dict[str, Any] = {
        "format": FORMAT,
        "charlm": __version__,
        "numpy": np.__version__,
        "model": asdict(checkpoint.config),
        "has_sign": checkpoint.vocabulary.sign is not None,
    }
    training = checkpoint.training
    if training is not None:
        names = OPTIMIZERS[training.config.optimizer][1]
        arrays |= {f"optimizer/{n}": v for n, v in zip(names, training.moments, strict=True)}
        arrays |= {f"state/{k}": part for k, part in enumerate(training.carried)}
        for part in ("config", "progress", "corpus"):
            meta["train" if part == "config" else part] = asdict(getattr(training, part))
    arrays["meta"] = np.array(json.dumps(meta))
    try:
        write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        cause = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot write {path}: {cause}") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, checking every array against the configuration it comes with.

    Raises:
        CheckpointError: the file cannot be read, is not a checkpoint, or contradicts itself.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _decode(arrays)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except KeyError as error:
        raise CheckpointError(f"{path} is not a charlm checkpoint: it lacks {error}") from error
    except Exception as error:  # whatever zip, NumPy and JSON make of bytes that are not theirs
        raise CheckpointError(
            f"{path} is not a charlm checkpoint, or is damaged; name a .npz or a run's directory"
        ) from error


def _decode(arrays: dict[str, Array]) -> Checkpoint:
    meta = json.loads(arrays["meta"].item())
    if meta["format"] != FORMAT:
        raise CheckpointError(
            f"has format {meta['format']}, and this charlm {__version__} reads {FORMAT}"
        )
    try:
        config = ModelConfig(**meta["model"])
    except ConfigError as error:
        raise CheckpointError(f"holds a model this charlm cannot make: {error}") from error
    points = _take(arrays, "vocabulary", None, np.dtype(np.uint32))
    rising = points.ndim == 1 and points.size and (np.diff(points.astype(np.int64)) > 0).all()
    if not rising or points[-1] > sys.maxunicode:
        raise CheckpointError("has a vocabulary that is not a rising list of code points")
    if meta.get("has_sign") and ord(SIGN) not in points:
        raise CheckpointError(f"has a vocabulary without its sign for others, U+{ord(SIGN):04X}")
    model = CharLM(config, points.size)
    dtype = arrays[f"params/{next(iter(model.shapes()))}"].dtype
    if dtype not in (np.float32, np.float64):
        raise CheckpointError(f"has weights of type {dtype}, where float32 or float64 is expected")
    # all are looked at before memory is taken for any
    weights = {n: _take(arrays, f"params/{n}", s, dtype) for n, s in model.shapes().items()}
    params = Params(model.shapes(), dtype=dtype)
    for name, array in weights.items():
        params[name][...] = array
    training = _decode_training(meta, arrays, model, params) if "train" in meta else None
    vocabulary = Vocabulary(points, has_sign=meta.get("has_sign", False))
    return Checkpoint(config, vocabulary, params, training)


def _decode_training(
    meta: dict[str, Any], arrays: dict[str, Array], model: CharLM, params: Params
) -> TrainingState:
    config = TrainConfig(**meta["train"])
    corpus = meta["corpus"] | {"sources": tuple(meta["corpus"]["sources"])}
    dtype, size = params.flat.dtype, params.flat.shape
    names = OPTIMIZERS[config.optimizer][1]
    moments = np.stack([_take(arrays, f"optimizer/{name}", size, dtype) for name in names])
    widths = model.cells.state_widths()
    batch = arrays["state/0"].shape[0]
    carried = tuple(
        _take(arrays, f"state/{k}", (batch, width), dtype) for k, width in enumerate(widths)
    )
    return TrainingState(
        config,
        Progress(**meta["progress"]),
        CorpusInfo(**corpus),
        moments,
        carried,
    )


def _take(
    arrays: dict[str, Array], name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any]
) -> Array:
    """The array of that name, if it has the shape and type it should."""
    if name not in arrays:
        raise CheckpointError(f"lacks the array {name}")
    array = arrays[name]
    if array.dtype != dtype or (shape is not None and array.shape != shape):
        raise CheckpointError(
            f"has {name} as {array.dtype} {array.shape}, where {dtype} {shape} is expected"
        )
    return array
