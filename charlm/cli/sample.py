"""`charlm sample`."""

import json
import os
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from charlm.cli.console import note
from charlm.cli.model_argument import note_unknown, open_model
from charlm.cli.options import Newlines, newlines_option, option
from charlm.cli.progress_bars import characters_bar, counted

if TYPE_CHECKING:
    from charlm.language_model import LanguageModel


def sample(
    model: Annotated[
        str | None,
        typer.Argument(help="A .npz or a run's directory.", show_default="the newest run's best"),
    ] = None,
    seed: Annotated[str, option(help="The prompt: the text to go on from.", default=False)] = "",
    prompt_file: Annotated[
        Path | None,
        option(help="A file that holds the prompt, of any size; - for standard input."),
    ] = None,
    encoding: Annotated[str, option(help="The encoding of that file.")] = "utf-8",
    newlines: Annotated[Newlines, newlines_option()] = "keep",
    length: Annotated[int, option(help="Characters to generate, the prompt not counted.")] = 500,
    temperature: Annotated[
        float, option(help="Below 1 safer, above 1 wilder, 0 the most probable.")
    ] = 1.0,
    top_k: Annotated[
        int, option(help="Draw among the k most probable characters; 0: among all.")
    ] = 0,
    top_p: Annotated[
        float, option(help="Draw among the characters that make up this probability.")
    ] = 1.0,
    stop: Annotated[str, option(help="End once this text has been generated.", default=False)] = "",
    count: Annotated[int, option(help="How many texts to generate, side by side.", min=1)] = 1,
    unknown: Annotated[
        Literal["refuse", "skip"],
        option(help="What to do with characters of the prompt the model has never seen."),
    ] = "refuse",
    random_seed: Annotated[
        int | None,
        option(help="Seeds the draws.", min=0, default="another each time"),
    ] = None,
    as_json: Annotated[
        bool,
        option(
            "--json",
            envvar="CHARLM_SAMPLE_JSON",
            help="Print each text with its settings, a line of JSON each.",
        ),
    ] = False,
) -> None:
    """Generate text from a model; it is printed as it is drawn."""
    import numpy as np

    from charlm.config import SampleConfig
    from charlm.text.text_files import read_pieces

    if seed and prompt_file:
        raise typer.BadParameter("--seed and --prompt-file both name the prompt; choose one")
    config = SampleConfig(length, temperature, top_k, top_p, stop)
    language_model, path = open_model(model)
    if random_seed is None:
        random_seed = int.from_bytes(os.urandom(4), "big")
    rng = np.random.default_rng(random_seed)
    with characters_bar("reading the prompt") as bar:
        drawn = language_model.sample_streams(
            counted(read_pieces(prompt_file, encoding, newlines=newlines, say=note), bar)
            if prompt_file
            else seed,
            config,
            count,
            unknown=unknown,
            rng=rng,
            progress=bar.update,
        )
        first = next(drawn, None)
    drawn = chain([] if first is None else [first], drawn)
    prompt = _read(language_model, seed)

    if count == 1 and not as_json:
        print(prompt, end="", flush=True)
        for (character,) in drawn:
            print(character, end="", flush=True)
        print()
        return
    texts = ["".join(characters) for characters in zip(*drawn, strict=True)] or [""] * count
    named = {"prompt_file": str(prompt_file)} if prompt_file else {"prompt": prompt}
    settings = {"model": path} | named | asdict(config) | {"random_seed": random_seed}
    for number, text in enumerate(texts, 1):
        if as_json:
            print(json.dumps({"text": text} | settings))
        else:
            note(f"--- {number} of {count}")
            print(prompt + text)


def _read(model: "LanguageModel", prompt: str) -> str:
    """The prompt as the model reads it."""
    ids, unknown = model.vocabulary.encode(prompt)
    note_unknown(model, unknown)
    return prompt if model.vocabulary.unk_id is not None else model.vocabulary.decode(ids)
