"""The exceptions that charlm raises. Each message is one line that tells the user what to do.

    CharlmError
    ├── ConfigError       an argument or a setting has an invalid value
    ├── TextError         text cannot be read, or is unsuitable
    │   └── RecordError   a table or JSON Lines is invalid, or lacks the column or field
    ├── ModelError        a model does not support an operation, or does not fit into memory
    ├── CheckpointError   a file is not a checkpoint, is damaged, or cannot be written
    ├── RunError          a run directory is missing, in use, or does not match the arguments
    ├── DivergedError     training produced a NaN or infinite value
    ├── WorkerError       a worker process has ended unexpectedly
    └── RankError         the ranks of a process group cannot work together
        └── LostRankError a rank has failed or does not respond

A message names the object, the value it has, and the expected value or the remedy. It names
arguments of Python in backticks, as `lr` or `unknown='skip'`; the command line shows them as its
options.
"""

import reprlib
import unicodedata


def printable(text: str, keep: str = "") -> str:
    """Escape the characters that are not visible or can control a terminal, except some to keep.

    They are control characters, invisible characters and those that reorder a line, line and
    paragraph separators, lone surrogates and unassigned code points.
    """
    if text.isprintable():
        return text
    return "".join(
        c if is_visible(c) or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def is_visible(character: str) -> bool:
    """Whether a character, or the space that it takes, can be seen within a text."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


LONGEST = 2000  # characters of a message


class _Short(reprlib.Repr):
    """The repr of a value in about a hundred characters, without the repr of all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_bytes(self, value: bytes, level: int) -> str:
        short = repr(value[: self.maxstring])
        return short if len(value) <= self.maxstring else short + "..."

    repr_bytearray = repr_bytes


def in_short(value: object) -> str:
    """The repr of a value for a message: short, in one line, without control characters."""
    try:
        return printable(_Short().repr(value))
    except Exception:  # an integer of thousands of digits, or an object with a broken repr
        return f"a value of type {type(value).__name__}"


def cause_of(error: BaseException) -> str:
    """The cause of an error in words: that of an OSError without the number and the path."""
    return str(getattr(error, "strerror", None) or error)


class CharlmError(Exception):
    """Base class of all errors that charlm raises.

    A message may quote names and values of any length and content: the middle of a long one is left
    out, and it is printable.
    """

    def __init__(self, message: object = "") -> None:
        text = message if isinstance(message, str) else in_short(message)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
        super().__init__(printable(text))


class ConfigError(CharlmError, ValueError):
    """An argument or a setting has an invalid value.

    Args:
        field: the name of the argument or setting.
        got: the value.
        expected: what it must be.
    """

    def __init__(self, field: str, got: object, expected: str) -> None:
        super().__init__(f"{field} must be {expected}, got {in_short(got)}")
        self.field = field
        self.got = got
        self.expected = expected

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return ConfigError, (self.field, self.got, self.expected)


class TextError(CharlmError, ValueError):
    """Text cannot be read, or is unsuitable."""


class RecordError(TextError):
    """A table or JSON Lines is invalid, or lacks the column or field whose values are documents."""


class ModelError(CharlmError):
    """A model does not support an operation, or does not fit into memory."""


class CheckpointError(CharlmError):
    """A file is not a checkpoint, is damaged, or cannot be written."""


class RunError(CharlmError):
    """A run directory is missing, in use, or does not match the arguments."""


class DivergedError(CharlmError, ArithmeticError):
    """Training produced a NaN or infinite value.

    Args:
        step: the training step, counted from 1.
        cause: the value that is not finite, such as `the loss is nan`.
        advice: what to try next.
    """

    def __init__(self, step: int, cause: str, advice: str) -> None:
        super().__init__(f"training diverged at step {step:,}: {cause}; {advice}")
        self.step, self.cause, self.advice = step, cause, advice

    def __reduce__(self) -> tuple[type, tuple[int, str, str]]:
        return DivergedError, (self.step, self.cause, self.advice)


class WorkerError(CharlmError):
    """A worker process has ended unexpectedly."""


class RankError(CharlmError):
    """The ranks of a process group cannot work together."""


class LostRankError(RankError):
    """A rank has failed or does not respond."""
