"""What is said about the characters of a text that a model does not know."""

from collections import Counter
from collections.abc import Mapping
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


def share(count: int, fraction: float) -> str:
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


def note_unknown(model: "LanguageModel", unknown: Counter[str], length: int) -> None:
    """Print the characters of a text that a model does not know, and warn if they are many.

    Args:
        model: the model.
        unknown: how often each of them occurs.
        length: the number of characters of the text.
    """
    from charlm.cli.failures import with_options
    from charlm.text.characters import as_normalized, listed

    count = unknown.total()
    if count:
        characters, known = "".join(unknown), model.vocabulary.characters
        advice = with_options(as_normalized(characters, known))
        say = warn if count > MOST * length else note
        say(
            f"{share(count, count / length)} of the characters are outside the model's vocabulary "
            f"and were {treatment(model)}: {listed(characters, known)}"
            + f"; {advice}"
            * bool(advice)
        )


def warn_of_unknown(fractions: Mapping[str, float], how: str, model: str = "the model") -> None:
    """Warn of texts of which a model does not know more than `MOST`.

    Args:
        fractions: the share of unknown characters of each text, by its name.
        how: what the model does with them.
        model: the model in words.
    """
    foreign = {name: fraction for name, fraction in fractions.items() if fraction > MOST}
    if not foreign:
        return
    name = max(foreign, key=lambda name: foreign[name])
    which = name if len(foreign) == 1 else f"{name}, and of {plural(len(foreign) - 1, 'more text')}"
    warn(
        f"{model} does not know {percent(foreign[name])} of the characters of {which}; they were "
        f"{how}, and the figures say little about such a text"
    )
