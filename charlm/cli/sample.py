"""`charlm sample`."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from charlm.checks import whole
from charlm.cli.console import as_result, note, print_json
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
from charlm.cli.standard_input import piped_text, without_last_newline
from charlm.cli.unknown_characters import note_unknown, refuse_unknown
from charlm.config import SampleConfig, TextConfig

if TYPE_CHECKING:
    from charlm.language_model import LanguageModel

IN_MEMORY = 1 << 20  # bytes of a prompt; a longer one is kept in a temporary file
BLOCK = 1 << 16  # characters of a prompt that are printed at once


@options_of(SampleConfig)
@options_of(TextConfig, "Prompt", shown=AS_TRAINED)
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
    """Generate text from a model and print the prompt and each character as it is sampled."""
    import numpy as np

    from charlm.text.text_files import read_pieces

    if seed is not None and prompt_file is not None:
        raise Contradiction("seed", "prompt_file")
    config = _with_newlines(SampleConfig(**fields_of(SampleConfig, settings)))
    name = one_model(context, [run] if run is not None else [])
    if seed is None and prompt_file is None:
        prompt_file = next(map(Path, piped_text("charlm sample --prompt-file -")), None)
    if prompt_file is None:
        refuse(context, DECODING, "without a prompt file")
    if seed is None and prompt_file is None:
        refuse(context, [*READING, "unknown"], "without a prompt")
    language_model, path = open_model(name, bidirectional=False)
    refuse_unknown(context, language_model)
    text_config = reading(context, language_model)
    pieces: Iterable[str] = [seed or ""]
    if prompt_file is not None:
        pieces = without_last_newline(read_pieces(prompt_file, text_config, say=note))
    if random_seed is None:
        random_seed = int.from_bytes(os.urandom(4), "big")
    with _temporary_file() as file:
        prompt = _Prompt(language_model, file)
        with characters_bar("reading the prompt") as bar:
            characters = language_model.sample_streams(
                counted(prompt.kept(pieces), bar),
                config,
                count,
                unknown=unknown,
                rng=np.random.default_rng(random_seed),
                progress=bar.update,
            )
            first = next(characters, None)  # reads the prompt
        characters = chain([] if first is None else [first], characters)
        note_unknown(language_model, prompt.unknown, prompt.length)
        if as_json:
            source = {"prompt_file": str(prompt_file)} if prompt_file else {"prompt": prompt.text()}
            about = {"model": path} | source | asdict(config) | {"random_seed": random_seed}
            for text in _texts(characters, count):
                print_json({"text": text} | about)
        elif count == 1:
            _print_text(prompt, (character for (character,) in characters), config.stop)
        else:
            for number, text in enumerate(_texts(characters, count), 1):
                print(f"--- {number} of {count}")
                _print_text(prompt, [text], config.stop)


def _with_newlines(config: SampleConfig) -> SampleConfig:
    r"""The settings with newlines in a stop text of `\n` only, as quoted in a shell."""
    is_escaped = config.stop and not config.stop.replace(r"\n", "")
    return replace(config, stop=config.stop.replace(r"\n", "\n")) if is_escaped else config


def _temporary_file() -> IO[str]:
    """A file for a prompt, in memory unless the prompt is long."""
    return SpooledTemporaryFile(IN_MEMORY, "w+", -1, "utf-8", "", errors="surrogatepass")


class _Prompt:
    """The characters of a prompt that a model reads, kept in a file.

    Attributes:
        unknown: how often each character occurs that the model does not know.
        length: the number of characters, with those.
    """

    def __init__(self, model: "LanguageModel", file: IO[str]) -> None:
        self._model, self._file = model, file
        self.unknown = Counter[str]()
        self.length = 0

    def kept(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the pieces of the prompt, and keep what the model reads of them."""
        from charlm.text.text_files import converted

        vocabulary = self._model.vocabulary
        for piece in converted(pieces, self._model.text_config):
            ids, unknown = vocabulary.encode(piece)
            self.unknown.update(unknown)
            self.length += len(piece)
            is_whole = not unknown or vocabulary.unk_id is not None
            self._file.write(piece if is_whole else vocabulary.decode(ids))
            yield piece

    def blocks(self) -> Iterator[str]:
        """Yield what was kept."""
        self._file.seek(0)
        yield from iter(partial(self._file.read, BLOCK), "")

    def text(self) -> str:
        """What was kept, as a whole."""
        return "".join(self.blocks())


def _print_text(prompt: _Prompt, characters: Iterable[str], stop: str) -> None:
    """Print a prompt and the text that continues it, with a newline unless it stopped at one."""
    end = ""
    for text in chain(prompt.blocks(), characters):
        print(as_result(text), end="", flush=True)
        end = (end + text)[-len(stop) :] if stop else ""
    print(end="" if stop.endswith("\n") and end == stop else "\n")


def _texts(characters: Iterable[tuple[str, ...]], count: int) -> list[str]:
    """The generated texts, from the next character of each."""
    return ["".join(text) for text in zip(*characters, strict=True)] or [""] * count
