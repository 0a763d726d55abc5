"""`charlm eval`."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.baseline_rows import Compared
from charlm.cli.console import note, print_json, print_rows, print_table, stdout
from charlm.cli.failures import no_documents
from charlm.cli.model_argument import (
    listed_files,
    one_model,
    open_model,
    reading,
    texts_and_models,
    trained_on,
)
from charlm.cli.options import (
    AS_TRAINED,
    READING,
    json_option,
    model_option,
    option,
    options_of,
    refuse,
)
from charlm.cli.progress_bars import characters_bar, counted
from charlm.cli.standard_input import piped_text
from charlm.cli.tables import figure
from charlm.cli.unknown_characters import collected, count_and_percent, treatment, warn_of_unknown
from charlm.errors import TextError
from charlm.system.callbacks import Advance
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.scoring import Score
    from charlm.language_model import LanguageModel

SELECTED = ", on which it was selected"
HELD_OUT = f"the validation split of the model's corpus{SELECTED}"
OWN = f"the model's validation text{SELECTED}"


@options_of(TextConfig, shown=AS_TRAINED)
def evaluate(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|MODEL",
            help="Text files (including .gz and .xz), directories or glob patterns; each file is "
            "scored as a text of its own; - reads standard input. One of the arguments can be the "
            "model, as for --model.",
            show_default="piped text, or the validation split of the model's corpus",
        ),
    ] = None,
    model: Annotated[str | None, model_option()] = None,
    streams: Annotated[
        int,
        option(
            help="Number of parallel streams to split the text into. Each starts from a state of "
            "zeros; with 1, every character is scored given all preceding characters.",
            check=whole(1),
            kind=int,
        ),
    ] = 1,
    baseline: Annotated[
        bool,
        option(
            "--baseline",
            help="Also score the text with models without a network, which know the training split "
            "of the model's corpus: uniform, unigram, an n-gram with Kneser-Ney smoothing, gzip, "
            "bz2, xz and, if installed, zstd.",
        ),
    ] = False,
    as_json: Annotated[bool, json_option("EVAL", "Print the results as a JSON object.")] = False,
    **settings: Any,
) -> None:
    """Evaluate a model on texts: perplexity and negative log-likelihood per character."""
    from charlm.text.source_files import expand, shown_name
    from charlm.text.text_files import read_pieces

    sources, models = texts_and_models(texts or [])
    name = one_model(context, models)
    texts = expand(sources or piped_text("charlm eval -"))
    if not texts:
        refuse(context, READING, "without a text to score")
    language_model, path = open_model(name)
    compared = Compared(language_model) if baseline else None  # before it reads other text
    config = reading(context, language_model) if texts else language_model.text_config
    if config.has_documents and streams > 1:
        refuse(context, ["streams"], "on documents, each of which is scored on its own")
    training = language_model.training
    own = OWN if training and training.corpus.validation else HELD_OUT
    with characters_bar("scoring") as bar:
        score = _Scorer(language_model, streams, bar.update)

        def scored(file: str) -> "Score | None":
            pieces = counted(read_pieces(file, config, say=note), bar)
            if not compared:
                return score.file(pieces, config, file)
            found = score.file(compared.keep(pieces), config, file)
            if found:
                compared.add(config, file)
            return found

        if texts:
            names, scores = _with_documents(texts, map(scored, texts))
        else:
            names, scores = [own], [score.held_out()]
            if compared:
                compared.add_held_out()
    corpus, how = trained_on(language_model), treatment(language_model)
    if as_json:
        about = {"model": path, "trained_on": corpus}
        results = _as_dict(scores, names, are_several=len(texts) > 1) | about
        if compared:
            compared.add_to(results)
        print_json(results)
    else:
        rows = {"model": path, "trained on": listed_files(corpus)}
        _print_results(scores, [*map(shown_name, names)], how, rows)
        if compared:
            compared.print([*map(shown_name, names)], _total(scores))
        if not texts:
            note("the model was selected on this split; expect a higher figure on new text")
    fractions = {
        name.removesuffix(SELECTED): score.unknown_fraction
        for name, score in zip(names, scores, strict=True)
    }
    warn_of_unknown(fractions, language_model, score.distinct)


@dataclass(frozen=True)
class _Scorer:
    """Scores texts or documents with a model, and collects their characters in `distinct`."""

    model: "LanguageModel"
    streams: int
    progress: Advance
    distinct: set[str] = field(default_factory=set)

    def file(self, pieces: Iterator[str], config: TextConfig, name: str) -> "Score | None":
        """Score the documents of a file, None if there are none, or its text.

        Every error names the file.
        """
        from charlm.text.documents import documents_of
        from charlm.text.source_files import shown_name

        if config.has_documents:
            return self._documents(documents_of(pieces, config, shown_name(name)))
        return self._text(pieces, shown_name(name))

    def _text(self, pieces: Iterator[str], name: str) -> "Score":
        is_read = False

        def read() -> Iterator[str]:
            nonlocal is_read
            yield from collected(pieces, self.distinct)
            is_read = True

        try:
            return self.model.score(read(), streams=self.streams, progress=self.progress)
        except TextError as error:
            if not is_read:  # the error of a file names it
                raise
            raise TextError(f"{name}: {error}") from error

    def held_out(self) -> "Score":
        """Score the validation split of the model's corpus."""
        from charlm.text.documents import in_groups

        texts, name = self.model.held_out(), "the validation split"
        if not self.model.text_config.has_documents:
            return _total([self._text(text, name) for text in texts])
        score = self._documents(in_groups(map("".join, texts)))
        if score is None:
            raise TextError(f"{name}: there are no documents")
        return score

    def _documents(self, groups: Iterable[list[str]]) -> "Score | None":
        scores = []
        for group in filter(None, groups):
            self.distinct.update(*group)
            scores.append(self.model.score(group, progress=self.progress).total)
        return _total(scores) if scores else None


def _with_documents(
    files: Sequence[str], scores: Iterable["Score | None"]
) -> tuple[list[str], list["Score"]]:
    """The files that have documents, and their scores; each other file is noted.

    Raises:
        TextError: no file has documents.
    """
    from charlm.text.source_files import shown_name

    found: list[tuple[str, Score]] = []
    for file, score in zip(files, scores, strict=True):
        if score:
            found.append((file, score))
        elif len(files) > 1:
            note(f"{shown_name(file)}: there are no documents")
    if not found:
        raise no_documents(files)
    return [file for file, _ in found], [score for _, score in found]


def _as_dict(
    scores: Sequence["Score"], names: Sequence[str], *, are_several: bool
) -> dict[str, Any]:
    """The results of a text; if several were given, the total and the results of each."""
    texts = [_results(score) | {"text": name} for score, name in zip(scores, names, strict=True)]
    return _results(_total(scores)) | {"texts": texts} if are_several else texts[0]


def _results(score: "Score") -> dict[str, Any]:
    figures: dict[str, Any] = {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        _name_of_perplexity(score): score.perplexity,
    }
    totals = asdict(score)
    if score.documents:
        pseudo = "pseudo_" * bool(score.lookahead)
        figures[f"{pseudo}nats_per_document"] = score.nats_per_document
        figures[f"{pseudo}word_perplexity"] = score.word_perplexity
    else:  # words are counted in documents only
        del totals["documents"], totals["words"]
    return figures | totals | {"unknown_fraction": score.unknown_fraction}


def _total(scores: Sequence["Score"]) -> "Score":
    """The score of all texts."""
    return sum(scores[1:], scores[0])


def _name_of_perplexity(score: "Score") -> str:
    return "pseudo_perplexity" if score.lookahead else "perplexity"


def _name_of_nll(score: "Score") -> str:
    return "pseudo-NLL" if score.lookahead else "negative log-likelihood"


def _context(scores: Sequence["Score"]) -> str:
    """The context in which each character was scored; the parts are those of a single text."""
    score, is_single = _total(scores), len(scores) == 1
    context = "all preceding characters"
    if score.documents:
        context += " of its document"
    elif not is_single:
        context += " of its text"
    if score.streams > 1:
        context = f"the preceding characters of its stream ({score.streams} streams)"
    elif score.parts > 1 and is_single and not score.documents:
        twice = f", {score.reread} of them twice" * bool(score.reread)
        context += f" (read in {score.parts} parallel parts{twice})"
    if score.lookahead:
        context += f", and at least {score.lookahead} following characters, except near the end"
    return context


def _print_results(
    scores: Sequence["Score"], names: Sequence[str], how: str, model: Mapping[str, str]
) -> None:
    """Print the results of a text; of several, a row for each and the total.

    Args:
        scores: the score of each text.
        names: the name of each.
        how: what the model does with unknown characters.
        model: the rows that describe the model.
    """
    total = _total(scores)
    text = names[0].removesuffix(SELECTED)
    perplexity = _name_of_perplexity(total).replace("_", "-")
    if len(scores) > 1:
        text = f"all {len(scores)} texts"
        _print_table([*zip(names, scores, strict=True), ("total", total)], perplexity)
    values = total.perplexity, total.bits_per_char, total.nats_per_char
    shown, bits, nats = (figure(value, "{:.4f}") for value in values)
    unknown = count_and_percent(total.unknown_characters, total.unknown_fraction)
    unknown += f", {how}" * bool(total.unknown_characters)
    not_comparable = " (not comparable with a perplexity)" * bool(total.lookahead)
    rows = {
        perplexity: f"{shown}{not_comparable}",
        _name_of_nll(total): f"{bits} bits per character ({nats} nats)",
        "characters scored": f"{total.characters:,}",
        **_rows_of_documents(total),
        "unknown characters": unknown,
        "context": _context(scores),
        "text": text,
    }
    print_rows({**rows, **model}, to=stdout())


def _rows_of_documents(score: "Score") -> dict[str, str]:
    if not score.documents:
        return {}
    nats, words = score.nats_per_document, figure(score.word_perplexity, "{:.4f}")
    words = f"{words} ({score.words:,} words)" if score.words else "none, without words"
    nll, pseudo = ("pseudo-NLL ", "pseudo-") if score.lookahead else ("", "")
    return {
        "documents": f"{score.documents:,}, whose ends count as characters",
        f"{nll}per document": f"{nats / math.log(2):.4f} bits ({nats:.4f} nats)",
        f"{pseudo}perplexity per word": words,
    }


def _print_table(scores: Sequence[tuple[str, "Score"]], perplexity: str) -> None:
    """Print a row for each text."""
    headings = ["text", perplexity, "bits per character", "characters scored", "unknown"]
    rows = [
        [
            name,
            figure(score.perplexity, "{:.4f}"),
            figure(score.bits_per_char, "{:.4f}"),
            f"{score.characters:,}",
            count_and_percent(score.unknown_characters, score.unknown_fraction),
        ]
        for name, score in scores
    ]
    print_table(headings, rows, to=stdout())
