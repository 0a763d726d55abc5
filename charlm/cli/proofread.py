"""`charlm proofread`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.console import note
from charlm.cli.model_argument import note_unknown, open_bidirectional_model
from charlm.cli.options import Newlines, newlines_option, option

if TYPE_CHECKING:
    from charlm.inference.proofreading import Misfit


def proofread(
    file: Annotated[str, typer.Argument(help="A text file, - for standard input.")],
    model: Annotated[
        str | None,
        option(help="A .npz or a run's directory.", default="the newest bidirectional run's best"),
    ] = None,
    odds: Annotated[
        float,
        option(help="How many times as probable another character has to be."),
    ] = 10_000.0,
    encoding: Annotated[str, option(help="The encoding of the text.")] = "utf-8",
    newlines: Annotated[Newlines, newlines_option()] = "keep",
    as_json: Annotated[
        bool,
        option(
            "--json",
            envvar="CHARLM_PROOFREAD_JSON",
            help="Print each finding as a line of JSON.",
        ),
    ] = False,
) -> None:
    """List the characters of a text that both sides make improbable, with a better one."""
    from tqdm import tqdm

    from charlm.text.text_files import read_text

    text = read_text(file, encoding, newlines=newlines, say=note)
    language_model, _ = open_bidirectional_model(model)
    ids, unknown = language_model.vocabulary.encode(text)
    found = 0
    with tqdm(
        total=len(ids), desc="reading", unit="char", unit_scale=True, leave=False, disable=None
    ) as bar:
        for misfit in language_model.proofread(text, odds=odds, progress=bar.update):
            found += 1
            bar.clear()
            print(json.dumps(asdict(misfit)) if as_json else f"{file}:{_line(misfit)}")
    note(f"{found:,} of {len(ids):,} characters; --odds sets how improbable they have to be")
    note_unknown(language_model, unknown)


def _line(misfit: "Misfit") -> str:
    """Where it is, what it is, what it should be, and what is around it."""
    return (
        f"{misfit.line}:{misfit.column}: {misfit.character!r} -> {misfit.suggestion!r}, "
        f"{misfit.odds:,.0f} times as probable: "
        f"{_visible(misfit.before)}[{_visible(misfit.character)}]{_visible(misfit.after)}"
    )


def _visible(text: str) -> str:
    """A text in which control characters are escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
