"""The model that a command uses: how it is named, and how it is opened."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from charlm.cli.console import note, warn
from charlm.cli.options import chosen, given, text_config
from charlm.cli.standard_input import piped_text
from charlm.errors import in_short
from charlm.text.config import DOCUMENTS, PLAIN_TEXT, TextConfig

if TYPE_CHECKING:
    from charlm.language_model import LanguageModel

MOST_SHOWN = 200  # characters of the names of a model's corpus


def texts_and_models(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Sort arguments, in any order, into texts and models.

    A model is a `.npz` file, a run directory, or the name of a run. Another file that exists is a
    text; if a run has the same name, a note says so.

    Raises:
        BadParameter: an argument is empty.
    """
    _check_names(arguments)
    texts: list[str] = []
    models: list[str] = []
    for argument in arguments:
        (models if _is_model(argument) else texts).append(argument)
    return texts, models


def named_models(context: typer.Context, arguments: Sequence[str]) -> list[str]:
    """The models that arguments and `--model` name.

    The environment variable of `--model` counts only without an argument.

    Raises:
        BadParameter: a name is empty.
    """
    sources = ["COMMANDLINE"] if arguments else ["COMMANDLINE", "ENVIRONMENT"]
    option = given(context, *sources).get("model", [])
    named = [*arguments, *([option] if isinstance(option, str) else option)]
    _check_names(named)
    return named


def _check_names(names: Sequence[str]) -> None:
    if "" in names:
        raise typer.BadParameter("the name of a text or model must not be empty, got ''")


def one_model(context: typer.Context, arguments: Sequence[str]) -> str | None:
    """The model that an argument or `--model` names; None if neither does.

    Raises:
        BadParameter: several models are named.
    """
    named = named_models(context, arguments)
    if len(named) > 1:
        raise typer.BadParameter(f"specify one model instead of {len(named)}: {', '.join(named)}")
    return named[0] if named else None


def one_text(texts: Sequence[str], command: str) -> str:
    """The text that an argument names, or `-` if text is piped to a command.

    Raises:
        BadParameter: there is no text, or there are several.
    """
    texts = texts or piped_text(command)
    if not texts:
        raise typer.BadParameter(f"specify a text; to type or pipe it: {command}")
    if len(texts) > 1:
        raise typer.BadParameter(f"specify one text instead of {len(texts)}: {', '.join(texts)}")
    return texts[0]


def open_model(
    name: str | None, *, bidirectional: bool | None = None
) -> tuple["LanguageModel", str]:
    """The model of a name, by default the newest valid one of a kind under `runs/`; and its path.

    Args:
        name: a path, or the name of a run; None for the default.
        bidirectional: the kind of the default; None for any.

    Raises:
        CheckpointError: the file cannot be used.
        RunError: there is no name, and no such model under `runs/`.
    """
    from charlm.api import load
    from charlm.errors import RunError
    from charlm.training.run_directory import model_file

    if name is not None:
        path = str(model_file(_located(name)))
        model = load(path)
        _warn_if_untrained(model, path)
        return model, path
    kind = "bidirectional" if bidirectional else "unidirectional"
    passed_over = False
    for model, found in _newest_first():
        if bidirectional in (None, model.config.bidirectional):
            note(f"model: {found}{f', the newest {kind} model' if passed_over else ''}")
            _warn_if_untrained(model, found)
            return model, found
        passed_over = True
    missing = f"{kind} model" if bidirectional or passed_over else "model"
    option = "--bidirectional " if bidirectional else ""
    raise RunError(f"no {missing} under runs/; train one with: charlm train {option}corpus.txt")


def _warn_if_untrained(model: "LanguageModel", path: str) -> None:
    """Say so if the best model of a run is that before the first step, and there is a later one."""
    from charlm.training.run_directory import RunDirectory

    run = RunDirectory(Path(path).parent)
    is_new = model.training is not None and model.training.progress.step == 0
    if is_new and Path(path) == run.best and run.last.is_file():
        warn(
            f"{path} is the model before the first step, as no later evaluation has found a better "
            f"one; the latest model is {run.last}"
        )


def _newest_first() -> Iterator[tuple["LanguageModel", str]]:
    """Yield the models under `runs/` and their paths."""
    from charlm.api import load
    from charlm.errors import CheckpointError, RunError
    from charlm.training.run_directory import runs_by_age

    try:
        runs = runs_by_age("best.npz")
    except RunError:  # there are none
        return
    for run in runs:
        try:
            model = load(run.best)
        except CheckpointError as error:
            warn(f"skipping a damaged checkpoint: {error}")
            continue
        yield model, str(run.best)


def _is_model(argument: str) -> bool:
    """Whether an argument names a model, and not a text."""
    from charlm.training.run_directory import ROOT, is_run

    if argument.endswith(".npz") or is_run(argument):
        return True
    run = os.path.join(ROOT, argument)
    # a missing or incomplete run is not a text either
    is_below_root = os.path.dirname(os.path.normpath(argument)) == str(ROOT)
    if is_below_root and not os.path.isfile(argument) and "." not in os.path.basename(argument):
        return True
    if os.path.exists(argument) and is_run(run):
        note(f"{argument} is read as a text; to use the run of that name, specify {run}")
        return False
    return is_run(run)


def _located(name: str) -> str:
    """The path of a model: the name itself or, if it is that of a run, below `runs/`."""
    from charlm.training.run_directory import ROOT, is_run

    run = os.path.join(ROOT, name)
    is_path = os.path.isfile(name) or is_run(name)
    return run if is_run(run) and not is_path else name


def reading(context: typer.Context, *models: "LanguageModel") -> TextConfig:
    """How a command reads text: as its options say, for the rest like the corpora of its models.

    The options then also apply to text that is in no file. In what the corpora differ, a file is
    read as it is, and each model converts the text. Whether its corpus was joined remains a fact of
    the model, which decides how it reads a prompt.

    Raises:
        BadParameter: no option says what a document is, and it is not the same for all models.
    """
    defaults = [model.text_config.for_other_files for model in models]
    kinds = dict.fromkeys(map(_kind, defaults))
    if len(kinds) > 1 and not chosen(context, DOCUMENTS):
        raise typer.BadParameter(
            f"the models were trained on different kinds of documents: {', '.join(kinds)}; specify "
            f"how to read the text: {listed_options(DOCUMENTS)}"
        )
    for model, default in zip(models, defaults, strict=True):
        is_joined = model.text_config.joined
        model.text_config = replace(text_config(context, default), joined=is_joined)
    return text_config(context, _common(defaults))


def _kind(config: TextConfig) -> str:
    """The option that says what a document of a corpus is; "texts" if it has none."""
    for name in DOCUMENTS:
        if value := getattr(config, name):
            return f"--{name}" + (f" {in_short(value)}" if value is not True else "")
    return "texts"


def listed_options(names: Sequence[str]) -> str:
    """Options between which there is a choice."""
    *flags, last = (f"--{name}" for name in names)
    return f"{', '.join(flags)} or {last}" if flags else last


def _common(configs: Sequence[TextConfig]) -> TextConfig:
    """The settings that are the same in all configurations."""
    first, *others = map(vars, configs)
    same = {k: v for k, v in first.items() if all(other[k] == v for other in others)}
    return replace(PLAIN_TEXT, **same)


def trained_on(model: "LanguageModel") -> list[str]:
    """The files of the corpus that a model was trained on; empty if they are unknown."""
    return list(model.training.corpus.sources) if model.training else []


def listed_files(files: list[str]) -> str:
    """The files of a corpus in a row of a table; a checkpoint may contain names of any length."""
    from charlm.text.source_files import shown_name

    names = ", ".join(map(shown_name, files)) or "unknown"
    return names if len(names) <= MOST_SHOWN else names[:MOST_SHOWN] + "..."
