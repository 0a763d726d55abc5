"""The exit code and the message of an error on the command line."""

import typer

from charlm.errors import CharlmError, ConfigError, DivergedError

FAILED, USAGE, DIVERGED = 1, 2, 3


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
        return str(error)
    if isinstance(error, MemoryError):
        size = f" ({error})" if str(error) else ""
        return f"out of memory{size}; use a smaller model, batch or text"
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot access {error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
