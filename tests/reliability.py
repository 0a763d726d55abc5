"""The figures in docs/reliability.md: each test in `tests/faults` counts, and reports what it saw.

`make test` tries a few of everything. `make test-faults` (`pytest tests/faults --full`) tries as
many as the document promises, and writes its table.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
START, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
HEADER = "| promise | as measured | test |\n| --- | --- | --- |\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="full counts, and their table")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(number, text): what the test holds charlm to")


@pytest.fixture(scope="session")
def counted(request) -> Callable[[int, int], int]:
    """`counted(10, 500)`: how many to try, in `make test` and in `make test-faults`."""
    is_full = request.config.getoption("--full")
    return lambda few, many: many if is_full else few


FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def figure(request) -> Callable[[str], None]:
    """`figure("500 kills, 500 whole files")`: what a test that holds a promise has measured."""
    (mark,) = request.node.iter_markers("promise")
    number, text = mark.args
    test = f"{Path(request.node.path).name}::{request.node.originalname}"

    def report(measured: str) -> None:
        line = f"| {number}. {text} | {measured} | `{test}` |\n"
        request.config.stash.setdefault(FIGURES, {})[test] = line

    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    figures = session.config.stash.get(FIGURES, {})
    if session.config.getoption("--full") and figures and exitstatus == 0:
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
