"""The result of an experiment: a table, a picture, and whether the claim holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Entry = str | int | float

MARKED = 20  # a line of at most so many points has a marker at each

# Settings of matplotlib for every picture. The salt makes the ids in an SVG reproducible.
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",
    "svg.hashsalt": "charlm",
}


@dataclass(frozen=True)
class Line:
    """A line in a picture.

    Attributes:
        label: the label in the legend.
        x: the horizontal values.
        y: one number for each x.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Picture:
    """Lines in one pair of axes.

    Attributes:
        x: the label of the horizontal axis, with its unit.
        y: the label of the vertical axis, with its unit.
        lines: the lines.
        log: whether the vertical axis is logarithmic.
    """

    x: str
    y: str
    lines: Sequence[Line]
    log: bool = False

    def save(self, path: Path) -> None:
        """Save as SVG, with matplotlib.

        Raises:
            ImportError: matplotlib is not installed.
        """
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(7, 4), layout="constrained")
            axes = figure.subplots()
            for line in self.lines:
                marker = "." if len(line.x) <= MARKED else ""
                axes.plot(line.x, line.y, label=line.label, marker=marker)
            axes.set(xlabel=self.x, ylabel=self.y, yscale="log" if self.log else "linear")
            axes.legend()
            figure.savefig(path, metadata={"Date": None})


@dataclass(frozen=True)
class Report:
    """The result of an experiment.

    Attributes:
        claim: the claim, in one sentence.
        columns: the header of the table.
        rows: its rows, one entry per column.
        picture: the picture.
        finding: whether the results support the claim, with the figures.
    """

    claim: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    picture: Picture
    finding: str

    def markdown(self) -> str:
        """The claim, the table and the finding as Markdown."""
        lines = [list(self.columns), ["---"] * len(self.columns)]
        lines += [[_shown(cell) for cell in row] for row in self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"Claim: {self.claim}\n\n{table}\n\n{self.finding}\n"


def _shown(cell: Entry) -> str:
    return (
        f"{cell:,}" if isinstance(cell, int) else f"{cell:.3g}" if isinstance(cell, float) else cell
    )
