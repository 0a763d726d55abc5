"""What an error means on the command line: its exit code and its line."""

import typer

from charlm.errors import CharlmError, ConfigError, DivergedError

FAILED, USAGE, DIVERGED = 1, 2, 3


class SaidByAnother(Exception):  # noqa: N818
    """All processes failed alike, and rank 0 says why."""


def code_of(error: BaseException | None) -> int:
    """With what code an error ends the command."""
    if isinstance(error, (ConfigError, typer.BadParameter)):
        return USAGE
    return DIVERGED if isinstance(error, DivergedError) else FAILED


def message_of(error: Exception) -> str:
    """What is said of an error, in the command line's words."""
    if isinstance(error, ConfigError) and error.field != "budget":
        return str(error).replace(error.field, "--" + error.field.replace("_", "-"), 1)
    if isinstance(error, CharlmError):
        return str(error)
    if isinstance(error, MemoryError):
        size = f" ({error})" if str(error) else ""
        return f"there is not enough memory{size}; choose a smaller model, batch or text"
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
