"""The layout of tables: a narrow terminal gets fewer columns, and no number is broken.

Widths are in cells: most Chinese, Japanese and Korean characters take two.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GAP = 2  # between columns
VALUE_WIDTH = 16  # a value with less room stands below its name
NAME_WIDTH = 8  # a name is cut to this width before the only column of figures is left out
FIGURE_WIDTH = 12  # a number with more characters is in scientific notation
CUT = ".."


def row_lines(
    console: "Console", name: str, value: str, indent: int, width: int | None
) -> list["Text"]:
    """A name and its value, which begins at a column and is wrapped between words.

    Args:
        console: where it will be printed.
        name: the name.
        value: the value.
        indent: the column of the values.
        width: the width of the terminal; None for no limit.
    """
    from rich.cells import set_cell_size
    from rich.text import Text

    if width is None:
        return [Text.assemble((set_cell_size(name, indent), "bold"), value)]
    if width < indent + VALUE_WIDTH:
        lines, indent = list(Text(name, "bold").wrap(console, width)), min(GAP, width - 1)
    else:
        lines = []
    for line in Text(value).wrap(console, width - indent):
        line.rstrip()
        start = Text(" " * indent) if lines else Text(set_cell_size(name, indent), "bold")
        lines.append(Text.assemble(start, line))
    return lines


def table_lines(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[list[str], list[str]]:
    """The lines of the headings and those of the rows; all columns but the first are figures.

    If a table is wider than the terminal, the words of each heading are stacked, then columns are
    left out from the right, then the first column is cut.

    Args:
        headings: a heading for each column.
        rows: the cells of each row.
        width: the width of the terminal; None for no limit.
    """
    stacks = [[heading] for heading in headings]
    widths = _widths(stacks, rows)
    if width is not None and _total(widths) > width:
        stacks = [heading.split() for heading in headings]
        widths = fitting(_widths(stacks, rows), width, least=2)
        excess = max(0, _total(widths) - width)
        if excess and widths[0] - excess < NAME_WIDTH:
            widths, excess = widths[:1], max(0, widths[0] - width)
        widths[0] -= excess
    stacks = stacks[: len(widths)]
    height = max(map(len, stacks))
    above = zip(*([""] * (height - len(stack)) + stack for stack in stacks), strict=True)
    return [_line(cells, widths) for cells in above], [_line(row, widths) for row in rows]


def _widths(stacks: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column, with the lines of its heading."""
    from rich.cells import cell_len

    columns = [[*stack, *(row[k] for row in rows)] for k, stack in enumerate(stacks)]
    return [max(map(cell_len, column)) for column in columns]


def fitting(
    widths: Sequence[int], width: int | None, *, gap: int = GAP, least: int = 1
) -> list[int]:
    """The widths of the first columns, as many as fit, but at least so many."""
    kept = list(widths)
    while width is not None and len(kept) > least and _total(kept, gap) > width:
        kept.pop()
    return kept


def _total(widths: Sequence[int], gap: int = GAP) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    from rich.cells import set_cell_size

    name, *figures = cells[: len(widths)]
    first = set_cell_size(cut(name, widths[0]), widths[0])
    rest = (right(cell, width) for cell, width in zip(figures, widths[1:], strict=True))
    return (" " * GAP).join([first, *rest]).rstrip()


def right(cell: str, width: int) -> str:
    """A cell, aligned to the right."""
    from rich.cells import cell_len

    return " " * (width - cell_len(cell)) + cell


def cut(text: str, width: int) -> str:
    """The beginning of a text that is too long, with two dots."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - len(CUT))) + CUT[: max(0, width)]


def figure(value: float | None, form: str, width: int = FIGURE_WIDTH) -> str:
    """A number for a column; in scientific notation if it is too large or too small for it."""
    if value is None:
        return "-"
    text = form.format(value)
    is_lost = value != 0 and not text.strip("-0.,")
    forms = [form] * (not is_lost) + ["{:.1e}", "{:.0e}"]
    return next((t for t in (f.format(value) for f in forms) if len(t) <= width), text)
