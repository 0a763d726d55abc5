"""Checks of arguments and settings. Each returns the value to use, or raises ConfigError.

NumPy's integers, floats, booleans and strings are accepted wherever Python's are, and become
Python's: a checkpoint keeps settings as JSON. This module does not load NumPy.
"""

import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from charlm.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

Check = Callable[[str, Any], Any]  # of an argument's name and value


def checked(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that passes the named arguments of a function through their checks.

    A default is not checked.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        assert checks.keys() <= signature.parameters.keys()

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            given = bound.arguments
            given.update({k: check(k, given[k]) for k, check in checks.items() if k in given})
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


def _plain(value: Any) -> Any:
    """The Python value of a NumPy scalar or an array `()`; any other value as it is."""
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value


def whole(least: int) -> Check:
    """Accept an integer of `least` or more."""

    def check(name: str, value: Any) -> int:
        number = _plain(value)
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigError(name, value, f"an integer of at least {least}")
        return number

    return check


def real(low: float, high: float = math.inf, *, bounds: str) -> Check:
    """Accept a number between low and high; `bounds`, such as "[)", says which ends are allowed."""
    above = f"of at least {low:g}" if bounds[0] == "[" else f"above {low:g}"
    below = f"at most {high:g}" if bounds[1] == "]" else f"below {high:g}"
    expected = f"a number {above}" + f" and {below}" * (high < math.inf)

    def check(name: str, value: Any) -> float:
        number = _plain(value)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ConfigError(name, value, expected)
        over = low <= number if bounds[0] == "[" else low < number
        under = number <= high if bounds[1] == "]" else number < high
        if not (over and under and _fits_a_float(number)):
            raise ConfigError(name, value, expected)
        return number

    return check


def _fits_a_float(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer that is too large
        return False


def one_of(choices: Iterable[str]) -> Check:
    """Accept one of some names."""
    names = tuple(choices)

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ConfigError(name, value, "one of " + ", ".join(names))
        return str(value)

    return check


def instance(kind: Any, expected: str) -> Check:
    """Accept an instance of a type, or of one of several."""

    def check(name: str, value: Any) -> Any:
        found = _plain(value)
        if not isinstance(found, kind):
            raise ConfigError(name, value, expected)
        return found

    return check


def optional(check: Check) -> Check:
    """Accept None, and what another check accepts."""
    return lambda name, value: None if value is None else check(name, value)


flag = instance(bool, "True or False")
string = instance(str, "a string")


def function(name: str, value: Any) -> Callable[..., Any]:
    """Accept anything that can be called."""
    if not callable(value):
        raise ConfigError(name, value, "a function")
    return value  # type: ignore[no-any-return]


def path(name: str, value: Any) -> Path:
    """Accept a path: a string or `os.PathLike`, but for an empty one or one with a NUL."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(found, str) or not found or "\0" in found:
        raise ConfigError(name, value, "a path")
    return Path(found)


def pieces(name: str, value: Any) -> str | Iterator[str]:
    """Accept a text: a string, or pieces of one, which are checked as they are read."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, os.PathLike)) or not isinstance(value, Iterable):
        raise ConfigError(name, value, PIECES)
    return _checked_pieces(name, value)


PIECES = "a string, or strings that are the pieces of a text, such as an open text file"


def _checked_pieces(name: str, value: Iterable[Any]) -> Iterator[str]:
    for piece in value:
        if not isinstance(piece, str):
            raise ConfigError(f"a piece of {name}", piece, "a string")
        yield str(piece)
