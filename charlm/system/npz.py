"""Named arrays in a `.npz` file that NumPy can read, with a strict reader for untrusted files.

The reader checks the sizes that a file states against the size of the file before it allocates
memory, so that a small file cannot request a large allocation. It neither unpickles nor
decompresses. `write` adds the array `sha256`, a checksum of the names, types, shapes and bytes of
all other arrays.
"""

import hashlib
import io
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZIP_STORED, BadZipFile, ZipExtFile, ZipFile, ZipInfo

import numpy as np

from charlm.system.arrays import Array

READ = 1 << 18  # bytes per read, which also limits the size of the zip directory
MOST = 2_000  # arrays; the zip directory of so many fits into one read
CHECKSUM = "sha256"

Form = tuple[np.dtype[Any], tuple[int, ...]]  # the type and shape of an array


class NpzError(ValueError):
    """A file is invalid. The message continues a sentence that starts with the file's path."""


def write(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write arrays and their checksum, and read back what the file says that it has.

    `np.savez` is not used, because before NumPy 2.2 it stores its option `allow_pickle` as an
    array. The times in the zip file are constant, so that the same arrays give the same file.

    Args:
        file: an empty file, open for writing and reading.
        arrays: the arrays by name.

    Raises:
        NpzError: there are more arrays than the reader accepts, or the file has others.
    """
    if len(arrays) >= MOST:
        raise NpzError(f"{len(arrays):,} arrays exceed the limit of {MOST - 1:,} per file")
    whole = {**arrays, CHECKSUM: np.array(digest(arrays))}
    with ZipFile(file, "w") as archive:
        for name, array in whole.items():
            with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
    _check_written(file, whole)


def _check_written(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Check the names, types, shapes and sizes in a new file, but not its content."""
    with _archive(file) as archive:
        reader = Reader(archive, file.seek(0, os.SEEK_END))
        for name, array in arrays.items():
            reader.check(name, array.dtype, array.shape)
        if len(reader) != len(arrays):
            raise NpzError("has other arrays than were written")


def digest(arrays: Mapping[str, Array]) -> str:
    """The checksum of arrays: SHA-256 in hexadecimal."""
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
    """A view of a contiguous array as bytes."""
    return array.reshape(-1).view(np.uint8)


@contextmanager
def reading(path: Path | int) -> Iterator["Reader"]:
    """Open an `.npz` file for reading.

    Args:
        path: the file, or its descriptor, which will be closed.

    Raises:
        NpzError, OSError: the file is invalid or cannot be read; so do all methods of the reader.
            On damaged files `zipfile` and NumPy can raise many other exceptions.
    """
    with _BoundedReads(io.FileIO(path)) as file, _archive(file) as archive:
        yield Reader(archive, os.fstat(file.fileno()).st_size)


def _archive(file: BinaryIO) -> ZipFile:
    try:
        return ZipFile(file)
    except BadZipFile as error:
        if isinstance(error.__context__, OSError):  # `zipfile` reports a failed read as damage
            raise error.__context__ from None
        raise


class Reader:
    """The arrays of an `.npz` file; each can be inspected before it is read.

    Args:
        archive: the file.
        size: its size in bytes.

    Attributes:
        size: the size of all arrays in bytes.
    """

    def __init__(self, archive: ZipFile, size: int) -> None:
        self._archive = archive
        self._lines: dict[str, str] = {}
        self._members: dict[str, ZipInfo] = {}
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if member.orig_filename != member.filename:  # zipfile has truncated it at a NUL
                raise NpzError(f"has an array with the invalid name {name!r}")
            if name in self._members:
                raise NpzError(f"has the array {name!r} twice")
            self._members[name] = member
        self.size = sum(member.file_size for member in self._members.values())
        if self.size > size:
            raise NpzError("has arrays that are larger than the file; save it without compression")

    def __len__(self) -> int:
        return len(self._members)

    @contextmanager
    def _opened(self, name: str, expected: Form | None = None) -> Iterator[tuple[ZipExtFile, Form]]:
        """The file of an array, positioned at its data, and the form, whose size is checked."""
        if name not in self._members:
            raise NpzError(f"is not a charlm file, or is damaged: the array {name} is missing")
        member = self._members[name]
        if member.compress_type != ZIP_STORED or not member.filename.endswith(".npy"):
            raise NpzError(f"has an array {name} that is compressed or not in .npy format")
        with self._archive.open(member) as opened:
            file = cast(ZipExtFile, opened)
            dtype, shape = form = _header(file, name)
            left = member.file_size - file.tell()
            if math.prod(shape) * dtype.itemsize != left:
                raise NpzError(f"has {left:,} bytes for {name}, which do not match {dtype} {shape}")
            if expected and form != expected:
                wanted = f"{expected[0]} {expected[1]}"
                raise NpzError(f"has {name} as {dtype} {shape}, expected {wanted}")
            yield file, form

    def form(self, name: str) -> Form:
        """The type and shape of an array.

        Raises:
            NpzError: the array is missing, or its data has another size.
        """
        with self._opened(name) as (_, form):
            return form

    def check(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Check that an array has this type and shape.

        Raises:
            NpzError: it does not.
        """
        with self._opened(name, (dtype, shape)):
            pass

    def read(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Read an array of this type and shape.

        Raises:
            NpzError: it has another type or shape, or a value that is not finite.
        """
        self.check(name, dtype, shape)
        array = np.empty(shape, dtype)
        self.read_into(name, array)
        return array

    def read_into(self, name: str, array: Array) -> None:
        """Read an array into a contiguous one of the same type and shape.

        Raises:
            NpzError: it has another type or shape, or a value that is not finite.
        """
        data, content = _bytes_of(array), hashlib.sha256()
        with self._opened(name, (array.dtype, array.shape)) as (file, _):
            for start in range(0, len(data), READ):
                part = data[start : start + READ]
                if file.readinto(part.data) < len(part):
                    raise NpzError(f"is truncated within {name}")
                content.update(part.data)
                if array.dtype.kind == "f" and not np.isfinite(part.view(array.dtype)).all():
                    raise NpzError(f"has NaN or infinite values in {name}")
        self._lines[name] = _line(name, array.dtype, array.shape, content.hexdigest())

    def text(self, name: str, longest: int) -> str:
        """Read a 0-d array that holds a string.

        Args:
            name: the name of the array.
            longest: the maximum number of characters.

        Raises:
            NpzError: the array is not a string, or is longer.
        """
        dtype, shape = self.form(name)
        if dtype.kind != "U" or shape or dtype.itemsize > 4 * longest:
            raise NpzError(f"has {name} as {dtype} {shape}, expected a string")
        return str(self.read(name, dtype, shape).item())

    def finish(self, *, has_checksum: bool) -> None:
        """Check that every array was read, and that the checksum matches.

        Raises:
            NpzError: there are other arrays, or the checksum differs.
        """
        lines = list(self._lines.values())
        if has_checksum and self.text(CHECKSUM, 64) != _digest_of(lines):
            raise NpzError("is damaged: its checksum does not match its content")
        if more := self._members.keys() - self._lines.keys():
            raise NpzError(f"has an unexpected array {min(more)!r}")


# The header of an array as NumPy writes it. NumPy's own parser is not strict: it evaluates the
# header as Python source, and repairs some invalid ones with a warning.
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '([<|][fiuU]\d{1,9})', 'fortran_order': False, "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18})+)\), \} *\n"
)


def _header(file: ZipExtFile, name: str) -> Form:
    """Read the type and shape of the array that follows."""
    magic = file.read(len(MAGIC))
    length = int.from_bytes(file.read(2), "little")
    header = HEADER.fullmatch(file.read(length))
    if magic != MAGIC or header is None:
        raise NpzError(f"has an invalid array header in {name}")
    dtype, shape = header[1].decode(), header[2].decode()
    return np.dtype(dtype), tuple(int(size) for size in shape.split(",") if size.strip())


class _BoundedReads(io.BufferedReader):
    """A file that limits each read to `READ` bytes.

    `zipfile` reads the zip directory in one call and creates an object for each entry.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > READ:
            raise NpzError("has a zip directory that is too large")
        return super().read(READ if size is None or size < 0 else size)
