"""Lines over numbers of nodes as SVG: panels whose vertical axis goes from 0 to 1."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.picture import COLUMNS, GAP, HEIGHT, LEFT, LIGHT, TOP, WIDTH, framed

COLOURS = ("#8a8a8a", "#b5651d", "#c9a227", "#4c9a5b", "#2563a8", "#7b3f98")
LEGEND = 112  # the width of a name in it


@dataclass(frozen=True)
class Panel:
    """Some lines over the same numbers of nodes, and dots beside each.

    Attributes:
        title: what is shown.
        nodes: above 0, rising.
        lines: one number from 0 to 1 for each number of nodes.
        dots: likewise.
    """

    title: str
    nodes: Sequence[int]
    lines: Sequence[Sequence[float]]
    dots: Sequence[Sequence[float]]


def svg(panels: Sequence[Panel], title: str, names: Sequence[str]) -> str:
    """The picture.

    Args:
        panels: in the order of reading.
        title: of all.
        names: of the lines.
    """
    rows = -(-len(panels) // COLUMNS)
    top = TOP + 24
    width = LEFT + COLUMNS * (WIDTH + GAP)
    height = top + rows * (HEIGHT + GAP + 12)
    parts = [*_legend(names)]
    for k, panel in enumerate(panels):
        x = LEFT + k % COLUMNS * (WIDTH + GAP)
        y = top + k // COLUMNS * (HEIGHT + GAP + 12)
        parts += [f'<g transform="translate({x} {y})">', *_panel(panel), "</g>"]
    return framed(width, height, title, parts)


def _legend(names: Sequence[str]) -> Iterator[str]:
    """Which line is which."""
    for k, (name, colour) in enumerate(zip(names, COLOURS, strict=True)):
        x = LEFT + k * LEGEND
        yield f'<path d="M{x} 42h18" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{x + 23}" y="46">{name}</text>'


def _panel(panel: Panel) -> Iterator[str]:
    """One panel, its upper left corner at 0, 0."""
    first, last = panel.nodes[0], panel.nodes[-1]
    across = [12 + (WIDTH - 24) * math.log(n / first) / math.log(last / first) for n in panel.nodes]
    yield f'<text y="-8" font-weight="bold">{panel.title}</text>'
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = f"{HEIGHT * (1 - share):.1f}"
        yield f'<path d="M0 {y}H{WIDTH}" stroke="{LIGHT}"/>'
        yield f'<text x="-6" y="{y}" dy="4" text-anchor="end">{share:g}</text>'
    for x, n in zip(across, panel.nodes, strict=True):
        yield f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{n}</text>'
    for line, dots, colour in zip(panel.lines, panel.dots, COLOURS, strict=True):
        points = " ".join(
            f"{x:.1f},{HEIGHT * (1 - y):.1f}" for x, y in zip(across, line, strict=True)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        for x, y in zip(across, dots, strict=True):
            yield f'<circle cx="{x:.1f}" cy="{HEIGHT * (1 - y):.1f}" r="2" fill="{colour}"/>'
