"""A table of words, one a row, whose columns are separated by tabs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from charlm.errors import TextError
from charlm.text.config import TextConfig
from charlm.text.documents import documents_of

WORD = "word"
DOCUMENT = ("item", "document")  # columns whose equal values form a document


@dataclass(frozen=True)
class WordTable:
    """Words in the order of a text, with other columns.

    Attributes:
        columns: the names of the columns.
        rows: the values of each row.
        words: the word of each row.
        documents: the numbers of the rows of each document; all rows, if they form one text.
        has_documents: whether a column says which rows form a document.
    """

    columns: list[str]
    rows: list[list[str]]
    words: list[str]
    documents: list[list[int]]
    has_documents: bool


def read_word_table(pieces: Iterable[str], name: str, reserved: Sequence[str] = ()) -> WordTable:
    """Read a table of words, the first line of which has the names of the columns.

    The words are in the column `word` or, without one, the first. Rows with an equal value in the
    column `item` or `document` form a document, wherever they are. Quotes have no special meaning.

    Args:
        pieces: the text of the file.
        name: the name of the file, for messages.
        reserved: the names that no column can have.

    Raises:
        TextError: the file is empty, or a row has too few or too many columns, or no word.
    """
    lines = chain.from_iterable(documents_of(pieces, TextConfig(lines=True), name))
    columns = next(lines, "").split("\t")
    _check_columns(columns, name, reserved)
    word = columns.index(WORD) if WORD in columns else 0
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, 2):
        where = f"{name}, line {number}"
        if len(row) != len(columns):
            raise TextError(
                f"{where}: the row has {len(row)} of {len(columns)} columns, separated by tabs"
            )
        if not row[word]:
            raise TextError(f"{where}: the word is empty")
    if not rows:
        raise TextError(f"{name}: the table has no rows below the names of its columns")
    found = [columns.index(column) for column in DOCUMENT if column in columns]
    documents: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        documents.setdefault(row[found[0]] if found else "", []).append(number)
    words = [row[word] for row in rows]
    return WordTable(columns, rows, words, [*documents.values()], bool(found))


def _check_columns(columns: list[str], name: str, reserved: Sequence[str]) -> None:
    where = f"{name}, line 1"
    if columns == [""]:
        raise TextError(f"{where}: the names of the columns are missing")
    if len(columns) == 1 and "," in columns[0]:
        raise TextError(f"{where}: there are commas but no tabs; separate the columns by tabs")
    repeated = [c for n, c in enumerate(columns) if c in columns[:n] or c in reserved]
    if repeated:
        raise TextError(f"{where}: rename the column {repeated[0]!r}; the name is taken")
