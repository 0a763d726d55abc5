"""Characters and their numbers."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.errors import TextError
from charlm.system.arrays import Array

Ids = NDArray[np.unsignedinteger[Any]]

UNK = "\ufffd"  # of Unicode's own: the character that stands for one that is not known


def code_points(text: str) -> NDArray[np.uint32]:
    """The code point of each character, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def characters_of(points: NDArray[np.uint32]) -> str:
    """The text of code points, `(N,)`."""
    return points.tobytes().decode("utf-32-le", "surrogatepass")


def ids_type(count: int) -> np.dtype[Any]:
    """The smallest unsigned type that numbers so many characters, one at least."""
    return np.min_scalar_type(count - 1)


class Vocabulary:
    """Distinct characters, numbered in the order of their code points.

    Args:
        points: code points, strictly increasing.
        has_sign: whether `SIGN`, which is then among them, stands for every other character.
    """

    def __init__(self, points: NDArray[np.uint32], *, has_unk: bool = False) -> None:
        self.points = points
        self.unk_id = int(np.searchsorted(points, ord(UNK))) if has_unk else None

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """The vocabulary of all that occurs in a text.

        Raises:
            TextError: the text is empty.
        """
        if not text:
            raise TextError("an empty text has no characters to learn")
        return cls(np.unique(code_points(text)))

    @classmethod
    def frequent(
        cls, points: NDArray[np.uint32], counts: NDArray[np.int64], min_count: int = 1
    ) -> "Vocabulary":
        """Those of some characters that occur often enough, and a sign for the others, if any.

        Args:
            points: distinct code points, `(V,)`.
            counts: how often each occurs, `(V,)`.
            min_count: how often a character has to.

        Raises:
            TextError: none occurs so often.
        """
        kept = np.sort(points[counts >= min_count])
        if len(kept) == len(points):
            return cls(kept)
        if not len(kept):
            raise TextError(
                f"no character occurs {min_count:,} times, the most frequent one "
                f"{counts.max():,} times; choose a lower --min-count"
            )
        return cls(np.union1d(kept, np.uint32(ord(UNK))), has_unk=True)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def characters(self) -> str:
        """All characters, in the order of their ids."""
        return characters_of(self.points)

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        """The id of each code point up to one that is too high, -1 where there is none."""
        numbers = np.full(int(self.points[-1]) + 2, -1, np.int32)
        numbers[self.points] = np.arange(len(self))
        return numbers

    def numbers(self, points: NDArray[np.uint32]) -> NDArray[np.int32]:
        """The ids of code points, `(N,)`: -1 for those that it lacks, even if it has a sign."""
        return self._numbers[np.minimum(points, len(self._numbers) - 1)]

    def encode(self, text: str) -> tuple[Ids, str]:
        """The ids of a text, and its unknown characters.

        Returns:
            Ids of the smallest unsigned type, of all characters if the vocabulary has a sign for
            unknown ones, else of the known ones; and each character that it lacks as often
            as it occurs, in the text's order.
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

    def reads(self, text: str) -> NDArray[np.bool_]:
        """Which characters of a text `encode` has ids for, `(N,)`."""
        points = code_points(text)
        return (self.numbers(points) >= 0) | (self.unk_id is not None)

    def table(self, points: NDArray[np.uint32]) -> Ids:
        """The id of each of some characters, all of which have one, or the sign's.

        Args:
            points: code points, `(N,)`.
        """
        ids = self.numbers(points)
        assert self.unk_id is not None or (ids >= 0).all()
        return np.where(ids < 0, self.unk_id or 0, ids).astype(ids_type(len(self)))

    def decode(self, ids: Array) -> str:
        """The text of ids, `(N,)`."""
        return characters_of(self.points[ids])


def shown(character: str) -> str:
    """A character for a message, as 'a', '\\n', and U+200B where it cannot be shown."""
    is_seen = character.isprintable() or character.isspace()
    return repr(character) if is_seen else f"U+{ord(character):04X}"


def listed(characters: str, most: int = 10) -> str:
    """Distinct characters for a message, each as `shown`."""
    distinct = sorted(set(characters))
    some = ", ".join(map(shown, distinct[:most]))
    rest = len(distinct) - most
    return f"{some} and {rest} more" if rest > 0 else some
