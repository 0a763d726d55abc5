"""The standard streams, where writing fails: a full disk, a reader or a terminal that went away."""

import io
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from charlm.errors import CharlmError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Results(io.FileIO):
    """Standard output: what cannot be written ends the command, once."""

    is_lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.is_lost:  # Python flushes again when it ends
            return memoryview(data).nbytes
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            self.is_lost = True
            raise
        except OSError as error:
            self.is_lost = True
            cause = error.strerror or error
            raise CharlmError(f"cannot write to standard output: {cause}") from error


class _Notes(io.FileIO):
    """Standard error: what cannot be said is left unsaid, and the work goes on."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def set_up_streams() -> None:
    """Make both streams fail as they should, and show what their encoding lacks as escapes."""
    sys.stdout = _set_up(sys.stdout, _Results)
    sys.stderr = _set_up(sys.stderr, _Notes)


def _set_up(stream: TextIO | None, kind: type[io.FileIO]) -> TextIO:
    if stream is None:  # the caller closed it
        return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")
    if isinstance(stream, io.TextIOWrapper):
        raw = getattr(stream.buffer, "raw", stream.buffer)  # PYTHONUNBUFFERED leaves this alone
        if type(raw) is io.FileIO:  # which a console of Windows is not
            ours = kind(raw.fileno(), "w", closefd=False)
            stream = io.TextIOWrapper(
                cast(BinaryIO, ours) if stream.write_through else io.BufferedWriter(ours),
                encoding=stream.encoding,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
        stream.reconfigure(errors="backslashreplace")
    return stream
