"""What is said about the characters of a text that a model does not know."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import typer

from charlm.cli.console import note, plural, warn
from charlm.cli.options import refuse

if TYPE_CHECKING:
    from charlm.language_model import LanguageModel
    from charlm.training.trainer import Data

MOST = 0.01  # the fraction of a text above which the figures of a model say little about it


def treatment(model: "LanguageModel | Data") -> str:
    """What a model does with unknown characters."""
    return "skipped" if model.vocabulary.unk_id is None else "read as <unk>"


def count_and_percent(count: int, fraction: float) -> str:
    """The number of unknown characters, and their share of the text if there are any."""
    return f"{count:,} ({percent(fraction)})" if count else "0"


def percent(fraction: float) -> str:
    """A fraction in percent; one above zero is not shown as zero."""
    return "< 0.1 %" if 0 < fraction < 0.0005 else f"{100 * fraction:.1f} %"


def refuse_unknown(context: typer.Context, model: "LanguageModel") -> None:
    """Refuse the option `--unknown` if the model reads every unknown character.

    Raises:
        BadParameter: the option is on the command line.
    """
    if model.vocabulary.unk_id is not None:
        refuse(context, ["unknown"], "on a model that reads unknown characters as <unk>")


def note_unknown(
    model: "LanguageModel | Data", unknown: Iterable[str], count: int, length: int, of: str = ""
) -> None:
    """Print the characters of a text that a model does not know, and warn if they are many.

    Args:
        model: the model, or the data that it is trained on.
        unknown: the characters that it does not know.
        count: how often they occur.
        length: the number of characters of the text.
        of: the text in words, such as " of the validation text"; empty if there is only one.
    """
    if count:
        say = warn if count > MOST * length else note
        say(
            f"{count_and_percent(count, count / length)} of the characters{of} are outside the "
            f"model's vocabulary and were {treatment(model)}: {_described(unknown, model)}"
        )


def collected(pieces: Iterable[str], distinct: set[str]) -> Iterator[str]:
    """Yield the pieces of a text, and collect its characters."""
    for piece in pieces:
        distinct.update(piece)
        yield piece


def warn_of_unknown(
    fractions: Mapping[str, float],
    model: "LanguageModel",
    distinct: Iterable[str],
    who: str = "the model",
) -> None:
    """Warn of texts of which a model does not know more than `MOST`.

    Args:
        fractions: the share of unknown characters of each text, by its name.
        model: the model.
        distinct: the characters of the texts.
        who: the model in words.
    """
    from charlm.text.source_files import shown_name

    foreign = {name: fraction for name, fraction in fractions.items() if fraction > MOST}
    if not foreign:
        return
    name = max(foreign, key=lambda name: foreign[name])
    which = shown_name(name)
    if len(foreign) > 1:
        which += f", and of {plural(len(foreign) - 1, 'more text')}"
    unknown = set(distinct).difference(model.vocabulary.characters)
    warn(
        f"{who} does not know {percent(foreign[name])} of the characters of {which}; they were "
        f"{treatment(model)}, and the figures say little about such a text: "
        f"{_described(unknown, model)}"
    )


def _described(unknown: Iterable[str], model: "LanguageModel | Data") -> str:
    """Unknown characters, and what to do if the model knows them in a normalization form."""
    from charlm.cli.failures import with_options
    from charlm.text.characters import as_normalized, listed_characters

    characters, known = "".join(unknown), model.vocabulary.characters
    advice = with_options(as_normalized(characters, known))
    return listed_characters(characters, known) + f"; {advice}" * bool(advice)
