"""Commands that report an invalid command line as exceptions, and which command runs.

Typer's own wording differs from version to version, so `failures` words all of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from charlm.errors import in_short

# Typer has its own copy of the class of Click in some versions.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class UnknownCommand(typer.BadParameter):
    """A word that is not the name of a command; the words after it follow."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__("unknown command")
        self.words = tuple(words)


class ExtraArguments(typer.BadParameter):
    """More arguments than the command takes."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__("unexpected argument")
        self.words = tuple(words)


class Contradiction(typer.BadParameter):
    """Options that cannot be combined, by the names of their parameters."""

    def __init__(self, *names: str) -> None:
        super().__init__(f"{' and '.join(names)} cannot be combined")
        self.names = names


class Repeated(typer.BadParameter):
    """An option that is given more than once, by the values of each of its flags."""

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        values = [f"as {_bare(value)}" for each in given.values() for value in each]
        times = "twice" if len(values) == 2 else f"{len(values)} times"
        flags = " or ".join(given)
        super().__init__(f"{flags} was given {times}, {' and '.join(values)}; give it once")


class InvalidValue(typer.BadParameter):
    """A value that an option does not take."""

    def __init__(self, message: str, expected: str) -> None:
        super().__init__(message)
        self.expected = expected


@dataclass(frozen=True)
class Parsed:
    """A command as it was called.

    Attributes:
        context: the context of Typer.
        words: the words after the name of the command.
    """

    context: Any
    words: tuple[str, ...]

    @property
    def path(self) -> str:
        """The full name of the command, such as `charlm corpus get`."""
        return str(self.context.command_path)

    def parameter(self, name: str) -> Any:
        """The parameter of a name or flag; None if there is none."""
        return next((p for p in self.parameters() if name in (p.name, *flags_of(p))), None)

    def parameters(self) -> Sequence[Any]:
        """The arguments and options of the command."""
        return self.context.command.get_params(self.context)  # type: ignore[no-any-return]

    def arguments(self) -> list[Any]:
        """The arguments of the command."""
        return [p for p in self.parameters() if p.param_type_name == "argument"]

    def named(self, parameter: Any) -> str:
        """What the user set a parameter by: an argument, a flag as typed, or a variable."""
        if parameter.param_type_name == "argument":
            return argument_name(parameter)
        if self.is_from_environment(parameter):
            return self.variable(parameter)
        typed = (word.partition("=")[0] for word in self.words)
        flags = flags_of(parameter)
        return next((flag for flag in typed if flag in flags), flags[0])

    def is_from_environment(self, parameter: Any) -> bool:
        """Whether the value of a parameter comes from a variable."""
        source = self.context.get_parameter_source(parameter.name)
        return getattr(source, "name", "") == "ENVIRONMENT"

    def variable(self, parameter: Any) -> str:
        """The environment variable of an option."""
        derived = f"{self.context.auto_envvar_prefix}_{parameter.name}".upper()
        return str(parameter.envvar or derived)

    def all_commands(self) -> dict[str, Any]:
        """All commands by their full names."""
        root = self.context.find_root()
        return dict(commands(root.command, root.command_path))

    def given(self) -> Iterator[str]:
        """The values of the arguments."""
        for parameter in self.arguments():
            value = self.context.params.get(parameter.name)
            yield from [value] if isinstance(value, str) else value or ()


def argument_name(parameter: Any) -> str:
    """The name of an argument in the help, without the brackets of an optional one."""
    name: str = parameter.metavar or parameter.name.upper()
    return name.removesuffix("...").strip("[]")


_parsed: Parsed | None = None


def running() -> Parsed | None:
    """The command that was parsed last."""
    return _parsed


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield a command and those in it, with their full names; a group precedes its commands."""
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


def flags_of(parameter: Any) -> list[str]:
    """The flags of an option, in the order of their declaration; none of an argument."""
    is_option = parameter.param_type_name == "option"
    return [*parameter.opts, *parameter.secondary_opts] if is_option else []


def _bare(value: str) -> str:
    """A value for a message, without quotation marks if it is a word or a number."""
    return value if re.fullmatch(r"[\w.+-]{1,40}", value, re.ASCII) else in_short(value)


def _keep(context: Any, words: Sequence[str]) -> None:
    global _parsed
    if not context.resilient_parsing:
        _parsed = Parsed(context, tuple(words))


WITH_SPACES = ("stop",)  # options that can be repeated, whose variable has a single value


def _adapted(parameters: list[Any]) -> list[Any]:
    """Parameters with three changes.

    Flags are shown without `<bool>` in the help, because they take no value, and names of arguments
    in capitals. The variable of an option whose values can contain spaces is not split at them.
    """
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.metavar = parameter.metavar or parameter.name.upper()
        if parameter.name in WITH_SPACES:
            parameter.value_from_envvar = partial(_one_value, parameter)
    return parameters


def _one_value(parameter: Any, context: Any) -> list[str] | None:
    value = parameter.resolve_envvar_value(context)
    return None if value is None else [value]


class Command(TyperCommand):
    """A command that also has the options of the root that stand at any place."""

    allow_extra_args = True  # to word the error

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _keep(ctx, args)
        words = list(args)  # the parser empties its list
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            self._refuse_repeated(ctx, words)
            if rest:
                raise ExtraArguments(rest)
        return rest

    def _refuse_repeated(self, ctx: Any, words: list[str]) -> None:
        """Refuse an option that is given twice, unless it is a list or the same flag again."""
        parser = self.make_parser(ctx)
        single = [p for p in self.get_params(ctx) if flags_of(p) and not p.multiple]
        for option in single:  # parse them again, each flag as a list
            action = "append_const" if option.is_flag else "append"
            for flag in flags_of(option):
                parser.add_option(option, [flag], dest=flag, action=action)
        values, _, _ = parser.parse_args(words)
        for option in single:
            given = {flag: values[flag] for flag in flags_of(option) if values.get(flag)}
            if len(given) > 1 and option.is_flag:
                raise typer.BadParameter(f"{' and '.join(given)} cannot be combined")
            if sum(map(len, given.values())) > 1 and not option.is_flag:
                raise Repeated(given)

    def get_params(self, ctx: Any) -> list[Any]:
        everywhere = [p for p in ctx.find_root().command.params if p.name == "debug"]
        return _adapted([*super().get_params(ctx), *everywhere])


class Group(TyperGroup):
    """A group of commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _keep(ctx, args)
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        return _adapted(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise UnknownCommand(args)
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """A Typer application of these commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, **{"cls": Command} | settings)
