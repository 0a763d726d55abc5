"""Write docs/cli.md, the reference of the command line: python docs/generate_cli.py."""

import inspect
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from charlm.cli import parsing
from charlm.cli.app import root_command
from charlm.cli.failures import DIVERGED, FAILED, USAGE
from charlm.cli.parsing import argument_name

PAGE = Path(__file__).with_name("cli.md")

# Windows lacks SIGHUP, and the page must not depend on the system.
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": 1}

INTRODUCTION = """\
# The command line

<!-- Written by `python docs/generate_cli.py` from the help of the commands. -->

Results (generated text, figures, tables and JSON) go to stdout; progress, notes, warnings, errors
and the summary of `train` go to stderr. `classify --lines` prints a line for each line of the text
to stdout, and its table to stderr. `-h` or `--help` shows the help of a command, and `--debug`,
before or after its name, the traceback of an error. Choices can be typed in upper or lower case,
with hyphens or underscores.

A file name of `-` reads standard input. A command that takes a text or a prompt, and is given
none, also reads standard input if it is a pipe or a redirected regular file with a byte left; a
terminal, `/dev/null` or a socket does not count. It waits two seconds for the first byte of a
pipe, then reads to the end. A pipe that stays open and silent is left alone, and a note says so:
with `-` the command waits for it. In a loop such as `while read`, give the text, or redirect
standard input from `/dev/null`.

A model is a `.npz` file, a run directory or the name of a run, with or without `runs/`: an
argument or the value of `--model`. Texts and models can be in any order. An existing file is a
text, even if a run has its name. Without a model, a command uses the newest one under `runs/`
that it can use, and prints its path.

`charlm --install-completion` lets the shell complete commands, options, choices, runs and files.

In names and messages, control characters, invisible characters and those that reorder a line are
shown as escapes such as `\\x1b`. Text that is itself the result is written to a pipe or a file as
it is, and to a terminal with these escapes, except for newlines and tabs.

The last column of a table is the environment variable that also sets the option; for a flag it is
`1` or `0`. An empty variable counts as not set. The command line has precedence over variables, and
variables over defaults. An option that is given twice is refused, unless it is a flag or can be
repeated.

In JSON, a number that is not finite, such as a perplexity that overflows, is `null`.

`python -m charlm` is the same as `charlm`.
"""

SAVED = "`charlm train` saves a checkpoint first, unless training has not started"

EXIT_CODES = {
    "0": "success",
    str(FAILED): "the command failed and printed one line on stderr; `--debug` shows the "
    "traceback. A closed pipe also gives this code, without a message",
    str(USAGE): "the command line or the value of an option is invalid",
    str(DIVERGED): "training diverged: the loss, the gradient or a weight was not finite, even "
    "after three rollbacks to the best model",
    **{str(128 + number): f"interrupted by {name}; {SAVED}" for name, number in SIGNALS.items()},
}

VALUES = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


def commands() -> Iterator[tuple[str, Any]]:
    """Yield the full name of each command and the command; a group precedes its commands."""
    return parsing.commands(root_command(), "charlm")


def arguments(command: Any) -> list[Any]:
    """The positional parameters of a command."""
    return [parameter for parameter in command.params if parameter.param_type_name == "argument"]


def options(command: Any) -> list[Any]:
    """The options of a command, grouped by panel."""
    found = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    panels = list(dict.fromkeys(panel(option) for option in found))
    return sorted(found, key=lambda option: panels.index(panel(option)))


def panel(option: Any) -> str:
    """The title of the group of an option."""
    return option.rich_help_panel or "Options"


def variable(name: str, option: Any) -> str:
    """The environment variable that sets an option of a command; empty if there is none."""
    derived = f"{name} {option.name}".upper().replace(" ", "_").replace("-", "_")
    return option.envvar or (derived if option.allow_from_autoenv else "")


def reference() -> str:
    """The content of docs/cli.md."""
    sections = [INTRODUCTION, _table(("Exit code", "Meaning"), EXIT_CODES.items())]
    for name, command in commands():
        sections += [f"## {name}\n", f"    {_usage(name, command)}\n", f"{command.help}\n"]
        rows = [(f"`{argument_name(a)}`", a.help, _default(a)) for a in arguments(command)]
        sections += [_table(("Argument", "Meaning", "Default"), rows)] if rows else []
        by_option = kinds(command)
        by_panel: dict[str, list[tuple[str, ...]]] = {}
        for option in options(command):
            row = (
                _code(f"{', '.join(parsing.flags_of(option))} {by_option.get(option.name, '')}"),
                option.help,
                _default(option),
                _code(variable(name, option)),
            )
            by_panel.setdefault(panel(option), []).append(row)
        for title, rows in by_panel.items():
            sections.append(_table((title, "Meaning", "Default", "Variable"), rows))
        inner = [
            (f"[`{name} {word}`](#{f'{name} {word}'.replace(' ', '-')})", _first_line(part.help))
            for word, part in getattr(command, "commands", {}).items()
        ]
        sections += [_table(("Command", "Meaning"), inner)] if inner else []
    return "\n".join(sections)


def _usage(name: str, command: Any) -> str:
    words = [name]
    if options(command):
        words.append("[OPTIONS]")
    for argument in arguments(command):
        word = argument_name(argument)
        words.append((word if argument.required else f"[{word}]") + "..." * (argument.nargs == -1))
    if hasattr(command, "commands"):
        words.append("COMMAND")
    return " ".join(words)


def kinds(command: Any) -> dict[str, str]:
    """The placeholder for the value of each parameter; empty for a flag."""
    if command.callback is None:
        return {}
    parameters = inspect.signature(command.callback).parameters
    return {name: _kind(parameter.annotation) for name, parameter in parameters.items()}


def _kind(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "|".join(get_args(hint))
    of = [part for part in get_args(hint) if part is not type(None)]
    return _kind(of[0]) if of else VALUES.get(hint, "")


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        shown = parameter.show_default
    elif parameter.show_default and parameter.default is not None and not _is_flag(parameter):
        shown = str(parameter.default)
    else:
        shown = ""
    return shown if " " in shown else _code(shown)


def _is_flag(parameter: Any) -> bool:
    return isinstance(parameter.default, bool)


def _code(text: str) -> str:
    return f"`{text.strip()}`" if text else ""


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _table(header: tuple[str, ...], rows: Any) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8", newline="\n")
