"""Arrays by name in one `.npz`, which NumPy reads too; read here as if somebody had forged it.

Before memory is taken for an array, what the file says of it is held against the file's size, so
that a small file cannot ask for much. Nothing is unpickled or unpacked. `sha256`, an array that
`write` adds, is a checksum of all others: of their names, types, shapes and bytes.
"""

import hashlib
import io
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from zipfile import ZIP_STORED, BadZipFile, ZipExtFile, ZipFile, ZipInfo

import numpy as np

from charlm.system.arrays import Array

READ = 1 << 18  # bytes read at once, so also of a table of contents
MOST = 2_000  # arrays, whose names then fit there
CHECKSUM = "sha256"


class NpzError(ValueError):
    """What is wrong with a file; the sentence goes on from its path."""


def write(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write arrays and their checksum.

    Raises:
        NpzError: there are more arrays than would be read.
    """
    if len(arrays) >= MOST:
        raise NpzError(f"{len(arrays):,} arrays are more than a file may have, {MOST:,}")
    np.savez(file, allow_pickle=False, **arrays, sha256=np.array(digest(arrays)))


def digest(arrays: Mapping[str, Array]) -> str:
    """The checksum of arrays: SHA-256, in hexadecimal."""
    lines = []
    for name, array in arrays.items():
        content = hashlib.sha256(_bytes_of(np.ascontiguousarray(array)).data)
        lines.append(_line(name, array.dtype, array.shape, content.hexdigest()))
    return _digest_of(lines)


def _line(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], content: str) -> str:
    return f"{name} {dtype.str} {shape} {content}\n"


def _digest_of(lines: list[str]) -> str:
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogatepass")).hexdigest()


def _bytes_of(array: Array) -> Array:
    """A contiguous array as bytes, in the same memory."""
    return array.reshape(-1).view(np.uint8)


@contextmanager
def reading(path: Path) -> Iterator["Reader"]:
    """Open an `.npz` to read it, and close it.

    Raises:
        NpzError, OSError: it is none of ours, or cannot be read; so do all methods of the reader.
            Of bytes that are not theirs `zipfile` and NumPy raise what they like.
    """
    with _InSmallReads(io.FileIO(path)) as file, _archive(file) as archive:
        yield Reader(archive, os.fstat(file.fileno()).st_size)


def _archive(file: BinaryIO) -> ZipFile:
    try:
        return ZipFile(file)
    except BadZipFile as error:
        if isinstance(error.__context__, OSError):  # which `zipfile` takes for damage
            raise error.__context__ from None
        raise


class Reader:
    """The arrays of an `.npz`, which are looked at and then read one by one.

    Args:
        archive: the file.
        size: how large it is, in bytes.

    Attributes:
        size: of all arrays together, in bytes.
    """

    def __init__(self, archive: ZipFile, size: int) -> None:
        self._archive = archive
        self._lines: dict[str, str] = {}
        self._members: dict[str, ZipInfo] = {}
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if member.orig_filename != member.filename:  # cut off at a NUL
                raise NpzError(f"has an array of a name that charlm never wrote, {name!r}")
            if name in self._members:
                raise NpzError(f"has the array {name!r} twice")
            self._members[name] = member
        self.size = sum(member.file_size for member in self._members.values())
        if self.size > size:
            raise NpzError(
                "has arrays that are larger together than the file, as compressed ones are"
            )

    def __len__(self) -> int:
        return len(self._members)

    @contextmanager
    def _opened(self, name: str) -> Iterator["_Opened"]:
        """An array's type and shape, and its bytes, of which there are as many as these say."""
        if name not in self._members:
            raise NpzError(f"is none of charlm's files, or is damaged: it lacks the array {name}")
        member = self._members[name]
        if member.compress_type != ZIP_STORED or not member.filename.endswith(".npy"):
            raise NpzError(f"has {name} compressed, or not as an array")
        with self._archive.open(member) as opened:
            file = cast(ZipExtFile, opened)
            dtype, shape = _header(file, name)
            left = member.file_size - file.tell()
            if math.prod(shape) * dtype.itemsize != left:
                raise NpzError(f"has {name} as {dtype} {shape}, in {left:,} bytes")
            yield _Opened(file, dtype, shape)

    def form(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """An array's type and shape.

        Raises:
            NpzError: there is no such array, or it takes more or fewer bytes.
        """
        with self._opened(name) as opened:
            return opened.dtype, opened.shape

    def check(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """See that an array has a type and a shape.

        Raises:
            NpzError: it has others.
        """
        with self._opened(name) as opened:
            opened.check(name, dtype, shape)

    def read(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """An array of a type and a shape.

        Raises:
            NpzError: it has others, or a number that is not finite.
        """
        self.check(name, dtype, shape)
        array = np.empty(shape, dtype)
        self.read_into(name, array)
        return array

    def read_into(self, name: str, array: Array) -> None:
        """Read an array into one of its type and shape, which lies in one piece.

        Raises:
            NpzError: it has others, or a number that is not finite.
        """
        data, content = _bytes_of(array), hashlib.sha256()
        with self._opened(name) as opened:
            opened.check(name, array.dtype, array.shape)
            for start in range(0, len(data), READ):
                part = data[start : start + READ]
                if opened.file.readinto(part.data) < len(part):
                    raise NpzError(f"ends within {name}")
                content.update(part.data)
                if array.dtype.kind == "f" and not np.isfinite(part.view(array.dtype)).all():
                    raise NpzError(f"has a number in {name} that is not finite")
        self._lines[name] = _line(name, array.dtype, array.shape, content.hexdigest())

    def text(self, name: str, longest: int) -> str:
        """A 0-d array of text.

        Args:
            name: the array's.
            longest: how many characters it has at most.

        Raises:
            NpzError: it is another array, or longer.
        """
        dtype, shape = self.form(name)
        if dtype.kind != "U" or shape or dtype.itemsize > 4 * longest:
            raise NpzError(f"has {name} as {dtype} {shape}, where a text is expected")
        return str(self.read(name, dtype, shape).item())

    def finish(self, *, has_checksum: bool) -> None:
        """See that there is nothing but what was read, and that it is what was written.

        Raises:
            NpzError: there is more, or other content.
        """
        lines = list(self._lines.values())
        if has_checksum and self.text(CHECKSUM, 64) != _digest_of(lines):
            raise NpzError("is damaged: its checksum is not that of its content")
        if more := self._members.keys() - self._lines.keys():
            raise NpzError(f"has an array that does not belong to it, {min(more)!r}")


# What NumPy writes before an array. Its own parser evaluates that, and warns of what it mends.
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '([<|][fiuU]\d{1,9})', 'fortran_order': False, "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18})+)\), \} *\n"
)


def _header(file: ZipExtFile, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The type and shape of the array that follows."""
    magic = file.read(len(MAGIC))
    length = int.from_bytes(file.read(2), "little")
    header = HEADER.fullmatch(file.read(length))
    if magic != MAGIC or header is None:
        raise NpzError(f"has {name} in a form that charlm never wrote")
    dtype, shape = header[1].decode(), header[2].decode()
    return np.dtype(dtype), tuple(int(size) for size in shape.split(",") if size.strip())


class _Opened(NamedTuple):
    file: ZipExtFile
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def check(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        if (self.dtype, self.shape) != (dtype, shape):
            raise NpzError(
                f"has {name} as {self.dtype} {self.shape}, where {dtype} {shape} is expected"
            )


class _InSmallReads(io.BufferedReader):
    """A file that is read in pieces, however large a piece somebody asks for.

    `zipfile` reads a table of contents at once, and makes an object of each of its entries.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > READ:
            raise NpzError("has a table of contents that charlm never wrote")
        return super().read(READ if size is None or size < 0 else size)
