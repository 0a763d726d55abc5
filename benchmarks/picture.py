"""Small multiples as SVG, drawn with matplotlib from data that can be stored and drawn again.

    python -m benchmarks.picture docs/growth.svg docs/scaling.svg

draws each picture from the JSON file beside it (`growth.svg.json`), without measuring anything.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from charlm.experiments.report import STYLE

COLUMNS = 3
COLORS = ("#8a8a8a", "#2563a8", "#b5651d", "#c9a227", "#4c9a5b", "#7b3f98")


@dataclass(frozen=True)
class Panel:
    """Lines and dots over the same values.

    Attributes:
        title: the title of the panel.
        x: positive, increasing; on a logarithmic axis.
        lines: by label, one number for each x.
        dots: likewise; a label that is also in `lines` has the color of the line.
    """

    title: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    dots: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Picture:
    """Panels that share their vertical axis.

    Attributes:
        title: the title, which also names the vertical axis.
        panels: in reading order.
        is_log: whether the vertical axis is logarithmic; otherwise it goes from 0 to 1.
    """

    title: str
    panels: Sequence[Panel]
    is_log: bool

    def save(self, path: Path) -> None:
        """Write the SVG, and beside it the data as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data_path(path).write_text(
            json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8"
        )
        draw(self, path)
        print(f"\nwritten: {path}")


def data_path(path: Path) -> Path:
    """The path of the JSON file that belongs to an SVG."""
    return path.with_name(path.name + ".json")


def load(path: Path) -> Picture:
    """The picture whose data lies beside an SVG."""
    data = json.loads(data_path(path).read_text(encoding="utf-8"))
    return Picture(**data | {"panels": [Panel(**panel) for panel in data["panels"]]})


def draw(picture: Picture, path: Path) -> None:
    """Draw a picture into an SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = -(-len(picture.panels) // COLUMNS)
    labels = dict.fromkeys(k for panel in picture.panels for k in (*panel.lines, *panel.dots))
    colors = dict(zip(labels, COLORS, strict=False))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.7 + 2.3 * rows), layout="constrained")
        grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
        for axes in grid.flat[len(picture.panels) :]:
            axes.remove()
        for axes, panel in zip(grid.flat, picture.panels, strict=False):
            for label, y in panel.lines.items():
                axes.plot(panel.x, y, color=colors[label], label=label)
            for label, y in panel.dots.items():
                name = None if label in panel.lines else label
                axes.plot(panel.x, y, ".", color=colors[label], label=name)
            axes.set_title(panel.title, fontsize="medium")
            axes.set_xscale("log")
            axes.set_xticks(panel.x, [f"{x:g}" for x in panel.x])
            axes.tick_params(labelsize="small")
            if picture.is_log:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
            else:
                axes.set_ylim(0, 1)
            axes.minorticks_off()
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.suptitle(picture.title, fontsize="medium")
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        figure.savefig(path, metadata={"Date": None})


def main(argv: Sequence[str] | None = None) -> None:
    """Draw pictures from their stored data."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("svg", type=Path, nargs="+", help="drawn from the JSON file beside it")
    for path in parser.parse_args(argv).svg:
        draw(load(path), path)


if __name__ == "__main__":
    main()
