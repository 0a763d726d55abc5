"""Small multiples as SVG: panels with logarithmic axes, the same vertical one for all."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 220, 150  # of a panel's plot
LEFT, TOP, GAP = 52, 58, 44
COLUMNS = 3
BLUE, GREY, LIGHT, INK = "#2563a8", "#8a8a8a", "#e4e4e4", "#333333"


@dataclass(frozen=True)
class Panel:
    """Two lines over the same values.

    Attributes:
        title: what the values are.
        values: above 0, rising.
        measured: one number above 0 for each value; a full line with points.
        expected: likewise; a dashed line.
    """

    title: str
    values: Sequence[float]
    measured: Sequence[float]
    expected: Sequence[float]


def svg(panels: Sequence[Panel], unit: str, names: tuple[str, str]) -> str:
    """The picture.

    Args:
        panels: in the order of reading.
        unit: of the vertical axes.
        names: of the measured and the expected line.
    """
    numbers = [n for panel in panels for n in (*panel.measured, *panel.expected)]
    low, high = min(numbers) / 1.2, max(numbers) * 1.2
    rows = -(-len(panels) // COLUMNS)
    width = LEFT + COLUMNS * (WIDTH + GAP)
    height = TOP + rows * (HEIGHT + GAP + 12)
    parts = [*_legend(width, names)]
    for k, panel in enumerate(panels):
        x = LEFT + k % COLUMNS * (WIDTH + GAP)
        y = TOP + k // COLUMNS * (HEIGHT + GAP + 12)
        parts += [f'<g transform="translate({x} {y})">', *_panel(panel, low, high), "</g>"]
    return framed(width, height, unit, parts)


def framed(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """A picture of that size, with a title and these parts."""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11" '
        f'fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="13">{title}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def _legend(width: int, names: tuple[str, str]) -> list[str]:
    """Which line is which."""
    x = width - GAP - 190
    styles = (f'stroke="{BLUE}" stroke-width="2"', f'stroke="{GREY}" stroke-dasharray="4 3"')
    return [
        f'<path d="M{x + 95 * k} 18h24" {style}/><text x="{x + 95 * k + 30}" y="22">{name}</text>'
        for k, (name, style) in enumerate(zip(names, styles, strict=True))
    ]


def _panel(panel: Panel, low: float, high: float) -> list[str]:
    """One panel, its upper left corner at 0, 0."""
    first, last = panel.values[0], panel.values[-1]

    def across(value: float) -> float:
        if first == last:
            return WIDTH / 2
        return 12 + (WIDTH - 24) * math.log(value / first) / math.log(last / first)

    def down(number: float) -> float:
        return HEIGHT * (1 - math.log(number / low) / math.log(high / low))

    def line(numbers: Sequence[float]) -> str:
        points = zip(panel.values, numbers, strict=True)
        return " ".join(f"{across(value):.1f},{down(number):.1f}" for value, number in points)

    parts = [f'<text y="-8" font-weight="bold">{panel.title}</text>']
    for tick in _ticks(low, high):
        y = f"{down(tick):.1f}"
        parts.append(f'<path d="M0 {y}H{WIDTH}" stroke="{LIGHT}"/>')
        parts.append(f'<text x="-6" y="{y}" dy="4" text-anchor="end">{tick:g}</text>')
    parts += [
        f'<text x="{across(value):.1f}" y="{HEIGHT + 16}" text-anchor="middle">{value:g}</text>'
        for value in panel.values
    ]
    plain = 'fill="none" stroke-linejoin="round"'
    parts.append(
        f'<polyline points="{line(panel.expected)}" {plain} stroke="{GREY}" '
        'stroke-dasharray="4 3"/>'
    )
    parts.append(
        f'<polyline points="{line(panel.measured)}" {plain} stroke="{BLUE}" stroke-width="2"/>'
    )
    parts += [
        f'<circle cx="{across(value):.1f}" cy="{down(number):.1f}" r="3" fill="{BLUE}"/>'
        for value, number in zip(panel.values, panel.measured, strict=True)
    ]
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, … as far as they lie between; powers of ten only, if that is many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 3 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]
