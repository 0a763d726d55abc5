"""What can go wrong, as exceptions whose message is one line for the person who has to mend it.

    CharlmError
    ├── ConfigError       a setting has a value it cannot take
    ├── TextError         a text cannot be read, or cannot serve as what it was given for
    ├── ModelError        a model cannot do what is asked of it
    ├── CheckpointError   a file is not a checkpoint, is damaged, or cannot be written
    ├── RunError          a run directory is missing, taken, or does not fit what was asked
    ├── DivergedError     training produced a NaN or an infinity
    ├── WorkerError       a process that helps with the training has ended
    └── RankError         the processes of a job cannot work together
        └── LostRankError one of them has failed, or does not answer

A message names the thing, what it got, and what was expected or what to do.
"""


class CharlmError(Exception):
    """The base of every error that charlm raises on purpose."""


class ConfigError(CharlmError, ValueError):
    """A setting has a value it cannot take."""

    def __init__(self, field: str, got: object, expected: str) -> None:
        super().__init__(f"{field} is {got!r}, but takes {expected}")
        self.field = field
        self.got = got
        self.expected = expected

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return ConfigError, (self.field, self.got, self.expected)


class TextError(CharlmError, ValueError):
    """A text cannot be read, or cannot serve as what it was given for."""


class ModelError(CharlmError):
    """A model cannot do what is asked of it."""


class CheckpointError(CharlmError):
    """A file is not a checkpoint, is damaged, or cannot be written."""


class RunError(CharlmError):
    """A run directory is missing, taken, or does not fit what was asked."""


class DivergedError(CharlmError, ArithmeticError):
    """Training produced a NaN or an infinity.

    Args:
        step: at which step, counted from 1.
        cause: which figure it was, such as `the loss is nan`.
        advice: what to try.
    """

    def __init__(self, step: int, cause: str, advice: str) -> None:
        super().__init__(f"training diverged at step {step:,}: {cause}; {advice}")
        self.step, self.cause, self.advice = step, cause, advice

    def __reduce__(self) -> tuple[type, tuple[int, str, str]]:
        return DivergedError, (self.step, self.cause, self.advice)


class WorkerError(CharlmError):
    """A process that helps with the training has ended."""


class RankError(CharlmError):
    """The processes of a job cannot work together."""


class LostRankError(RankError):
    """One of the processes has failed, or does not answer."""
