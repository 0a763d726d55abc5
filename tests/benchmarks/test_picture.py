"""Pictures of benchmarks are drawn whatever the number of their panels."""

import pytest

from benchmarks.picture import COLUMNS, Panel, Picture, draw


@pytest.mark.parametrize("count", [1, COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 1])
def test_every_panel_is_drawn(count, tmp_path):
    sizes = range(1, 4)
    panels = [
        Panel(f"panel {n}", [*sizes], {"arithmetic": [*sizes]}, {"measured": [*sizes]})
        for n in range(count)
    ]
    draw(Picture("a title", panels, is_log=True), tmp_path / "picture.svg")
    svg = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert svg.count('<g id="axes_') == count
