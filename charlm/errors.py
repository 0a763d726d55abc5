"""The exceptions that charlm raises. Each message is one line that tells the user what to do.

    CharlmError
    ├── ConfigError       a setting has an invalid value
    ├── TextError         text cannot be read, or is unsuitable
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


class CharlmError(Exception):
    """Base class of all errors that charlm raises."""


class ConfigError(CharlmError, ValueError):
    """A setting has an invalid value."""

    def __init__(self, field: str, got: object, expected: str) -> None:
        super().__init__(f"{field} must be {expected}, got {got!r}")
        self.field = field
        self.got = got
        self.expected = expected

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return ConfigError, (self.field, self.got, self.expected)


class TextError(CharlmError, ValueError):
    """Text cannot be read, or is unsuitable."""


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
