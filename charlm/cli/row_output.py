"""Rows of results on stdout: as TSV, or as lines of JSON."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from charlm.cli.console import as_result, clear_bars, json_of

ROWS = 1000  # that are printed at once
DIGITS = 6  # of figures in TSV, after the point
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


@dataclass
class RowOutput:
    """Prints rows as TSV, below the names of the columns, or as lines of JSON.

    A row maps names to strings, integers, floats or None, and `top` to a list of the most probable
    characters with their probabilities, each of which may be None.

    Attributes:
        unit: the unit of the NLL.
        as_json: whether to print JSON.
        is_raw: whether the texts in TSV are as they are, without escapes.
    """

    unit: str
    as_json: bool
    is_raw: bool
    _has_head: bool = False

    @property
    def figures(self) -> tuple[str, ...]:
        """The columns of figures."""
        return "characters", self.unit, "unknown_characters"

    def print(self, rows: Iterable[dict[str, Any]]) -> None:
        """Print some rows, many at once."""
        lines = []
        for row in rows:
            if not self.as_json and not self._has_head:
                lines.append("\t".join(_columns(row)))
                self._has_head = True
            lines.append(_as_json(row) if self.as_json else "\t".join(self._cells(row)))
            if len(lines) >= ROWS:
                _print(lines)
                lines = []
        _print(lines)

    def _cells(self, row: dict[str, Any]) -> Iterator[str]:
        for value in row.values():
            if isinstance(value, str):
                yield value if self.is_raw else value.translate(ESCAPES)
            elif isinstance(value, float):
                yield f"{round(value, DIGITS) + 0.0:.{DIGITS}f}"  # without a negative zero
            elif isinstance(value, list):
                for pair in value:
                    yield pair[0].translate(ESCAPES) if pair else ""
                    yield f"{pair[1]:.{DIGITS}g}" if pair else ""
            else:
                yield "" if value is None else str(value)


def _print(lines: Sequence[str]) -> None:
    if lines:
        clear_bars()
        print(as_result("\n".join(lines)))


def _columns(row: dict[str, Any]) -> Iterator[str]:
    """The names of the columns of TSV; those of alternatives are numbered."""
    for name, value in row.items():
        if isinstance(value, list):
            for n in range(1, len(value) + 1):
                yield from (f"{name}_{n}", f"p_{n}")
        else:
            yield name


def _as_json(row: dict[str, Any]) -> str:
    lists = {name: value for name, value in row.items() if isinstance(value, list)}
    for name, pairs in lists.items():
        known = filter(None, pairs)
        row = row | {name: [{"character": c, "probability": p} for c, p in known]}
    return json_of(row)
