"""From the text of files to documents: lines, records, or what stands between separators.

A corpus is either of texts or of documents. A text is a file, or several that belong together; it
has no beginning and no end that a model would learn. A document has both.
"""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from charlm.errors import RecordError
from charlm.system.callbacks import Notify, ignore
from charlm.text.config import TextConfig
from charlm.text.source_files import shown_name
from charlm.text.text_files import converted_text

NAMED = 10  # columns or fields named in a message
LINE_ENDS = "\r\n"
MOST_DIGITS = 9  # of the number of a column


class Part(NamedTuple):
    """A part of a corpus.

    Attributes:
        text: the text.
        ends: where in it a text or document ends, in rising order; an end may be repeated, for an
            empty document, or be 0, for one that ends with the part before.
    """

    text: str
    ends: list[int]


def documents_of(
    pieces: Iterable[str], config: TextConfig, name: str, unseparated: Notify = ignore
) -> Iterator[list[str]]:
    """The documents of a file, in groups; empty ones included.

    Line ends are no part of a document: neither that of its line, nor those at its beginning and
    end where separators or files delimit it. What follows the last separator is no document if it
    has nothing but line ends, because a separator may end the file. A newline in a separator also
    stands for `\\r\\n`.

    Each document is converted: in a record, escapes can stand for any character, and what was part
    of a long segment of the text (see `normalization`) can be normalized in a document. So a model
    is trained on what it reads when it scores the document.

    Args:
        pieces: the text of the file, as `text_files.converted_file` converts it.
        config: what a document is; the whole file if it has no documents.
        name: the name of the file, for messages; `-` for standard input.
        unseparated: called with the name, after the only document, if it has no separator.

    Raises:
        RecordError: a record is invalid, or has no such column or field.
    """
    groups = _groups(pieces, config, name, unseparated)
    if config.newlines == "keep" and config.normalize == "none":
        return groups
    return ([converted_text(document, config) for document in group] for group in groups)


def _groups(
    pieces: Iterable[str], config: TextConfig, name: str, unseparated: Notify
) -> Iterator[list[str]]:
    """The documents of a file as they stand in it, in groups."""
    if config.lines:
        return _lines(pieces)
    if config.separator:
        separator = converted_text(config.separator, config)  # as the text is
        return _stripped(_separated(pieces, separator, lambda: unseparated(name)))
    if config.column:
        return in_groups(_column(pieces, config, shown_name(name)))
    if config.field:
        return in_groups(_fields(pieces, config, shown_name(name)))
    whole = [["".join(pieces)]]
    return _stripped(whole) if config.files else iter(whole)


def _split(
    pieces: Iterable[str],
    split: Callable[[str], list[str]],
    longest: int = 1,
    ends: str = "",
    unseparated: Callable[[], object] = ignore,
) -> Iterator[list[str]]:
    """What stands between separators, in groups.

    What follows the last one is left out if it has no characters but some of `ends`.

    Args:
        pieces: the text.
        split: splits a text at the separators.
        longest: the most characters that a separator has.
        ends: those characters.
        unseparated: called after the text if it has no separator.
    """
    held: list[str] = []  # what may continue in the next piece
    tail = ""  # what follows it, which may be the beginning of a separator
    is_separated = False
    for piece in pieces:
        first, *others = split(tail + piece)
        if others:
            yield ["".join([*held, first]), *others[:-1]]
            held, first, is_separated = [], others[-1], True
        stop = max(0, len(first) - longest + 1)
        held.append(first[:stop])
        tail = first[stop:]
    rest = "".join([*held, tail])
    if rest.strip(ends):
        yield [rest]
        if not is_separated:
            unseparated()


def _ended(pieces: Iterable[str]) -> Iterator[list[str]]:
    """The lines without their newlines, in groups."""
    return _split(pieces, lambda text: text.split("\n"))


def _separated(
    pieces: Iterable[str], separator: str, unseparated: Callable[[], object]
) -> Iterator[list[str]]:
    """What stands between separators, any newline in which may be a `\\r\\n` in the text."""
    newlines = re.split("(?<!\r)\n", separator)
    pattern = re.compile("\r?\n".join(map(re.escape, newlines)))

    def split(text: str) -> list[str]:
        return pattern.split(text) if "\r" in text else text.split(separator)  # which is faster

    longest = len(separator) + len(newlines) - 1
    return _split(pieces, split, longest, LINE_ENDS, unseparated)


def _lines(pieces: Iterable[str]) -> Iterator[list[str]]:
    """The lines, without their ends `\\n` or `\\r\\n`, in groups."""
    return ([line.removesuffix("\r") for line in group] for group in _ended(pieces))


def _stripped(groups: Iterable[list[str]]) -> Iterator[list[str]]:
    return ([document.strip(LINE_ENDS) for document in group] for group in groups)


def in_groups(documents: Iterable[str]) -> Iterator[list[str]]:
    """Documents in groups of about a million characters; the last one may be empty."""
    group, size = list[str](), 0
    for document in documents:
        group.append(document)
        size += len(document) + 1
        if size > 1 << 20:
            yield group
            group, size = [], 0
    yield group


def _column(pieces: Iterable[str], config: TextConfig, name: str) -> Iterator[str]:
    """The values of a column of a table, whose first row has names unless the column is a number.

    A number of more than `MOST_DIGITS` digits is a name too. Columns are separated by tabs if the
    first line has one, otherwise by commas.
    """
    column = config.column
    ended = (line + "\n" for line in chain.from_iterable(_ended(pieces)))
    first = next(ended, None)
    if first is None:
        return
    of_tabs = "\t" in first
    lines = chain([first], ended)
    rows = _tab_separated(lines) if of_tabs else _comma_separated(lines, name)
    if column.isdecimal() and len(column) <= MOST_DIGITS:
        index = int(column) - 1
        if index < 0:
            raise RecordError("there is no column 0; columns are numbered from 1")
    else:
        _, names = next(rows, (1, list[str]()))
        found = _named(column, names, config)
        if found is None:
            raise RecordError(f"{name} has no column {column!r}; it has {_listed(names)}")
        index = names.index(found)
    for number, row in rows:
        if index >= len(row):
            raise RecordError(
                f"{name}, line {number}: the row has {len(row)} columns and no column {column}"
            )
        yield row[index]


def _tab_separated(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The number of the line and the values of each row. Quotes have no special meaning."""
    for number, line in enumerate(lines, 1):
        if row := line.removesuffix("\n").removesuffix("\r"):
            yield number, row.split("\t")


def _comma_separated(lines: Iterable[str], name: str) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line and the values of each row; quoted ones can have line ends."""
    csv.field_size_limit(1 << 30)
    current: list[str] = []  # the lines of a row
    rows = csv.reader(_kept(lines, current), strict=True)
    start = 1
    try:
        for row in rows:
            if row:  # no empty line
                yield start, row
            current.clear()
            start = rows.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            unclosed = next(csv.reader(current))[-1]
            line = rows.line_num + 1 - unclosed.count("\n")
            raise RecordError(
                f"{name}, line {line}: a quote is opened and never closed; close it"
            ) from error
        begun = f"; the row begins in line {start}" if start < rows.line_num else ""
        raise RecordError(f"{name}, line {rows.line_num}: {error}{begun}") from error


def _kept(lines: Iterable[str], kept: list[str]) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        yield line


def _fields(pieces: Iterable[str], config: TextConfig, name: str) -> Iterator[str]:
    """The values of a field of JSON objects, one a line."""
    field = config.field
    for number, line in enumerate(chain.from_iterable(_ended(pieces)), 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{where}: the line is not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise RecordError(f"{where}: the line is not a JSON object")
        found = _named(field, record, config)
        if found is None:
            raise RecordError(f"{where}: there is no field {field!r}; there is {_listed(record)}")
        if not isinstance(record[found], str):
            raise RecordError(f"{where}: the field {field!r} is not a string")
        yield record[found]


def _named(typed: str, names: Collection[str], config: TextConfig) -> str | None:
    """The column or field with a name that was typed, perhaps in another normalization."""
    if typed in names:
        return typed
    wanted = converted_text(typed, config)
    return next((name for name in names if converted_text(name, config) == wanted), None)


def _listed(names: Iterable[str]) -> str:
    first = list(names)
    more = f" and {len(first) - NAMED} more" if len(first) > NAMED else ""
    return ", ".join(map(repr, first[:NAMED])) + more
