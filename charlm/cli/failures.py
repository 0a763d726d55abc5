"""The exit code and the message of an error on the command line."""

import re

import typer

from charlm.errors import CharlmError, ConfigError, DivergedError

FAILED, USAGE, DIVERGED = 1, 2, 3

# An argument in a message of the library: `lr`, `threads=1` or `unknown='skip'`.
ARGUMENT = re.compile(r"`(\w+)(?:=(?:'([^'`]*)'|([\w.]+)))?`")
OPTIONS = {"timeout": "rank-timeout", "prompt": "seed"}  # that have another name


def code_of(error: BaseException) -> int:
    """Return the exit code of an error."""
    if isinstance(error, (ConfigError, typer.BadParameter)):
        return USAGE
    return DIVERGED if isinstance(error, DivergedError) else FAILED


def message_of(error: Exception) -> str:
    """Return the message of an error, with option names in place of field names."""
    if isinstance(error, ConfigError) and error.field != "budget":
        return str(error).replace(error.field, "--" + error.field.replace("_", "-"), 1)
    if isinstance(error, CharlmError):
        return with_options(str(error))
    if isinstance(error, MemoryError):
        size = f" ({error})" if str(error) else ""
        return f"out of memory{size}; use a smaller model, batch or text"
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot access {error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


def with_options(message: str) -> str:
    """A message of the library with options, as `--unknown skip`, in place of Python arguments."""
    return ARGUMENT.sub(_option, message)


def _option(argument: re.Match[str]) -> str:
    name, quoted, bare = argument.groups()
    flag = "--" + OPTIONS.get(name, name).replace("_", "-")
    value = quoted or bare
    return flag if value in (None, "True") else f"{flag} {value}"
