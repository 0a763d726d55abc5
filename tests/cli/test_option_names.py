"""Messages of the library name arguments of Python; the command line shows them as options."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import charlm
from charlm.cli.failures import ARGUMENT, with_options
from docs.generate_cli import commands, options

PACKAGE = Path(charlm.__file__).parent

# These are about the command line only.
OF_THE_COMMAND_LINE = ("cli", "experiments", "text/corpus_report.py", "config.py")
ALLOWED = ("charlm train", "libreoffice")  # commands that have no equivalent in Python


def messages() -> Iterator[tuple[str, str]]:
    """The strings of the library, but for docstrings, with the files they are in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(OF_THE_COMMAND_LINE):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    parts = (p.value if isinstance(p, ast.Constant) else "x" for p in node.values)
                    yield name, "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and id(node) not in prose:
                    yield name, str(node.value)


MESSAGES = list(messages())
OPTIONS = [option for _, command in commands() for option in options(command)]
FLAGS = {flag for option in OPTIONS for flag in (*option.opts, *option.secondary_opts)}


def test_messages_of_the_library_name_no_options():
    found = [m for m in MESSAGES if " --" in m[1] and not any(a in m[1] for a in ALLOWED)]
    assert not found


def test_every_argument_in_a_message_is_an_option():
    found = [(name, match[0]) for name, text in MESSAGES for match in ARGUMENT.finditer(text)]
    assert len(found) > 10
    assert not [each for each in found if with_options(each[1]).split()[0] not in FLAGS]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("use a lower `lr`", "use a lower --lr"),
        (
            "`unknown='skip'` or `val_fraction=0.5`",
            "--unknown skip or --val-fraction 0.5",
        ),
        ("one thread (`threads=1`)", "one thread (--threads 1)"),
        ("`in_order` or `in_order=False`", "--in-order or --any-order"),
        ("`bidirectional=True`; a longer `timeout`", "--bidirectional; a longer --rank-timeout"),
        ("'`', 'a', '`' and `Corpus.read`", "'`', 'a', '`' and `Corpus.read`"),
    ],
)
def test_arguments_are_shown_as_options(message, shown):
    assert with_options(message) == shown
