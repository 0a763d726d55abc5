"""From bytes to characters, in blocks, with the position of invalid bytes."""

import codecs
import threading
from collections.abc import Callable, Iterator

from charlm.errors import TextError
from charlm.system.callbacks import Notify
from charlm.text.config import TextConfig
from charlm.text.likely_encodings import (
    has_few_errors,
    is_binary,
    is_mostly_utf8,
    likely,
    unmarked_utf,
)

NEWLINE = b"\n"
SAMPLE = 1 << 13  # bytes from which likely encodings are found

# UTF-32 comes before UTF-16, because its little-endian byte-order mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
REPLACEMENTS = {"replace": ("\ufffd", "replaced"), "skip": ("", "skipped")}

# What the handler of the decoder that is at work in a thread calls with each error.
_at_work = threading.local()


def _register(name: str, replacement: str) -> None:
    def handle(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        _at_work.count(error)
        return replacement, error.end

    codecs.register_error(f"charlm-{name}", handle)


for _name, (_replacement, _) in REPLACEMENTS.items():
    _register(_name, _replacement)


class Decoding:
    """Decodes the blocks of a file.

    Args:
        config: the encoding, and what to do with invalid bytes.
        name: the name of the file in messages.
        say: called with a note if a byte-order mark is dropped, or bytes were replaced or skipped.
    """

    def __init__(self, config: TextConfig, name: str, say: Notify) -> None:
        self.config, self.name, self.say = config, name, say
        self._is_utf8 = codecs.lookup(config.encoding).name == "utf-8"
        self._position = self._lines = 0  # the bytes and the newlines before the current block
        self._block = b""
        self._invalid = 0  # bytes that were replaced or skipped
        self._first = ""  # where the first of them is

    def texts(self, first: bytes, read: Callable[[], bytes]) -> Iterator[str]:
        """Decode a file in pieces.

        Args:
            first: the first block of the file.
            read: returns the next block; nothing at the end of the file.

        Raises:
            TextError: the file is not in its encoding, unless errors are replaced or skipped.
        """
        if self._is_utf8:
            first = self._without_mark(first)
        errors = self.config.errors
        decoder = codecs.getincrementaldecoder(self.config.encoding)(
            errors if errors == "strict" else f"charlm-{errors}"
        )
        block, start = first, first[:SAMPLE]
        while True:
            self._block, pending = block, decoder.getstate()[0]
            _at_work.count = self._count
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                raise self._refusal(error, pending, start) from error
            if text:
                yield text
            if not block:
                break
            self._position += len(block)
            self._lines += block.count(NEWLINE)
            block = read()
        if self._invalid:
            noun = "byte" if self._invalid == 1 else "bytes"
            done = REPLACEMENTS[errors][1]
            self.say(
                f"{self.name}: {done} {self._invalid:,} invalid {noun}, the first {self._first}"
            )

    def _without_mark(self, first: bytes) -> bytes:
        """The first block without the byte-order mark of UTF-8."""
        if other := unmarked_utf(first):
            raise TextError(
                f"{self.name} is not valid {self.config.encoding}: it has the NULs of another "
                f"encoding; the file looks like {other[:6].upper()}; pass `encoding='{other}'`"
            )
        if not first.startswith(codecs.BOM_UTF8):
            return first
        self.say(f"{self.name}: ignoring the byte-order mark")
        self._position = len(codecs.BOM_UTF8)
        return first[self._position :]

    def _count(self, error: UnicodeDecodeError) -> None:
        """Count invalid bytes."""
        if not self._invalid:
            self._first = self._where(error.object, error.start)
        self._invalid += error.end - error.start

    def _refusal(self, error: UnicodeError, pending: bytes, start: bytes) -> TextError:
        """The error for a file that is not in its encoding, with the start of the file."""
        encoding = self.config.encoding
        # The data of the error ends with the block, but may start before it.
        data = getattr(error, "object", pending + self._block)
        begin = getattr(error, "start", 0)
        is_near = self._byte(data, begin) < len(start)
        sample = start if is_near else data[max(_line(data, begin), begin - SAMPLE // 2) :]
        around = data[max(0, begin - SAMPLE) :][: 2 * SAMPLE]
        remedy = advice(sample[:SAMPLE], around, encoding)
        is_exception = isinstance(error, UnicodeDecodeError) and has_few_errors(around, encoding)
        if is_exception and "looks like" not in remedy:
            remedy += ", or pass `errors='replace'` to read U+FFFD for invalid bytes"
        return TextError(
            f"{self.name} is not valid {encoding}: "
            f"{getattr(error, 'reason', error)} {self._where(data, begin)}; {remedy}"
        )

    def _where(self, data: bytes, start: int) -> str:
        """The position of a byte of data that ends with the current block."""
        before = max(0, len(data) - len(self._block))  # bytes of previous blocks
        lines = self._lines + data.count(NEWLINE, 0, start) - data.count(NEWLINE, 0, before)
        return f"at byte {self._byte(data, start)}, line {lines + 1}"

    def _byte(self, data: bytes, start: int) -> int:
        """The offset in the file of a byte of data that ends with the current block."""
        return self._position + len(self._block) - len(data) + start


def _line(data: bytes, position: int) -> int:
    """The start of the line of a position."""
    return data.rfind(NEWLINE, 0, position) + 1


def advice(sample: bytes, around: bytes, encoding: str) -> str:
    """What to do about a file that is not in its encoding.

    Args:
        sample: bytes of the file, from its start or the start of the line of an invalid byte.
        around: bytes before and after the invalid byte.
        encoding: the encoding in which it was read.
    """
    for mark, marked in MARKS.items():
        if sample.startswith(mark):
            return f"the file looks like {marked.upper()}; pass `encoding='{marked}'`"
    if codecs.lookup(encoding).name == "utf-8" and is_mostly_utf8(around):
        return "most of the file is UTF-8: repair it"
    names = likely(sample, encoding)
    if names:
        others = f" (or {', '.join(names[1:])})" if names[1:] else ""
        return f"it is likely {names[0]}{others}: pass `encoding='{names[0]}'`"
    if is_binary(sample):
        return "it looks like a binary file; specify a text file"
    return "pass its `encoding`"
