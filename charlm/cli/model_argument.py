"""Which model a command uses."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from charlm.cli.console import note

if TYPE_CHECKING:
    from charlm.language_model import LanguageModel


def open_model(argument: str | None) -> tuple["LanguageModel", str]:
    """The model that an argument names, or the newest valid one under `runs/`, and its path.

    Raises:
        CheckpointError: the named file cannot be used.
        RunError: none is named, and there is none under `runs/`.
    """
    from charlm.errors import RunError

    if argument is not None:
        return _named(argument)
    for model, path in _newest_first():
        note(f"model: {path}")
        return model, path
    raise RunError("every best.npz under runs/ is damaged; name a model")


def open_bidirectional_model(argument: str | None) -> tuple["LanguageModel", str]:
    """Likewise, of the models that read from both ends.

    Raises:
        CheckpointError: the named file cannot be used.
        ModelError: the named model reads one way.
        RunError: none is named, and there is none under `runs/`.
    """
    from charlm.errors import ModelError, RunError

    if argument is not None:
        model, path = _named(argument)
        if not model.config.bidirectional:
            raise ModelError(
                f"{path} reads from left to right only; name a model that was trained with "
                "--bidirectional"
            )
        return model, path
    with suppress(RunError):  # there is no run at all
        for model, path in _newest_first():
            if model.config.bidirectional:
                note(f"model: {path}")
                return model, path
    raise RunError(
        "there is no bidirectional model under runs/; train one: charlm train --bidirectional "
        "corpus.txt"
    )


def _named(argument: str) -> tuple["LanguageModel", str]:
    from charlm.api import load
    from charlm.training.run_directory import model_file

    path = model_file(argument)
    return load(path), str(path)


def _newest_first() -> Iterator[tuple["LanguageModel", str]]:
    """The models under `runs/`, and where they are."""
    from charlm.api import load
    from charlm.errors import CheckpointError
    from charlm.training.run_directory import runs_by_age

    for run in runs_by_age("best.npz"):
        try:
            model = load(run.best)
        except CheckpointError as error:
            note(f"passing over a damaged checkpoint: {error}")
            continue
        yield model, str(run.best)


def note_unknown(model: "LanguageModel", unknown: str) -> None:
    """Say which characters of a text the model does not know, and what became of them."""
    from charlm.text.vocabulary import listed

    if unknown and model.vocabulary.unk_id is not None:
        note(f"read as the sign for what the model does not know: {listed(unknown)}")
    elif unknown:
        note(f"passed over, since the model has never seen them: {listed(unknown)}")
