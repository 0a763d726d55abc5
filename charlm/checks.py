"""Checks of arguments and settings. Each returns the value to use, or raises ConfigError.

NumPy's integers, floats, booleans and strings are accepted wherever Python's are, and become
Python's: a checkpoint keeps settings as JSON. This module does not load NumPy.
"""

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field, fields
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from charlm.errors import ConfigError, TextError, in_short

P = ParamSpec("P")
R = TypeVar("R")

Check = Callable[[str, Any], Any]  # of an argument's name and value


def checked(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that passes the named arguments of a function through their checks.

    A default is not checked.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        names = list(inspect.signature(function).parameters)
        assert checks.keys() <= set(names)

        def checked_value(name: str, value: Any) -> Any:
            return checks[name](name, value) if name in checks else value

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            given: Any = [*map(checked_value, names, args), *args[len(names) :]]
            named: Any = {name: checked_value(name, value) for name, value in kwargs.items()}
            return function(*given, **named)

        return call

    return decorate


def setting(
    default: Any,
    help: str,  # noqa: A002
    check: Check,
    *,
    choices: Iterable[str] = (),
    shown: str = "",
) -> Any:
    """A field with its help and its check; a default of None is always accepted.

    Args:
        default: the default.
        help: one sentence for the command line.
        check: returns the value to keep, or raises ConfigError.
        choices: the accepted names, if there are few.
        shown: the default in words, if the value does not say it.
    """
    metadata = {"help": help, "check": check, "choices": tuple(choices), "shown": shown}
    return field(default=default, metadata=metadata)


def check_fields(config: Any) -> None:
    """Check each field of a new configuration, and keep the value that its check returns."""
    for each in fields(config):
        value = getattr(config, each.name)
        if value is not None or each.default is not None:
            object.__setattr__(config, each.name, each.metadata["check"](each.name, value))


def _plain(value: Any) -> Any:
    """The Python value of a NumPy scalar or an array `()`; any other value as it is."""
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value


def whole(least: int, most: int = sys.maxsize) -> Check:
    """Accept an integer from `least` to `most`."""
    expected = f"an integer of at least {least}"

    def check(name: str, value: Any) -> int:
        number = _plain(value)
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigError(name, value, expected)
        if number > most:
            raise ConfigError(name, value, f"{expected} and at most {most}")
        return int(number)

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
function = instance(Callable, "a function")


def one_or_several(name: str, value: Any) -> str | tuple[str, ...]:
    """Accept a string, or a list or tuple of strings; one in a list is that string, none is ""."""
    if not isinstance(value, (list, tuple)):
        return string(name, value)  # type: ignore[no-any-return]
    texts = tuple(map(_plain, value))
    if not all(isinstance(text, str) and (text or len(texts) == 1) for text in texts):
        raise ConfigError(name, value, "a string, or several that are not empty")
    return tuple(map(str, texts)) if len(texts) > 1 else "".join(texts)


def path(name: str, value: Any) -> Path:
    """Accept a path that a system can have: a string or `os.PathLike`."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_PATH or "\0" in found:
        raise ConfigError(name, value, f"a path of 1 to {LONGEST_PATH:,} characters")
    return Path(found)


def text(name: str, value: Any) -> str:
    """Accept a text: a string."""
    _refuse_path(name, value, OPEN)
    return string(name, value)  # type: ignore[no-any-return]


def pieces(name: str, value: Any) -> str | Iterator[str]:
    """Accept a text, or pieces of one, which are checked as they are read."""
    value = _plain(value)
    if isinstance(value, str):
        return str(value)
    _refuse_path(name, value, OPEN)
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise ConfigError(name, value, "a string, or strings that are the pieces of a text")
    return _checked_pieces(name, value)


def documents(name: str, value: list[Any] | tuple[Any, ...]) -> list[str]:
    """Accept documents, each a text."""
    if all(type(each) is str for each in value):  # many at once
        return list(value)
    return [text(f"a document of {name}", each) for each in value]


def documents_or_pieces(name: str, value: Any) -> str | Iterator[str] | list[str]:
    """Accept a list or tuple of documents, a text, or an iterator of its pieces."""
    if isinstance(value, (list, tuple)):
        return documents(name, value)
    return pieces(name, value)


def content_of(check: Check) -> Check:
    """Accept the texts of another check, but not the name of a file in place of its content."""

    def check_content(name: str, value: Any) -> Any:
        if isinstance(value, str) and _is_file_name(value):
            raise TextError(f"{name} is {value!r}, the name of a file; {OPEN.format(value)}")
        return check(name, value)

    return check_content


def corpus_text(name: str, value: Any) -> str | list[str]:
    """Accept a text or documents to train on, but not the path of a file in place of a text."""
    if isinstance(value, (list, tuple)):
        return documents(name, value)
    _refuse_path(name, value, READ)
    content: str = string(name, value)
    if _looks_like_path(content):
        raise TextError(f"{name} is {content!r}, which is a path; {READ.format(content)}")
    return content


OPEN = "pass what it contains, for example open({!r}, encoding='utf-8', newline='').read()"
READ = "read the file with Corpus.read({!r})"

# A text in one line that ends so is the path of a text file.
TEXT_FILE = re.compile(r".+\.(txt|text|md|csv|tsv|jsonl?|xml|html?|tex)(\.gz|\.xz)?", re.IGNORECASE)
LONGEST_PATH = 4096  # characters


def _refuse_path(name: str, value: Any, advice: str) -> None:
    if isinstance(value, os.PathLike):
        path = os.fspath(value)[:LONGEST_PATH]
        raise TextError(f"{name} is a path, {in_short(value)}; {advice.format(path)}")


def _is_file_name(content: str) -> bool:
    """Whether a text is the name of a file. A single word is not looked up."""
    is_name = len(content) <= LONGEST_PATH and not any(map(str.isspace, content))
    return is_name and not content.isalnum() and os.path.isfile(content)


def _looks_like_path(content: str) -> bool:
    """Whether a text is one line that exists as a file, or has the name of a text file."""
    if len(content) > LONGEST_PATH or len(content.splitlines()) != 1:
        return False
    return bool(TEXT_FILE.fullmatch(content)) or os.path.exists(content)


def _checked_pieces(name: str, value: Iterable[Any]) -> Iterator[str]:
    for piece in value:
        yield string(f"a piece of {name}", piece)
