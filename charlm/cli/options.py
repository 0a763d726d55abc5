"""How an option is declared."""

from typing import Any, Literal

import typer

Newlines = Literal["keep", "lf"]


def option(
    *names: str,
    help: str,  # noqa: A002
    default: str | bool = True,
    panel: str | None = None,
    **more: Any,
) -> Any:
    """A Typer option whose help does not repeat the environment variable that also sets it.

    Args:
        names: how it is written, where that does not follow from the parameter's name.
        help: what it does.
        default: what to show as the default, where the parameter's own says nothing.
        panel: the group of options that it is listed with.
        more: for `typer.Option`.
    """
    return typer.Option(
        *names, help=help, show_default=default, rich_help_panel=panel, show_envvar=False, **more
    )


def newlines_option(**more: Any) -> Any:
    """The option that says what is made of a text's line ends."""
    return option(help="Leave line ends as they are, or make CRLF and CR newlines (lf).", **more)
