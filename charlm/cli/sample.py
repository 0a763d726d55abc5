"""`charlm sample`."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.console import note
from charlm.cli.model_argument import one_model, open_model, reading
from charlm.cli.options import (
    AS_TRAINED,
    DECODING,
    NEWEST_UNIDIRECTIONAL,
    READING,
    Unknown,
    fields_of,
    json_option,
    model_argument,
    model_option,
    option,
    options_of,
    refuse,
)
from charlm.cli.parsing import Contradiction
from charlm.cli.progress_bars import characters_bar, counted
from charlm.cli.sampled import (
    Prompt,
    print_document,
    print_documents,
    print_texts,
    temporary_file,
)
from charlm.cli.standard_input import piped_text, without_last_newline
from charlm.cli.unknown_characters import note_unknown, refuse_unknown
from charlm.config import SampleConfig
from charlm.text.config import DOCUMENTS, TextConfig

OF_DOCUMENTS = ("unique", "new", "likelihood")  # options
ON_TEXTS = "on a model that was trained on a text (to train on lines: charlm train FILE --lines)"


@options_of(SampleConfig)
@options_of(TextConfig, "Prompt", shown=AS_TRAINED, without=DOCUMENTS)
def sample(
    context: typer.Context,
    run: Annotated[str | None, model_argument(NEWEST_UNIDIRECTIONAL)] = None,
    model: Annotated[str | None, model_option(NEWEST_UNIDIRECTIONAL)] = None,
    seed: Annotated[
        str | None,
        option("--seed", "--prompt", help="Prompt: the text to continue.", default="piped text"),
    ] = None,
    prompt_file: Annotated[
        Path | None,
        option(
            help="File that contains the prompt; - reads standard input. A newline at its end is "
            "not part of the prompt."
        ),
    ] = None,
    *,
    count: Annotated[
        int, option(help="Number of texts or documents to generate.", check=whole(1), kind=int)
    ] = 1,
    unique: Annotated[bool, option("--unique", help="Generate distinct documents.")] = False,
    new: Annotated[
        bool,
        option(
            "--new",
            help="Generate documents that are not in the model's corpus, which is read again.",
        ),
    ] = False,
    likelihood: Annotated[
        bool,
        option(
            "--likelihood",
            help="Print the negative log-likelihood of each document, in bits, and a tab before "
            "it; with --json in nats. It is that of charlm eval, whatever --temperature is.",
        ),
    ] = False,
    unknown: Unknown = "refuse",
    random_seed: Annotated[
        int | None,
        option(
            help="Random seed for sampling.",
            check=whole(0),
            kind=int,
            default="different each time",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        json_option("SAMPLE", "Print each text or document with its settings as a line of JSON."),
    ] = False,
    **settings: Any,
) -> None:
    """Generate text, or documents if the model was trained on documents.

    One is printed as it is sampled. Of several, each document is a line.

    If documents can contain newlines, a NUL ends each on a pipe, as for xargs -0.
    """
    import numpy as np

    from charlm.inference.document_sampling import generators
    from charlm.inference.sampling import stop_texts
    from charlm.text.text_files import read_pieces

    if seed is not None and prompt_file is not None:
        raise Contradiction("seed", "prompt_file")
    config = SampleConfig(**fields_of(SampleConfig, settings))
    name = one_model(context, [run] if run is not None else [])
    if seed is None and prompt_file is None:
        prompt_file = next(map(Path, piped_text("charlm sample --prompt-file -")), None)
    if prompt_file is None:
        refuse(context, DECODING, "without a prompt file")
    if seed is None and prompt_file is None:
        refuse(context, [*READING, "unknown"], "without a prompt")
    language_model, path = open_model(name, bidirectional=False)
    reads_documents = language_model.text_config.has_documents
    if not reads_documents:
        refuse(context, OF_DOCUMENTS, ON_TEXTS)
    refuse_unknown(context, language_model)
    known = language_model.corpus_documents() if new and reads_documents else frozenset[str]()
    text_config = reading(context, language_model)
    pieces: Iterable[str] = [seed or ""]
    if prompt_file is not None:
        pieces = without_last_newline(read_pieces(prompt_file, text_config, say=note))
    if random_seed is None:
        random_seed = int.from_bytes(os.urandom(4), "big")
    rng = np.random.default_rng(random_seed)
    as_documents = reads_documents and (count > 1 or as_json or unique or new or likelihood)
    with temporary_file() as file:
        prompt = Prompt(language_model, file)
        with characters_bar("reading the prompt") as bar:
            text = counted(prompt.kept(pieces), bar)
            more: dict[str, Any] = {"unknown": unknown, "progress": bar.update}
            if as_documents:
                settings = asdict(config) | {"unique": unique, "known": known}
                documents = language_model.sample_documents(
                    count, text, **settings, rng=rng, **more
                )
            else:
                rng = next(generators(rng)) if reads_documents else rng  # of the first document
                characters = language_model.sample_streams(text, config, count, rng=rng, **more)
                first = next(characters, None)  # reads the prompt
                characters = chain([] if first is None else [first], characters)
        note_unknown(language_model, prompt.unknown, prompt.unknown.total(), prompt.length)
        about = None
        if as_json:
            source = {"prompt_file": str(prompt_file)} if prompt_file else {"prompt": prompt.text()}
            about = {"model": path} | source | asdict(config) | {"random_seed": random_seed}
        if as_documents:
            print_documents(
                documents,
                count,
                about,
                scorer=language_model if likelihood else None,
                have_newlines=language_model.vocabulary.newline is not None
                or "\n" in prompt.text(),
                length=config.length,
            )
        elif reads_documents:
            print_document(characters, prompt, stop_texts(language_model, config), config.length)
        else:
            print_texts(characters, prompt, count, config.stops, about)
