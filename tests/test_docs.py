"""docs/cli.md lists all arguments, options, variables and exit codes of the commands."""

import ast
from pathlib import Path

import pytest

from docs.generate_cli import PAGE, arguments, commands, options, reference, variable
from tests.reliability import DOCUMENT, END, START, named_in

COMMANDS = dict(commands())
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for option in options(command)
    if variable(name, option)
]


FAULTS = Path(__file__).parent / "faults"


def by_name(value: object) -> str:
    return value if isinstance(value, str) else value.name


def test_page_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert page == reference(), "run: python docs/generate_cli.py"


def test_page_does_not_depend_on_the_terminal(monkeypatch):
    page = reference()
    for variables in ({"COLUMNS": "20", "TERM": "dumb"}, {"COLUMNS": "300", "FORCE_COLOR": "1"}):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert reference() == page


def test_page_has_every_command():
    assert set(COMMANDS) >= {"charlm", "charlm train", "charlm sample", "charlm eval"}
    for name in COMMANDS:
        assert f"\n## {name}\n" in reference()


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=by_name)
def test_page_has_every_option_with_its_variable(name, option):
    section = reference().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    starts = tuple(f"| `{option.opts[0]}{end}" for end in "` ,")
    (row,) = (line for line in section.splitlines() if line.startswith(starts))
    assert option.help in row
    assert f"`{variable(name, option)}` |" in row


@pytest.mark.parametrize("code", [0, 1, 2, 3, 129, 130, 143])
def test_page_has_every_exit_code(code):
    assert f"\n| {code} | " in reference()


def test_every_command_argument_and_option_has_help():
    for name, command in COMMANDS.items():
        assert command.help, name
        for parameter in (*arguments(command), *options(command)):
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=by_name)
def test_variable_sets_the_option(monkeypatch, name, option):
    called = f"{name} {option.opts[0].lstrip('-')}".upper().replace("-", "_").replace(" ", "_")
    assert variable(name, option) == called
    monkeypatch.setenv(called, "1")
    monkeypatch.setenv("CHARLM_SAMPLE_UNKNOWN", "skip")
    context = context_of(name)
    assert context.get_parameter_source(option.name).name == "ENVIRONMENT"


def context_of(name: str):
    """The context of a command without arguments."""
    context = None
    for depth, word in enumerate(name.split()):
        command = COMMANDS[" ".join(name.split()[: depth + 1])]
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    return context


def promises() -> dict[str, int]:
    """The tests of the promises in docs/reliability.md, and the number of each promise."""
    return {
        f"{path.name}::{test.name}": ast.literal_eval(mark.args[0])
        for path in FAULTS.glob("test_*.py")
        for test in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(test, ast.FunctionDef)
        for mark in test.decorator_list
        if ast.unparse(mark).startswith("pytest.mark.promise(")
    }


def test_every_promise_has_a_test():
    rows = DOCUMENT.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    tests = [named_in(row) for row in rows.splitlines()[2:]]
    numbers = promises()
    assert set(tests) <= set(numbers), "a test is gone: run make test-faults"
    assert {numbers[test] for test in tests} == set(range(1, 14))
