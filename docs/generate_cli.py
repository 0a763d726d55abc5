"""Write docs/cli.md, the reference of the command line, from the commands themselves.

python docs/generate_cli.py
"""

import inspect
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from charlm.cli.app import app
from charlm.cli.failures import DIVERGED, FAILED, USAGE

PAGE = Path(__file__).with_name("cli.md")

# Python 3.11 on Windows lacks SIGHUP, and the page is to be the same everywhere.
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": 1}

INTRODUCTION = """\
# The command line

<!-- Written by `python docs/generate_cli.py`; change the help in charlm/cli/ instead. -->

Results, which are generated text and JSON, go to stdout; progress, tables and notes go to stderr.
`-` as a file is standard input. `-h` or `--help` after any command shows its help.

An option can also be set by the environment variable that stands beside it; a flag takes `1` or
`0`. Options on the command line win over variables, and variables over defaults.

`python -m charlm` is the same as `charlm`.
"""

SAVED = "`charlm train` has saved before, if there was anything to save"

EXIT_CODES = {
    "0": "done",
    str(FAILED): "the run failed: one line on stderr says why, and `charlm --debug …` shows the "
    "traceback; also, without a word, the pipe that was written to was closed",
    str(USAGE): "the command line cannot be understood, or an option has a value it cannot take",
    str(DIVERGED): "training diverged: the loss, the gradient or a weight became a NaN or an "
    "infinity, and so again after going back to the best model three times",
    **{str(128 + number): f"interrupted by {name}; {SAVED}" for name, number in SIGNALS.items()},
}

VALUES = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


def commands(command: Any = None, name: str = "charlm") -> Iterator[tuple[str, Any]]:
    """Every command and group of commands by its full name, a group before what is in it."""
    command = command or typer.main.get_command(app)
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


def arguments(command: Any) -> list[Any]:
    """The parameters of a command that go by their place."""
    return [parameter for parameter in command.params if parameter.param_type_name == "argument"]


def options(command: Any) -> list[Any]:
    """The parameters of a command that go by a name, those of one panel side by side."""
    found = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    panels = list(dict.fromkeys(panel(option) for option in found))
    return sorted(found, key=lambda option: panels.index(panel(option)))


def panel(option: Any) -> str:
    """The group of options that an option is listed with."""
    return option.rich_help_panel or "Options"


def variable(name: str, option: Any) -> str:
    """The environment variable that sets an option of a command; empty where there is none."""
    if not option.allow_from_autoenv:
        return ""
    return option.envvar or f"{name} {option.name}".upper().replace(" ", "_").replace("-", "_")


def reference() -> str:
    """The page."""
    sections = [INTRODUCTION, _table(("Exit code", "Meaning"), EXIT_CODES.items())]
    for name, command in commands():
        sections += [f"## {name}\n", f"    {_usage(name, command)}\n", f"{command.help}\n"]
        rows = [(f"`{a.name.upper()}`", a.help, _default(a)) for a in arguments(command)]
        sections += [_table(("Argument", "Meaning", "Default"), rows)] if rows else []
        kinds = _kinds(command)
        by_panel: dict[str, list[tuple[str, ...]]] = {}
        for option in options(command):
            row = (
                _code(f"{', '.join([*option.opts, *option.secondary_opts])} {kinds[option.name]}"),
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
        word = argument.name.upper()
        words.append((word if argument.required else f"[{word}]") + "..." * (argument.nargs == -1))
    if hasattr(command, "commands"):
        words.append("COMMAND")
    return " ".join(words)


def _kinds(command: Any) -> dict[str, str]:
    """What stands for the value of each parameter; nothing for a flag."""
    if command.callback is None:
        return {}
    hints = get_type_hints(inspect.unwrap(command.callback))
    return {name: _kind(hint) for name, hint in hints.items()}


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
