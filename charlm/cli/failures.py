"""The exit code and the message of an error on the command line."""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from charlm.cli import hints
from charlm.cli.parsing import InvalidValue, Parsed, UsageError, running
from charlm.errors import CharlmError, ConfigError, DivergedError, TextError, in_short

FAILED, USAGE, DIVERGED = 1, 2, 3

# An argument in a message of the library: `lr`, `threads=1` or `unknown='skip'`.
ARGUMENT = re.compile(r"`(\w+)(?:=(?:'([^'`]*)'|([\w.]+)))?`")
OPTIONS = {"timeout": "rank-timeout", "prompt": "seed", "known": "new"}  # that have another name
NEGATIONS = {"`in_order=False`": "--any-order"}


def code_of(error: BaseException) -> int:
    """Return the exit code of an error."""
    if isinstance(error, (ConfigError, UsageError)):
        return USAGE
    return DIVERGED if isinstance(error, DivergedError) else FAILED


def message_of(error: Exception) -> str:
    """Return the message of an error, which names options as the user typed them."""
    parsed = running()
    if isinstance(error, UsageError):
        return _usage(error, parsed) if parsed else str(error)
    if isinstance(error, ConfigError):
        return _invalid_setting(error)
    if isinstance(error, CharlmError):
        hint = hints.failure(error, parsed) if parsed else ""
        return "; ".join(filter(None, [with_options(str(error)), hint]))
    if isinstance(error, MemoryError):
        size = f" ({error})" if str(error) else ""
        return f"out of memory{size}; use a smaller model, batch or text"
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot access {error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


def _usage(error: Any, parsed: Parsed) -> str:
    """The message of an invalid command line."""
    wording = WORDINGS.get(type(error).__name__)
    if wording:
        return wording(error, parsed)
    if getattr(error, "param", None) is not None:
        return _invalid_value(error, parsed)
    hint = f"{error.param_hint}: " if getattr(error, "param_hint", None) else ""
    return f"{hint}{error.message}"


def _unknown_option(error: Any, parsed: Parsed) -> str:
    typed = error.option_name
    if not typed.startswith("--"):  # one letter of the word that was typed
        single = [word for word in parsed.words if re.match("-[^-]", word)]
        typed = next((word for word in single if typed[1] in word), typed)
    return hints.unknown_option(typed.partition("=")[0], parsed)


def _without_value(error: Any, parsed: Parsed) -> str:
    """The message for an option without its value, or a flag with one."""
    name = error.option_name
    parameter = parsed.parameter(name)
    if parameter.is_flag:
        word = next(word for word in parsed.words if word.startswith(f"{name}="))
        return f"{name} takes no value, got {in_short(word.partition('=')[2])}"
    try:
        parameter.process_value(parsed.context, "")
    except InvalidValue as invalid:
        return f"{name} must be {invalid.expected}, got nothing"
    except UsageError:
        pass
    return f"{name} takes a value, got nothing"


def _missing_argument(error: Any, parsed: Parsed) -> str:
    about = (error.param.help or "a value").removesuffix(".")  # some versions of Click lose it
    return f"{parsed.path} needs {parsed.named(error.param)}: {about[0].lower()}{about[1:]}"


def _missing_command(error: Any, parsed: Parsed) -> str:
    return f"{parsed.path} needs a command: {', '.join(parsed.context.command.commands)}"


def _invalid_value(error: Any, parsed: Parsed) -> str:
    name = parsed.named(error.param)
    if getattr(error.param, "is_flag", False):  # only a variable gives a flag a value
        return f"{name} must be 1 or 0, got {in_short(os.environ.get(name))}"
    return f"{name} {error.message}"


def _contradiction(error: Any, _: Parsed) -> str:
    names = [option_of(name) for name in error.names]
    return f"{' and '.join(names)} cannot be combined"


# By the name of the class, because Typer has its own copies of these classes in some versions.
WORDINGS: dict[str, Callable[[Any, Parsed], str]] = {
    "UnknownCommand": lambda error, parsed: hints.unknown_command(error.words, parsed),
    "ExtraArguments": lambda error, parsed: hints.extra_arguments(error.words, parsed),
    "NoSuchOption": _unknown_option,
    "BadOptionUsage": _without_value,
    "Contradiction": _contradiction,
    "MissingParameter": _missing_argument,
    "UsageError": _missing_command,
}


def _invalid_setting(error: ConfigError) -> str:
    name = option_of(error.field)
    if error.got is True:  # a flag
        return f"{name} must be {error.expected.replace('False', 'omitted', 1)}"
    return name + str(error).removeprefix(error.field)


def option_of(field: str) -> str:
    """The option of an argument of the library, as the user set it for the running command."""
    name, parsed = OPTIONS.get(field, field).replace("-", "_"), running()
    parameter = parsed and parsed.parameter(name)
    return parsed.named(parameter) if parsed and parameter else f"--{name.replace('_', '-')}"


def with_options(message: str) -> str:
    """A message of the library with options, as `--unknown skip`, in place of Python arguments."""
    return ARGUMENT.sub(_option, message)


def _option(argument: re.Match[str]) -> str:
    name, quoted, bare = argument.groups()
    if argument[0] in NEGATIONS:
        return NEGATIONS[argument[0]]
    flag = "--" + OPTIONS.get(name, name).replace("_", "-")
    value = quoted or bare
    return flag if value in (None, "True") else f"{flag} {value}"


def no_documents(files: Sequence[str]) -> TextError:
    """The error of files of which none has a document."""
    from charlm.text.source_files import shown_name

    if len(files) > 1:
        return TextError(f"none of the {len(files)} files has documents")
    return TextError(f"{shown_name(files[0])}: there are no documents")
