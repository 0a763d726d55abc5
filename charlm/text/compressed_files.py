"""Compressed files, read stream by stream, so that no part of one is passed over.

A file in gzip or xz format is a sequence of compressed streams, with zeros between and after them.
Anything else after the end of a stream is an error.
"""

import errno
import lzma
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Protocol

CHUNK = 1 << 15  # compressed bytes per read; the rest of a chunk is copied at the end of a stream
MEMORY = 256 << 20  # bytes for the dictionary of an xz stream; xz -9 needs 65 MiB


class Decompressor(Protocol):
    """Decompresses one stream, as `lzma.LZMADecompressor`."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Inflater:
    """The decompressor of zlib for gzip, with the interface of the one of lzma."""

    needs_input = True

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        part = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = len(part) < max_length
        return part


@dataclass(frozen=True)
class Compression:
    """A compressed format.

    Attributes:
        name: its name.
        magic: the first bytes of each stream.
        decompressor: returns a decompressor for one stream.
        padding: the zeros after a stream are a multiple of this number.
    """

    name: str
    magic: bytes
    decompressor: Callable[[], Decompressor]
    padding: int


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)


# By file extension.
COMPRESSIONS = {
    ".gz": Compression("gzip", b"\x1f\x8b", Inflater, 1),
    ".xz": Compression("xz", b"\xfd7zXZ\0", _xz, 4),
}


class CompressedFile:
    """The content of a compressed file.

    Args:
        file: the file.
        compression: its format.

    Attributes:
        start: the first compressed bytes.
    """

    def __init__(self, file: IO[bytes], compression: Compression) -> None:
        self._file, self._compression = file, compression
        self._stream = compression.decompressor()
        self._size = 0  # the compressed bytes that were read
        self._has_ended = False
        self._rest = self.start = self._chunk()  # read, but not decompressed

    def read(self, size: int) -> bytes:
        """`size` bytes; fewer only at the end.

        Raises:
            EOFError: a stream is truncated.
            ValueError: a stream is damaged or needs too much memory, or there is other data.
        """
        parts = []
        while size and (part := self._some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        """At least one byte, at most `size`; none only at the end."""
        part = b""
        while not part and not self._is_at_end():
            data = b""
            if self._stream.needs_input:
                data, self._rest = self._rest or self._chunk(), b""
                if not data:
                    raise EOFError(f"the {self._compression.name} data is truncated")
            part = self._decompress(data, size)
        return part

    def _decompress(self, data: bytes, size: int) -> bytes:
        try:
            return self._stream.decompress(data, size)
        except (lzma.LZMAError, zlib.error) as error:
            if "Memory usage limit" in str(error):
                raise ValueError(
                    f"it needs more than {MEMORY >> 20} MiB of memory; decompress it first"
                ) from error
            raise ValueError(f"the {self._compression.name} data is damaged ({error})") from error

    def _is_at_end(self) -> bool:
        """Whether all was read; after a stream begins the next one."""
        if self._stream.eof and not self._has_ended:
            self._next_stream()
        return self._has_ended

    def _next_stream(self) -> None:
        """Skip the zeros after a stream, and begin the next one if there is one."""
        kind = self._compression
        self._rest = self._stream.unused_data
        zeros = self._skip_zeros()
        while 0 < len(self._rest) < len(kind.magic) and (more := self._chunk()):
            self._rest += more
        if zeros % kind.padding or not kind.magic.startswith(self._rest[: len(kind.magic)]):
            raise ValueError(
                f"other data follows the {kind.name} data, at byte "
                f"{self._size - len(self._rest)}; the file is damaged, or something was appended"
            )
        self._stream = kind.decompressor()
        self._has_ended = not self._rest

    def _skip_zeros(self) -> int:
        """Skip zeros, and return their number."""
        zeros = 0
        while data := self._rest or self._chunk():
            self._rest = data.lstrip(b"\0")
            zeros += len(data) - len(self._rest)
            if self._rest:
                break
        return zeros

    def _chunk(self) -> bytes:
        data = read_some(self._file, CHUNK)
        self._size += len(data)
        return data


def read_some(file: IO[bytes] | CompressedFile, size: int) -> bytes:
    """Up to `size` bytes of a file; empty at its end."""
    data: bytes | None = file.read(size)
    if data is None:  # a non-blocking pipe without data
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return data
