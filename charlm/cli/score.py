"""`charlm score`."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from charlm.checks import path, whole
from charlm.cli.console import note
from charlm.cli.failures import no_documents
from charlm.cli.model_argument import one_model, open_model, reading, texts_and_models
from charlm.cli.options import AS_TRAINED, json_option, model_option, option, options_of, refuse
from charlm.cli.progress_bars import characters_bar, counted
from charlm.cli.row_output import RowOutput
from charlm.cli.standard_input import piped_text
from charlm.cli.unknown_characters import warn_of_unknown
from charlm.config import Space, Unit
from charlm.errors import TextError
from charlm.text.config import DOCUMENTS, TextConfig

if TYPE_CHECKING:
    from tqdm import tqdm

    from charlm.inference.units import ScoredUnits
    from charlm.language_model import LanguageModel
    from charlm.text.word_table import WordTable

NATS = {"bits": math.log(2), "nats": 1.0}  # in each unit of NLL


@options_of(TextConfig, shown=AS_TRAINED)
def score(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT|MODEL]...",
            help="Text files (including .gz and .xz), directories or glob patterns; - reads "
            "standard input. One of the arguments can be the model, as for --model.",
            show_default="piped text",
        ),
    ] = None,
    model: Annotated[str | None, model_option()] = None,
    by: Annotated[
        Unit | None,
        option(
            help="Unit of text that each row of the result is for.",
            choices=get_args(Unit),
            default="document for documents, line for texts",
        ),
    ] = None,
    space: Annotated[
        Space,
        option(
            help="Whether a word is scored with the white space before or after it.",
            choices=get_args(Space),
        ),
    ] = "before",
    words: Annotated[
        Path | None,
        option(
            help="Table (TSV) of words, one a row, in place of texts. Its columns are kept, and "
            "those of the result appended; - reads standard input.",
            check=path,
            kind=Path,
        ),
    ] = None,
    unit: Annotated[
        Literal["bits", "nats"], option(help="Unit of the NLL.", choices=("bits", "nats"))
    ] = "bits",
    top: Annotated[
        int,
        option(
            help="With --by character, also list this many of the most probable characters in "
            "place of each.",
            check=whole(0),
            kind=int,
        ),
    ] = 0,
    as_json: Annotated[bool, json_option("SCORE", "Print each row as a line of JSON.")] = False,
    **settings: Any,
) -> None:
    """Score each character, word, line or document of texts: its negative log-likelihood (NLL).

    The rows of a text sum to its total in charlm eval.
    """
    from charlm.text.source_files import expand

    sources, models = texts_and_models(texts or [])
    name = one_model(context, models)
    if words is not None and sources:
        raise typer.BadParameter("specify a table or texts, not both", param_hint="--words")
    if words is not None:
        refuse(context, [*DOCUMENTS, "by", "top"], "with --words")
    else:
        sources = expand(sources or piped_text("charlm score -"))
        if not sources:
            raise typer.BadParameter("specify a text; to type or pipe it: charlm score -")
    language_model, _ = open_model(name)
    config = reading(context, language_model)
    by = by or ("document" if config.has_documents else "line")
    if words is None:
        _refuse_without_effect(context, by)
    if language_model.config.bidirectional:
        note("each character is scored given the text on both sides: the figures are pseudo-NLL")
    output = RowOutput(unit, as_json=as_json, is_raw=words is not None)
    with characters_bar("scoring") as bar:
        scorer = _Scorer(language_model, config, by, space, top * (by == "character"), bar)
        if words is not None:
            fractions = {str(words): _print_words(scorer, str(words), output)}
        else:
            fractions = _print_files(scorer, sources, output)
    warn_of_unknown(fractions, language_model, scorer.distinct)


def _refuse_without_effect(context: typer.Context, by: Unit) -> None:
    """Refuse the options that have no effect on rows for some unit."""
    if by != "word":
        refuse(context, ["space"], f"with --by {by}")
    if by != "character":
        refuse(context, ["top"], f"with --by {by}")


@dataclass(frozen=True)
class _Scorer:
    """Scores the units of files."""

    model: "LanguageModel"
    config: TextConfig
    by: Unit
    space: Space
    top: int
    bar: "tqdm[Any]"
    distinct: set[str] = field(default_factory=set)  # the characters of all that was scored

    def groups(self, file: str) -> Iterator[list["ScoredUnits"]]:
        """Yield the documents of a file, in groups as they are read, or its text.

        An error names the file.
        """
        from charlm.inference.units import score_units
        from charlm.text.documents import documents_of
        from charlm.text.source_files import shown_name

        are_texts, name = not self.config.has_documents, shown_name(file)
        pieces = self._pieces(file, self.config)
        for group in filter(None, documents_of(pieces, self.config, name)):
            with _named(file):
                scored = score_units(
                    self.model,
                    group,
                    self.by,
                    self.space,
                    are_texts=are_texts,
                    top=self.top,
                    progress=self.bar.update,
                )
            yield scored

    def words(self, file: str, reserved: Sequence[str]) -> "tuple[WordTable, list[ScoredUnits]]":
        """A table of words, and the words of each of its documents."""
        from charlm.inference.units import score_words
        from charlm.text.source_files import shown_name
        from charlm.text.word_table import read_word_table

        as_it_is = replace(self.config, newlines="keep", normalize="none")
        table = read_word_table(self._pieces(file, as_it_is), shown_name(file), reserved)
        documents = [[table.words[n] for n in numbers] for numbers in table.documents]
        are_texts = not table.has_documents and self.model.network.boundary is None
        with _named(file):
            scored = score_words(
                self.model, documents, self.space, are_texts=are_texts, progress=self.bar.update
            )
        return table, scored

    def _pieces(self, file: str, config: TextConfig) -> Iterator[str]:
        from charlm.text.text_files import read_pieces

        return counted(read_pieces(file, config, say=note), self.bar)


@contextmanager
def _named(file: str) -> Iterator[None]:
    """Name a file in an error about its text."""
    from charlm.text.source_files import shown_name

    try:
        yield
    except TextError as error:
        raise TextError(f"{shown_name(file)}: {error}") from error


def _print_files(scorer: _Scorer, files: Sequence[str], output: RowOutput) -> dict[str, float]:
    """Print a row for each unit of some files; the share of unknown characters of each.

    Raises:
        TextError: no file has documents.
    """
    from charlm.text.source_files import shown_name

    fractions: dict[str, float] = {}
    for file in files:
        unknown = _print_units(scorer, file, output, names_file=len(files) > 1)
        if unknown is not None:
            fractions[file] = unknown
        elif len(files) > 1:
            note(f"{shown_name(file)}: there are no documents")
    if not fractions:
        raise no_documents(files)
    return fractions


def _print_units(
    scorer: _Scorer, file: str, output: RowOutput, *, names_file: bool
) -> float | None:
    """Print a row for each unit of a file, as it is read.

    Returns:
        The share of unknown characters; None if there are no documents.
    """
    about = {"file": file} if names_file else {}
    unknown = characters = documents = 0
    for group in scorer.groups(file):
        output.print(
            about | {"document": number} | row
            for number, scored in enumerate(group, documents + 1)
            for row in _rows(scorer, scored, output)
        )
        sys.stdout.flush()
        documents += len(group)
        unknown += sum(int(scored.unknown_characters.sum()) for scored in group)
        characters += sum(len(scored.text) for scored in group)
    if not documents:
        return None
    return unknown / characters if unknown else 0.0


def _print_words(scorer: _Scorer, file: str, output: RowOutput) -> float:
    """Print each row of a table of words, and return the share of unknown characters."""
    table, documents = scorer.words(file, output.figures)
    rows: list[dict[str, Any]] = [{} for _ in table.rows]
    for numbers, scored in zip(table.documents, documents, strict=True):
        for number, row in zip(numbers, _rows(scorer, scored, output), strict=True):
            about = dict(zip(table.columns, table.rows[number], strict=True))
            rows[number] = about | {name: row[name] for name in output.figures}
    output.print(rows)
    unknown = sum(int(each.unknown_characters.sum()) for each in documents)
    return unknown / sum(len(each.text) for each in documents)


def _rows(scorer: _Scorer, scored: "ScoredUnits", output: RowOutput) -> Iterator[dict[str, Any]]:
    """The row of each unit of a document."""
    units = scored.units
    scorer.distinct.update(scored.text)
    lists = (units.starts, units.stops, scored.nats / NATS[output.unit], scored.unknown_characters)
    found = scored.alternatives
    known = scorer.model.vocabulary.characters
    for n, (start, stop, nll, unknown) in enumerate(zip(*(a.tolist() for a in lists), strict=True)):
        row = {"position": start + 1, "text": scored.text[start:stop], "characters": stop - start}
        row |= {output.unit: None if math.isnan(nll) else nll, "unknown_characters": unknown}
        if found:
            pairs = zip(found.ids[n].tolist(), found.probabilities[n].tolist(), strict=True)
            row["top"] = [(known[i], p) if i >= 0 else None for i, p in pairs]
        yield row
