"""`charlm sample`."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.console import as_result, note
from charlm.cli.model_argument import note_unknown, open_model
from charlm.cli.options import (
    ModelArgument,
    Unknown,
    fields_of,
    json_option,
    option,
    options_of,
    text_config,
)
from charlm.cli.parsing import Contradiction
from charlm.cli.progress_bars import characters_bar, counted
from charlm.config import SampleConfig, TextConfig

if TYPE_CHECKING:
    from charlm.language_model import LanguageModel


@options_of(SampleConfig)
@options_of(TextConfig, "Prompt file")
def sample(
    context: typer.Context,
    model: ModelArgument = None,
    seed: Annotated[
        str, option("--seed", "--prompt", help="Prompt: the text to continue.", default=False)
    ] = "",
    prompt_file: Annotated[
        Path | None,
        option(help="File that contains the prompt; - reads standard input."),
    ] = None,
    *,
    count: Annotated[
        int, option(help="Number of texts to generate in parallel.", check=whole(1), kind=int)
    ] = 1,
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
        bool, json_option("SAMPLE", "Print each text with its settings as a line of JSON.")
    ] = False,
    **settings: Any,
) -> None:
    """Generate text from a model and print each character as it is sampled."""
    import numpy as np

    from charlm.text.text_files import read_pieces

    if seed and prompt_file:
        raise Contradiction("seed", "prompt_file")
    config = SampleConfig(**fields_of(SampleConfig, settings))
    language_model, path = open_model(model)
    if random_seed is None:
        random_seed = int.from_bytes(os.urandom(4), "big")
    with characters_bar("reading the prompt") as bar:
        characters = language_model.sample_streams(
            counted(
                read_pieces(
                    prompt_file,
                    text_config(context, language_model.text_config.for_other_files),
                    say=note,
                ),
                bar,
            )
            if prompt_file
            else seed,
            config,
            count,
            unknown=unknown,
            rng=np.random.default_rng(random_seed),
            progress=bar.update,
        )
        first = next(characters, None)  # reads the prompt
    characters = chain([] if first is None else [first], characters)
    prompt = _as_read(language_model, seed)
    if as_json:
        source = {"prompt_file": str(prompt_file)} if prompt_file else {"prompt": prompt}
        about = {"model": path} | source | asdict(config) | {"random_seed": random_seed}
        for text in _texts(characters, count):
            print(json.dumps({"text": text} | about))
    elif count == 1:
        print(as_result(prompt), end="", flush=True)
        for (character,) in characters:
            print(as_result(character), end="", flush=True)
        print()
    else:
        for number, text in enumerate(_texts(characters, count), 1):
            print(f"--- {number} of {count}")
            print(as_result(prompt + text))


def _texts(characters: Iterable[tuple[str, ...]], count: int) -> list[str]:
    """The generated texts, from the next character of each."""
    return ["".join(text) for text in zip(*characters, strict=True)] or [""] * count


def _as_read(model: "LanguageModel", prompt: str) -> str:
    """The prompt without the characters that the model skips."""
    ids, unknown = model.vocabulary.encode(prompt)
    note_unknown(model, unknown)
    return prompt if model.vocabulary.unk_id is not None else model.vocabulary.decode(ids)
