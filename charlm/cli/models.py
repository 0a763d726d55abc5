"""Which model a command uses."""

from typing import TYPE_CHECKING

from charlm.cli.console import note

if TYPE_CHECKING:
    from charlm.api import LanguageModel


def open_model(argument: str | None) -> tuple["LanguageModel", str]:
    """The model that an argument names, or the newest valid one under `runs/`, and its path.

    Raises:
        CheckpointError: the named file cannot be used.
        RunError: none is named, and there is none under `runs/`.
    """
    from charlm.api import load
    from charlm.errors import CheckpointError, RunError
    from charlm.runs import model_file, runs_by_age

    if argument is not None:
        path = model_file(argument)
        return load(path), str(path)
    for run in runs_by_age("best.npz"):
        try:
            model = load(run.best)
        except CheckpointError as error:
            note(f"passing over a damaged checkpoint: {error}")
            continue
        note(f"model: {run.best}")
        return model, str(run.best)
    raise RunError("every best.npz under runs/ is damaged; name a model")
