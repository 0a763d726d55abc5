"""Opening the model that a command uses."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from charlm.cli.console import note

if TYPE_CHECKING:
    from charlm.language_model import LanguageModel


def open_model(argument: str | None) -> tuple["LanguageModel", str]:
    """The model at a path, by default the newest valid one under `runs/`; and its path.

    Raises:
        CheckpointError: the file cannot be used.
        RunError: there is no path, and no model under `runs/`.
    """
    from charlm.errors import RunError

    if argument is not None:
        return _named(argument)
    for model, path in _newest_first():
        note(f"model: {path}")
        return model, path
    raise RunError("every best.npz under runs/ is damaged; specify the path of a model")


def open_bidirectional_model(argument: str | None) -> tuple["LanguageModel", str]:
    """As `open_model`, for bidirectional models.

    Raises:
        CheckpointError: the file cannot be used.
        ModelError: the model is not bidirectional.
        RunError: there is no path, and no bidirectional model under `runs/`.
    """
    from charlm.errors import ModelError, RunError

    if argument is not None:
        model, path = _named(argument)
        if not model.config.bidirectional:
            raise ModelError(
                f"{path} is not bidirectional; use a model trained with --bidirectional"
            )
        return model, path
    with suppress(RunError):  # no run
        for model, path in _newest_first():
            if model.config.bidirectional:
                note(f"model: {path}")
                return model, path
    raise RunError(
        "no bidirectional model under runs/; train one with: "
        "charlm train --bidirectional corpus.txt"
    )


def _named(argument: str) -> tuple["LanguageModel", str]:
    from charlm.api import load
    from charlm.training.run_directory import model_file

    path = model_file(argument)
    return load(path), str(path)


def _newest_first() -> Iterator[tuple["LanguageModel", str]]:
    """Yield the models under `runs/` and their paths."""
    from charlm.api import load
    from charlm.errors import CheckpointError
    from charlm.training.run_directory import runs_by_age

    for run in runs_by_age("best.npz"):
        try:
            model = load(run.best)
        except CheckpointError as error:
            note(f"skipping a damaged checkpoint: {error}")
            continue
        yield model, str(run.best)


def note_unknown(model: "LanguageModel", unknown: str) -> None:
    """Print the characters of a text that are not in the vocabulary."""
    from charlm.cli.failures import with_options
    from charlm.text.characters import as_normalized, listed

    if unknown:
        how = "were skipped" if model.vocabulary.unk_id is None else "were read as <unk>"
        known = model.vocabulary.characters
        advice = with_options(as_normalized(unknown, known))
        note(
            f"characters outside the model's vocabulary {how}: {listed(unknown, known)}"
            + f"; {advice}" * bool(advice)
        )
