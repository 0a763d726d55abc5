"""`charlm eval`."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.baseline_rows import Compared
from charlm.cli.console import note, print_json
from charlm.cli.eval_output import SELECTED, as_dict, print_results, rows_of_models, total_of
from charlm.cli.eval_scorer import Scorer, with_documents
from charlm.cli.model_argument import (
    listed_files,
    named_models,
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
from charlm.cli.parsing import Contradiction
from charlm.cli.progress_bars import characters_bar, counted
from charlm.cli.standard_input import piped_text
from charlm.cli.unknown_characters import treatment, warn_of_unknown
from charlm.errors import in_short
from charlm.system.callbacks import Advance
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.scoring import Score
    from charlm.language_model import LanguageModel

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
            "model, as for --model; with --mean, several.",
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
    cold: Annotated[
        int | None,
        option(
            help="Score the text in windows of this many characters without overlap, each from a "
            "state of zeros, to compare with models that have a fixed context. Every character is "
            "scored once: the first of a window given the one character before it, the last given "
            "as many as this.",
            check=whole(1),
            kind=int,
            default=False,
        ),
    ] = None,
    dynamic: Annotated[
        bool,
        option(
            "--dynamic",
            help="Also report dynamic evaluation (Krause et al. 2018): the text is scored once "
            "more, in order, and after each chunk of 50 characters a gradient step adapts the "
            "weights to it. The model file is not changed. Only for unidirectional models of "
            "texts.",
        ),
    ] = False,
    mean: Annotated[
        bool,
        option(
            "--mean",
            help="Score with the mean of the probabilities of several models, which have the same "
            "vocabulary, and report the figures of each beside.",
        ),
    ] = False,
    as_json: Annotated[bool, json_option("EVAL", "Print the results as a JSON object.")] = False,
    **settings: Any,
) -> None:
    """Evaluate a model on texts: perplexity and negative log-likelihood per character."""
    from charlm.text.source_files import expand, shown_name
    from charlm.text.text_files import read_pieces

    sources, models = texts_and_models(texts or [])
    named = _checked_models(named_models(context, models), mean=mean)
    texts = expand(sources or piped_text("charlm eval -"))
    if not texts:
        refuse(context, READING, "without a text to score")
    opened = {path: model for model, path in map(open_model, named)}
    language_model = next(iter(opened.values()))
    if mean:
        _check_together(opened, has_text=bool(texts))
        if baseline:
            raise Contradiction("baseline", "mean")
    compared = Compared(language_model) if baseline else None  # before it reads other text
    config = reading(context, *opened.values()) if texts else language_model.text_config
    way = {"streams": streams, "cold": cold or 0, "dynamic": dynamic}
    _check_way(context, way, has_documents=config.has_documents, mean=mean)
    training = language_model.training
    own = OWN if training and training.corpus.validation else HELD_OUT
    with characters_bar("scoring") as bar:
        score = _scorer(opened, way, bar.update)

        def scored(file: str) -> "Score | None":
            pieces = read_pieces(file, config, say=note)
            pieces = counted(pieces, bar, times=len(opened) * (1 + dynamic))
            if not compared:
                return score.file(pieces, config, file)
            found = score.file(compared.keep(pieces), config, file)
            if found:
                compared.add(config, file)
            return found

        if texts:
            names, scores = with_documents(texts, map(scored, texts))
        else:
            names, scores = [own], [score.held_out()]
            if compared:
                compared.add_held_out()
    paths, how = list(opened), treatment(language_model)
    corpus = list(dict.fromkeys(file for each in opened.values() for file in trained_on(each)))
    if as_json:
        about = {"model": None if mean else paths[0], "trained_on": corpus}
        results = as_dict(scores, names, paths, are_several=len(texts) > 1) | about
        if compared:
            compared.add_to(results)
        print_json(results)
    else:
        shown = f"the mean of {len(paths)} models" if mean else paths[0]
        rows = rows_of_models(total_of(scores), paths) if mean else {}
        rows |= {"model": shown, "trained on": listed_files(corpus)}
        print_results(scores, [*map(shown_name, names)], how, rows)
        if compared:
            compared.print([*map(shown_name, names)], total_of(scores))
        if not texts:
            note("the model was selected on this split; expect a higher figure on new text")
    fractions = {
        name.removesuffix(SELECTED): score.unknown_fraction
        for name, score in zip(names, scores, strict=True)
    }
    warn_of_unknown(fractions, language_model, score.distinct)


def _scorer(
    models: Mapping[str, "LanguageModel"], way: Mapping[str, Any], progress: Advance
) -> Scorer:
    """What scores a text with one model, or with the mean of several."""
    from charlm.inference.ensembles import score_mean

    first = next(iter(models.values()))
    if len(models) == 1:
        return Scorer(first, first.score, way, progress)
    way = {name: value for name, value in way.items() if name != "dynamic"}
    return Scorer(first, partial(score_mean, models), way, progress)


def _checked_models(named: Sequence[str], *, mean: bool) -> Sequence[str | None]:
    """The models to open; None for the default.

    Raises:
        BadParameter: there are several without `--mean`, or too few with it.
    """
    if mean and len(named) < 2:
        raise typer.BadParameter(
            f"--mean requires at least two models, got {', '.join(map(in_short, named)) or 'none'}"
        )
    if len(named) > 1 and not mean:
        raise typer.BadParameter(
            f"specify one model instead of {len(named)}: {', '.join(named)}; to score with the "
            "mean of their probabilities, add --mean"
        )
    return named or [None]


def _check_together(models: Mapping[str, "LanguageModel"], *, has_text: bool) -> None:
    """Check that several models are distinct and, without a text, have one validation split.

    Raises:
        BadParameter: they do not.
    """
    if len({Path(path).resolve() for path in models}) < 2:
        raise typer.BadParameter(
            f"all models are {next(iter(models))}; specify different models", param_hint="--mean"
        )
    if not has_text and len(set(map(_validation_split, models.values()))) > 1:
        raise typer.BadParameter(
            "the models have different validation splits; specify a text to score"
        )


def _validation_split(model: "LanguageModel") -> tuple[object, ...]:
    """What determines the validation split of a model's corpus."""
    if model.training is None:
        return ()
    corpus, config = model.training.corpus, model.training.config
    seed = config.random_seed if model.text_config.has_documents else None
    own = corpus.validation and corpus.validation.sha256
    return corpus.sha256, own, config.val_fraction, seed


def _check_way(
    context: typer.Context, way: Mapping[str, Any], *, has_documents: bool, mean: bool
) -> None:
    """Refuse options that have no effect on documents, or contradict each other."""
    chosen = [name for name in ("cold", "streams", "dynamic") if way[name] > (name == "streams")]
    if has_documents:
        refuse(context, chosen, "on documents, each of which is scored on its own")
    if len(chosen) > 1:
        raise Contradiction(*chosen[:2])
    if mean and way["dynamic"]:
        raise Contradiction("mean", "dynamic")
