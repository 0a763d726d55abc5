"""The vocabulary: the mapping between characters and ids."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm import checks
from charlm.checks import checked
from charlm.errors import ConfigError, TextError
from charlm.system.arrays import Array

Ids = NDArray[np.unsignedinteger[Any]]

UNK = "\ufffd"  # the unknown token `<unk>`: the replacement character of Unicode


def code_points(text: str) -> NDArray[np.uint32]:
    """The code points of a text, `(N,)`; lone surrogates are allowed."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def characters_of(points: NDArray[np.uint32]) -> str:
    """The text with these code points, `(N,)`; the inverse of `code_points`."""
    return points.tobytes().decode("utf-32-le", "surrogatepass")


def ids_type(count: int) -> np.dtype[Any]:
    """The smallest unsigned integer type for `count` ids; `count` must be at least 1."""
    return np.min_scalar_type(count - 1)


def _check_points(name: str, value: Any) -> NDArray[np.uint32]:
    """Accept the code points of a vocabulary."""
    is_vector = isinstance(value, np.ndarray) and value.ndim == 1 and value.size > 0
    if not is_vector or value.dtype != np.uint32 or not (value[:-1] < value[1:]).all():
        raise ConfigError(name, value, "a vector of increasing code points, of type uint32")
    return value  # type: ignore[no-any-return]


class Vocabulary:
    """Distinct characters; the id of a character is its rank by code point.

    Args:
        points: the code points, `(V,)`, strictly increasing.
        has_unk: whether `UNK`, which must be one of several, is the unknown token `<unk>`, which
            represents every character outside the vocabulary.

    Attributes:
        points: the code points, `(V,)`.
        unk_id: the id of the unknown token; None without one.
    """

    @checked(points=_check_points, has_unk=checks.flag)
    def __init__(self, points: NDArray[np.uint32], *, has_unk: bool = False) -> None:
        if has_unk and (len(points) == 1 or ord(UNK) not in points):
            expected = "False for a vocabulary without U+FFFD and another character"
            raise ConfigError("has_unk", has_unk, expected)
        self.points = points
        self.unk_id = int(np.searchsorted(points, ord(UNK))) if has_unk else None

    @classmethod
    @checked(text=checks.text)
    def of(cls, text: str) -> "Vocabulary":
        """The vocabulary of all characters of a text.

        Raises:
            TextError: the text is empty.
        """
        if not text:
            raise TextError("the text is empty")
        return cls(np.unique(code_points(text)))

    @classmethod
    def frequent(
        cls, points: NDArray[np.uint32], counts: NDArray[np.int64], min_count: int = 1
    ) -> "Vocabulary":
        """The characters that occur at least `min_count` times.

        If this leaves out any character, the vocabulary has the unknown token `<unk>`.

        Args:
            points: distinct code points, `(V,)`.
            counts: the number of occurrences of each, `(V,)`.
            min_count: the minimum number of occurrences.

        Raises:
            TextError: no character occurs so often, except `UNK`.
        """
        kept = np.sort(points[counts >= min_count])
        if len(kept) == len(points):
            return cls(kept)
        others = points != ord(UNK)  # which would be all that is kept
        if not (counts[others] >= min_count).any():
            raise TextError(
                f"no character occurs at least {min_count:,} times (the maximum is "
                f"{counts[others].max(initial=0):,}); use a lower `min_count`"
            )
        return cls(np.union1d(kept, np.uint32(ord(UNK))), has_unk=True)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def newline(self) -> int | None:
        """The id of the newline; None if it is unknown."""
        number = int(self.numbers(code_points("\n"))[0])
        return None if number < 0 else number

    @property
    def characters(self) -> str:
        """All characters, ordered by id."""
        return characters_of(self.points)

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        """The id of each code point up to one above the last; -1 for unknown characters."""
        numbers = np.full(int(self.points[-1]) + 2, -1, np.int32)
        numbers[self.points] = np.arange(len(self))
        return numbers

    def numbers(self, points: NDArray[np.uint32]) -> NDArray[np.int32]:
        """The ids of code points, `(N,)`; -1 for unknown characters, even if there is `<unk>`."""
        return self._numbers[np.minimum(points, len(self._numbers) - 1)]

    @checked(text=checks.text)
    def encode(self, text: str) -> tuple[Ids, str]:
        """Encode a text.

        With the unknown token, unknown characters become `unk_id`; without it they are left out.

        Returns:
            The ids, of the smallest unsigned type, and the unknown characters in the order of
            the text, with repetitions.
        """
        points = code_points(text)
        ids = self.numbers(points)
        known = ids >= 0
        unknown = "" if known.all() else characters_of(points[~known])
        if self.unk_id is not None:
            ids[~known] = self.unk_id
        elif unknown:
            ids = ids[known]
        return ids.astype(ids_type(len(self))), unknown

    @checked(text=checks.text)
    def reads(self, text: str) -> NDArray[np.bool_]:
        """A mask of the characters that `encode` does not leave out, `(N,)`."""
        points = code_points(text)
        return (self.numbers(points) >= 0) | (self.unk_id is not None)

    def table(self, points: NDArray[np.uint32]) -> Ids:
        """A lookup table from another numbering of characters to the ids of this vocabulary.

        Args:
            points: the code point of each id of the other numbering, `(N,)`.

        Returns:
            The id of each, `(N,)`. That of an unknown character is `unk_id`, or 0 without the
            unknown token.
        """
        ids = self.numbers(points)
        return np.where(ids < 0, self.unk_id or 0, ids).astype(ids_type(len(self)))

    def decode(self, ids: Array) -> str:
        """The text with these ids, `(N,)`.

        Raises:
            ConfigError: an id is not an integer from 0 to V - 1.
        """
        is_vector = isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind in "iu"
        if not is_vector or not ((ids >= 0) & (ids < len(self))).all():
            raise ConfigError("ids", ids, f"a vector of integers from 0 to {len(self) - 1}")
        return characters_of(self.points[ids])
