"""Few cases in `make test`, all of them with `--full`, and the figures in docs/reliability.md.

With `--full` (`make test-faults`) each test in `tests/faults` tries as many cases as the document
says, and reports its figures for the table there.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
START, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
HEADER = "| promise | as measured | test |\n| --- | --- | --- |\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="full counts, and their table")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(number, text): what the test holds charlm to")
    config.addinivalue_line("markers", "full: only with --full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("full")])
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def only_full(*values: object) -> list[ParameterSet]:
    """Values for `pytest.mark.parametrize` that are tried only with `--full`."""
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*row, marks=pytest.mark.full) for row in rows]


@pytest.fixture(scope="session")
def counted(request) -> Callable[[int, int], int]:
    """`counted(10, 500)`: how many to try, in `make test` and in `make test-faults`."""
    is_full = request.config.getoption("--full")
    return lambda few, many: many if is_full else few


@pytest.fixture
def figure(request, record_property) -> Callable[[str], None]:
    """`figure("500 kills, 500 whole files")`: what a test that holds a promise has measured."""
    (mark,) = request.node.iter_markers("promise")
    number, text = mark.args
    test = f"{Path(request.node.path).name}::{request.node.originalname}"

    def report(measured: str) -> None:
        record_property("figure", f"| {number}. {text} | {measured} | `{test}` |\n")

    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    figures = {
        named_in(line): line
        for report in terminalreporter.getreports("passed")
        for name, line in report.user_properties
        if name == "figure"
    }
    if config.getoption("--full") and figures and exitstatus == 0:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, _, rest = text.partition(START)
        table, _, after = rest.partition(END)
        rows = {named_in(line): line for line in table.splitlines(True)[2:]} | figures
        ordered = sorted(rows.values(), key=lambda line: (int(line.split(".")[0][2:]), line))
        text = before + START + HEADER + "".join(ordered) + END + after
        DOCUMENT.write_text(text, encoding="utf-8")


def named_in(line: str) -> str:
    """The test that a line of the table names."""
    return re.findall("`([^`]+)`", line)[-1]
