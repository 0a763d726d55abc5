"""`charlm eval`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.console import note, print_json
from charlm.cli.eval_output import SELECTED, as_dict, print_results
from charlm.cli.eval_scorer import Scorer, with_documents
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
from charlm.cli.parsing import Contradiction
from charlm.cli.progress_bars import characters_bar, counted
from charlm.cli.standard_input import piped_text
from charlm.cli.unknown_characters import treatment, warn_of_unknown
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.scoring import Score

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
    config = reading(context, language_model) if texts else language_model.text_config
    way = {"streams": streams, "cold": cold or 0, "dynamic": dynamic}
    _check_way(context, way, has_documents=config.has_documents)
    training = language_model.training
    own = OWN if training and training.corpus.validation else HELD_OUT
    with characters_bar("scoring") as bar:
        score = Scorer(language_model, way, bar.update)

        def scored(file: str) -> "Score | None":
            pieces = counted(read_pieces(file, config, say=note), bar, times=1 + dynamic)
            return score.file(pieces, config, file)

        if texts:
            names, scores = with_documents(texts, map(scored, texts))
        else:
            names, scores = [own], [score.held_out()]
    corpus, how = trained_on(language_model), treatment(language_model)
    if as_json:
        about = {"model": path, "trained_on": corpus}
        print_json(as_dict(scores, names, are_several=len(texts) > 1) | about)
    else:
        rows = {"model": path, "trained on": listed_files(corpus)}
        print_results(scores, [*map(shown_name, names)], how, rows)
        if not texts:
            note("the model was selected on this split; expect a higher figure on new text")
    fractions = {
        name.removesuffix(SELECTED): score.unknown_fraction
        for name, score in zip(names, scores, strict=True)
    }
    warn_of_unknown(fractions, language_model, score.distinct)


def _check_way(context: typer.Context, way: Mapping[str, Any], *, has_documents: bool) -> None:
    """Refuse options that have no effect on documents, or contradict each other."""
    chosen = [name for name in ("cold", "streams", "dynamic") if way[name] > (name == "streams")]
    if has_documents:
        refuse(context, chosen, "on documents, each of which is scored on its own")
    if len(chosen) > 1:
        raise Contradiction(*chosen[:2])
