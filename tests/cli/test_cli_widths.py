"""Tables, rows and bars on narrow terminals, and on terminals that are resized."""

import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from charlm.cli import console
from charlm.cli.progress_bars import bar, fitted
from charlm.cli.tables import figure, fitting, table_lines
from tests.helpers import lawful
from tests.shell import QUICK
from tests.terminal import run, run_on_terminal, set_columns

SGR = re.compile(r"\x1b\[[\d;]*m")
NUMBER = re.compile(r"(?<![\w.])\d[\d.,]*\d(?![\w.])")
WIDTHS = (20, 40, 80)


@pytest.fixture
def inside(trained, monkeypatch) -> None:
    """Run in a directory with a run."""
    monkeypatch.chdir(trained.folder)


def lines(shown: str) -> list[str]:
    """The lines on a terminal without styles, each as it was in the end."""
    return [SGR.sub("", line).rstrip("\r").rpartition("\r")[2] for line in shown.split("\n")]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize(
    "words",
    [
        ["eval", "runs/corpus-1"],
        ["classify", "corpus.txt", "-m", "runs/corpus-1", "-m", "runs/corpus-1/last.npz"],
        ["corpus", "prepare", "corpus.txt"],
    ],
)
def test_tables_fit_and_no_number_is_broken(inside, words, columns):
    words = ["--model" if word == "-m" else word for word in words]
    numbers = set(NUMBER.findall(run(words).out))
    shown = run_on_terminal(words, columns=columns)
    assert shown.code == 0
    beside = ("the model was", "next: ", "runs/corpus-1/best.npz")  # lines without a limit
    table = [line for line in lines(shown.out) if not line.startswith(beside)]
    assert max(map(cell_len, table)) <= columns
    cells = " ".join(line for line in table if "/" not in line)  # paths may be broken
    assert set(NUMBER.findall(cells)) <= numbers
    assert len(NUMBER.findall(cells)) >= 2 or words[0] == "classify"


UNLIMITED = ("files", "next: ", "chosen for")  # lines with names or a command


@pytest.mark.parametrize("columns", WIDTHS)
def test_rows_and_bars_of_training_fit_and_no_number_is_broken(
    inside, columns, monkeypatch, tmp_path
):
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    shown = run_on_terminal(["train", "corpus.txt", "--out", str(tmp_path)], columns=columns)
    assert shown.code == 0
    text = SGR.sub("", shown.out)
    bars = [part for part in re.split(r"[\r\n]", text) if part.endswith(" left")]
    assert any(part.startswith("100%") for part in bars)
    for part in bars:
        assert cell_len(part) < columns
        assert re.fullmatch(r"[ \d]{3}%.* (\?|\d\d:\d\d) left", part)
    rows = [line.split() for line in lines(shown.out) if re.match(r" *\d+ +[-\d.]", line)]
    assert [row[0] for row in rows] == ["0", "10", "20"]
    count = {20: 2, 40: 4, 80: 6}[columns]
    for row in rows[1:]:
        assert len(row) >= count
        assert all(re.fullmatch(r"\d+(\.\d+)?", cell) for cell in row[:count])
    for line in lines(shown.out):
        assert cell_len(line) <= columns or line.startswith(UNLIMITED)


STATE = {
    "prefix": "",
    "n": 5,
    "total": 10,
    "initial": 0,
    "elapsed": 5.0,
    "rate": 1.0,
    "unit": "",
    "unit_scale": False,
    "ascii": False,
    "postfix": "loss 1.234, ppl 3.43, 9,999 char/s",
}


def test_a_bar_loses_its_parts_from_the_right_and_the_time_left_last():
    seen = [fitted(STATE, room) for room in range(100, -1, -1)]
    assert all(cell_len(line) <= room for line, room in zip(seen, range(100, -1, -1), strict=True))
    figures = "loss 1.234", "ppl 3.43", "9,999 char/s"
    parts = [" 50%", "|█████     |", " 5/10", *(f", {each}" for each in figures)]
    expected = ["".join(parts[:count]) + " 00:05 left" for count in range(len(parts), 0, -1)]
    assert list(dict.fromkeys(seen[: 101 - len("00:05 left")])) == [*expected, "00:05 left"]


def test_a_bar_without_a_total_has_no_time_left():
    state = STATE | {"total": None, "prefix": "a\x1b", "unit": "B", "postfix": None}
    assert fitted(state, 80) == "a\\x1b: 5B, 1.0B/s"
    assert fitted(state, 8) == "a\\x1b: "


@contextmanager
def terminal(**variables: str) -> Iterator[tuple[int, Callable[[], str]]]:
    """Make stderr a terminal of 80 columns; yield its file descriptor and a function to read it."""
    ours, theirs = pty.openpty()
    set_columns(theirs, 80)
    console.stderr.cache_clear()
    with (
        pytest.MonkeyPatch.context() as patch,
        open(theirs, "w", encoding="utf-8", closefd=False) as stderr,
    ):
        for name, value in ({"COLUMNS": "", "TERM": "xterm"} | variables).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stderr", stderr)
        yield theirs, lambda: os.read(ours, 1 << 16).decode()
    console.stderr.cache_clear()
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_bar_follows_the_width_of_the_terminal(term):
    with terminal(TERM=term) as (file, read), bar(total=10) as shown:
        shown.set_postfix_str("loss 1.234, ppl 3.43, 9,999 char/s", refresh=False)
        read()
        seen = []
        for columns in (80, 30, 30, 80):
            set_columns(file, columns)
            shown.refresh()
            seen.append(read())
    wide, narrow, again, wide_again = seen
    assert "9,999 char/s" in wide
    assert narrow.startswith("\x1b[J\r  0%|" if term == "xterm" else "\r  0%|")
    assert narrow.rstrip("\r ").endswith(" left")
    for part in (narrow + again).split("\r"):
        assert cell_len(part.removeprefix("\x1b[J")) < 30
    assert "\x1b" not in wide + again + wide_again
    assert wide.strip() == wide_again.strip()
    # The cursor is at the beginning of the line, also after a terminal has wrapped the line.
    assert all(each.endswith("\r") for each in seen)


@pytest.mark.parametrize(
    ("size", "variable", "columns"),
    [(80, "", 80), (80, "40", 40), (40, "200", 40), (0, "", 80), (0, "50", 50), (80, "x", 80)],
)
def test_columns_are_those_of_the_terminal_unless_the_variable_has_fewer(size, variable, columns):
    with terminal(COLUMNS=variable) as (file, _):
        set_columns(file, size)
        assert console.columns(console.stderr()) == columns


names = st.text(st.sampled_from("ab灯"), min_size=1, max_size=30)
figures = st.integers(0, 10**9).map("{:,}".format)


@lawful
@given(st.lists(st.tuples(names, figures, figures, figures), max_size=4), st.integers(1, 90))
def test_a_table_fits_and_keeps_its_figures_whole(rows, width):
    headings = ["model", "bits per character", "unknown", "lines"]
    above, below = table_lines(headings, rows, width)
    assert all(cell_len(line) <= width for line in above + below)
    kept = {len(line.split()) for line in below}
    assert len(kept) <= 1
    for line, row in zip(below, rows, strict=True):
        assert tuple(line.split()[1:]) == row[1 : min(kept)]
    if rows and width >= 8 + 2 + max(len("character"), *(len(row[1]) for row in rows)):
        assert min(kept) >= 2  # a figure has precedence over more than 8 cells of a name
    whole_above, whole_below = table_lines(headings, rows, None)
    assert len(whole_above) == 1
    assert [tuple(line.split()) for line in whole_below] == rows


@lawful
@given(st.floats(-1e300, 1e300), st.sampled_from(["{:.3f}", "{:.4f}", "{:,.1f}", "{:.2g}"]))
def test_a_figure_fits_its_column(value, form):
    text = figure(value, form, 7)
    assert len(text) <= 7
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.5, abs=0.051)
    assert value == 0 or float(text.replace(",", "")) != 0


def test_columns_are_left_out_from_the_right():
    assert fitting((7, 10, 8), 17, gap=1) == [7]
    assert fitting((7, 10, 8), 18, gap=1) == [7, 10]
    assert fitting((7, 10, 8), None) == [7, 10, 8]
    assert fitting((7, 10, 8), 1) == [7]
