"""Standard streams for which writing can fail: on a full disk, a closed pipe or terminal."""

import io
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from charlm.errors import CharlmError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Results(io.FileIO):
    """Standard output: the first failed write raises an error that ends the command."""

    has_failed = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.has_failed:  # Python flushes again at exit
            return memoryview(data).nbytes
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            self.has_failed = True
            raise
        except OSError as error:
            self.has_failed = True
            cause = error.strerror or error
            raise CharlmError(f"cannot write to standard output: {cause}") from error


class _Notes(io.FileIO):
    """Standard error: a failed write is ignored."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def set_up_streams() -> None:
    """Handle failed writes, and escape the characters that a stream cannot encode."""
    sys.stdout = _set_up(sys.stdout, _Results)
    sys.stderr = _set_up(sys.stderr, _Notes)


def _set_up(stream: TextIO | None, kind: type[io.FileIO]) -> TextIO:
    if stream is None:  # closed by the caller
        return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")
    if isinstance(stream, io.TextIOWrapper):
        raw = getattr(stream.buffer, "raw", stream.buffer)  # with PYTHONUNBUFFERED
        if type(raw) is io.FileIO:  # not a Windows console
            ours = kind(raw.fileno(), "w", closefd=False)
            stream = io.TextIOWrapper(
                cast(BinaryIO, ours) if stream.write_through else io.BufferedWriter(ours),
                encoding=stream.encoding,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
        stream.reconfigure(errors="backslashreplace")
    return stream
