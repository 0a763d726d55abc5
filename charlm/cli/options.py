"""Arguments and options, declared by hand or derived from a configuration."""

import inspect
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer

from charlm.checks import Check, one_of
from charlm.cli.parsing import Contradiction, InvalidValue
from charlm.errors import ConfigError, in_short
from charlm.text.config import DOCUMENTS, PLAIN_TEXT, TextConfig

Command = TypeVar("Command", bound=Callable[..., None])

# In the values of some options.
ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\0": "\0", r"\\": "\\"}
ESCAPED = ("stop", "separator")  # those options


def unescaped(text: str) -> str:
    """A text with the characters that escapes stand for; any other backslash stands for itself."""
    return re.sub(r"\\[nrt0\\]", lambda found: ESCAPES[found[0]], text)


def escaped(text: str) -> str:
    """A text as it is typed for such an option."""
    return text.translate({ord(character): typed for typed, character in ESCAPES.items()})


KINDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", unescaped: "TEXT", Path: "PATH"}  # of values


def option(
    *names: str,
    help: str,  # noqa: A002
    default: str | bool = True,
    panel: str | None = None,
    check: Check | None = None,
    kind: Callable[[str], Any] = str,
    choices: Sequence[str] = (),
    **more: Any,
) -> Any:
    """A Typer option whose help omits the environment variable, which docs/cli.md lists.

    Args:
        names: the flags, if they do not follow from the name of the parameter.
        help: the help text.
        default: the default in words; False to show none.
        panel: the title of the group of options in the help.
        check: raises ConfigError for a value that the option does not take.
        kind: what converts the text of a value that is checked, such as its type.
        choices: the values that the option takes, if there are few; in any case, and with
            underscores for hyphens.
        more: passed to `typer.Option`.
    """
    if choices:
        check = check or one_of(choices)
        more["autocompletion"] = lambda: list(choices)
    if check:
        more["parser"] = _parser(check, kind, choices)
    return typer.Option(
        *names, help=help, show_default=default, rich_help_panel=panel, show_envvar=False, **more
    )


def _parser(
    check: Check, kind: Callable[[str], Any], choices: Sequence[str]
) -> Callable[[Any], Any]:
    """What converts and checks a value that was typed; a default is no text and stays as it is."""
    by_key = {_key(choice): choice for choice in choices}

    def parse(typed: Any) -> Any:
        value = typed
        if isinstance(typed, str):
            value = by_key.get(_key(typed), typed) if choices else _converted(typed, kind)
        try:
            return check("value", value)
        except ConfigError as error:
            got = in_short(typed)
            got = got if value is typed else got.strip("'")  # a number
            raise InvalidValue(f"must be {error.expected}, got {got}", error.expected) from error

    parse.__name__ = "TEXT" if choices else KINDS[kind]  # in the help of older versions of Typer
    return parse


def _key(choice: str) -> str:
    return choice.casefold().replace("_", "-")


def _converted(text: str, kind: Callable[[str], Any]) -> Any:
    """The value of a text; the text itself if it is not of that kind, or is still to be checked."""
    if kind is Path:  # of an empty text it is the current directory
        return text
    try:
        return kind(text)
    except ValueError:
        return text


def flag(name: str, value: Any) -> str:
    """An option with its value as words of a shell command; empty for a flag that is not set."""
    if name == "in_order":
        return "--in-order" if value else "--any-order"
    option_name = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return option_name * value
    typed = escaped(value) if name in ESCAPED else f"{value}"
    return (
        f"{option_name} {shlex.quote(typed)}"
        if typed[:1] != "-"
        else f"{option_name}={shlex.quote(typed)}"
    )


def json_option(command: str, help: str, panel: str | None = None) -> Any:  # noqa: A002
    """The flag `--json` of a command."""
    return option("--json", envvar=f"CHARLM_{command}_JSON", help=help, panel=panel)


MODEL_HELP = "Path to a checkpoint (.npz) or run directory, or the name of a run."
NEWEST = "the best model of the newest run"
NEWEST_UNIDIRECTIONAL = "the best model of the newest unidirectional run"
NEWEST_BIDIRECTIONAL = "the best model of the newest bidirectional run"
CORPUS_HELP = (
    "Text files (including .gz and .xz), directories or glob patterns, in reading order; "
    "- reads standard input."
)

DECODING = ("encoding", "errors")  # the options that apply to files only
READING = tuple(field.name for field in fields(TextConfig))
AS_TRAINED = dict.fromkeys(("newlines", "normalize"), "as the model's corpus was read")

Unknown = Annotated[
    Literal["refuse", "skip"],
    option(
        help="Whether to refuse or skip characters that are not in the model's vocabulary.",
        choices=("refuse", "skip"),
    ),
]


def runs() -> list[str]:
    """The run directories under `runs/`, as completions of the name of a model."""
    return sorted(str(best.parent) for best in Path("runs").glob("*/best.npz"))


def model_argument(default: str) -> Any:
    """The argument MODEL."""
    return typer.Argument(
        metavar="MODEL", help=MODEL_HELP, show_default=default, autocompletion=runs
    )


def model_option(default: str | bool = NEWEST, more: str = "") -> Any:
    """The option `--model`."""
    help_text = f"{MODEL_HELP}{more}"
    return option("--model", "-m", help=help_text, default=default, autocompletion=runs)


def options_of(
    config: type,
    panel: str | None = None,
    *,
    shown: Mapping[str, str] = {},
    without: Sequence[str] = (),
    **flags: str,
) -> Callable[[Command], Command]:
    """Add an option for each field of a configuration to a command that takes `**settings`.

    The options precede the command's own keyword-only options.

    Args:
        config: a dataclass whose fields have the metadata of `charlm.config`.
        panel: the title of the group of options in the help.
        shown: the default of a field in words, if it differs from that of the configuration.
        without: fields that the command has no option for, in addition to those without help.
        flags: the flags of a field, if they do not follow from its name.
    """
    added = [
        _parameter(each, panel, flags.get(each.name), shown.get(each.name))
        for each in fields(config)
        if each.metadata["help"] and each.name not in without
    ]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        first = sum(p.kind is not p.KEYWORD_ONLY for p in own)
        decorated: Any = command
        decorated.__signature__ = signature.replace(parameters=[*own[:first], *added, *own[first:]])
        return command

    return decorate


def given(context: typer.Context, *sources: str) -> dict[str, Any]:
    """The options whose values come from some sources, such as COMMANDLINE or ENVIRONMENT.

    The values come from the context, not from the parameters of a command, which do not say whether
    a value was set or is a default.
    """
    origins = {name: context.get_parameter_source(name) for name in context.params}
    return {n: v for n, v in context.params.items() if getattr(origins[n], "name", "") in sources}


def fields_of(config: type, options: dict[str, Any]) -> dict[str, Any]:
    """The options that are fields of a configuration."""
    return {field.name: options[field.name] for field in fields(config) if field.name in options}


def chosen(context: typer.Context, names: Collection[str]) -> dict[str, Any]:
    """Those of some options that were set, of which one at most says something.

    An option of the command line replaces all of the environment.

    Raises:
        Contradiction: there are several on the command line, or else in the environment.
    """
    for source in ("COMMANDLINE", "ENVIRONMENT"):
        found = {name: value for name, value in given(context, source).items() if name in names}
        used = [name for name, value in found.items() if value is not False and value != ""]
        if len(used) > 1:
            raise Contradiction(*used)
        if found:
            return found
    return {}


def document_options(context: typer.Context) -> dict[str, Any]:
    """What a document is, as far as it was set; `chosen` says of which source.

    Raises:
        BadParameter: an option of the command line is empty, as from a variable that is not set.
        Contradiction: there are several.
    """
    refuse_empty(given(context, "COMMANDLINE"))
    return chosen(context, DOCUMENTS)


def refuse_empty(options: Mapping[str, Any]) -> None:
    """Refuse an empty option that says what a document is.

    Raises:
        BadParameter: there is one.
    """
    for name in DOCUMENTS:
        if options.get(name) == "":
            raise typer.BadParameter(f"--{name} must not be empty; omit it to read a text")


def text_config(context: typer.Context, default: TextConfig = PLAIN_TEXT) -> TextConfig:
    """How a command reads text: the options that were set, for the others a default."""
    settings = fields_of(TextConfig, given(context, "COMMANDLINE", "ENVIRONMENT"))
    if documents := document_options(context):
        none = {name: getattr(PLAIN_TEXT, name) for name in DOCUMENTS}
        settings = settings | none | documents
    return replace(default, **settings)


def refuse(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse options that have no effect, if they are on the command line.

    Args:
        context: the context of the command.
        names: the parameters of the options.
        why: the situation, such as "without a text".

    Raises:
        BadParameter: there is one.
    """
    for name in given(context, "COMMANDLINE"):
        if name in names:
            raise typer.BadParameter(f"--{name.replace('_', '-')} has no effect {why}; omit it")


def _kind(annotation: Any) -> type:
    """The type of the values of a field that may also be None."""
    kinds: tuple[type, ...] = get_args(annotation) or (annotation,)
    return kinds[0]


def _parameter(
    field: Field[Any], panel: str | None, flags: str | None, shown: str | None
) -> inspect.Parameter:
    """The parameter of a command that sets a field."""
    if flags is None and field.type is bool:
        flags = "--" + field.name.replace("_", "-")  # without --no-...
    metadata = field.metadata
    help_text, choices = metadata["help"], metadata["choices"]
    if choices:
        help_text = f"{help_text.removesuffix('.')}: {', '.join(choices)}."
    if field.name in ESCAPED:
        help_text += (
            r" \n, \r, \t, \0 and \\ stand for a newline, a carriage return, a tab, a NUL and a "
            "backslash."
        )
    declared = option(
        *[flags] if flags else [],
        help=help_text,
        default=shown or metadata["shown"] or field.default != "",
        panel=panel,
        check=None if field.type is bool else metadata["check"],
        kind=unescaped if field.name in ESCAPED else _kind(field.type),
        choices=choices,
    )
    is_repeated = any(get_origin(kind) is tuple for kind in get_args(field.type))
    kind = list[str] if is_repeated else field.type
    annotation = Annotated[kind, declared]  # type: ignore[valid-type]
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=[] if is_repeated else field.default,
        annotation=annotation,
    )
