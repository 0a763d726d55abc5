"""A trained network together with its characters: what it can be asked, as a library."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from charlm.config import ModelConfig, SampleConfig
from charlm.errors import ConfigError, ModelError, TextError
from charlm.inference.filling import Filled, fill_text
from charlm.inference.proofreading import ODDS, Misfit, proofread_text
from charlm.inference.sampling import sample
from charlm.inference.scoring import NO_NUMBER, Score, score
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.system.available_memory import check_fits
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.corpus import Corpus
from charlm.text.corpus_cache import new_file
from charlm.text.id_sequences import IdSequence, IdWriter
from charlm.text.text_files import expand
from charlm.text.vocabulary import Vocabulary, ids_type, listed
from charlm.training import checkpoint
from charlm.training.checkpoint import Checkpoint, CorpusInfo, TrainingState

SHOWN = 40  # characters of a text in a message
MOST_BYTES, HEADERS = 4, 1_000  # of a character in any encoding; of a file that is compressed

Unknown = Literal["refuse", "skip"]


class LanguageModel:
    """A trained network together with its characters.

    Attributes:
        config: the shape of the network.
        vocabulary: the characters it knows.
        params: its weights, by name.
        training: where its training stands, if that is known.
        network: what computes with the weights.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary,
        params: Params,
        training: TrainingState | None = None,
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.params = params
        self.training = training
        self.network = CharLM(config, len(vocabulary))

    def score(
        self,
        text: str | Iterable[str],
        *,
        streams: int = 1,
        progress: Callable[[int], object] = lambda characters: None,
    ) -> Score:
        """How surprised the model is by a text.

        The first character is context and is not scored. Characters that the model does not
        know are passed over, neither scored nor read, unless it has a sign for them: then that
        is scored and read. A bidirectional model is given what comes
        after a character too, so that its figures are those of the pseudo-likelihood.

        Args:
            text: at least two known characters; in pieces, of which no more than one needs to be
                in memory, if it is long.
            streams: at how many places the text is read at once, each from a state of zeros;
                1 scores every character given the whole text before it.
            progress: called with the number of characters scored since it was last called.

        Raises:
            TextError: fewer than two of the characters are known.
            ModelError: the surprise is not a number.
        """
        ids, unknown = self._encode(text)
        if len(ids) < 2:
            raise TextError(
                f"the text has {len(ids)} characters that the model knows and {unknown.total()} "
                "that it does not; to score one, it needs at least 2 known ones"
            )
        with quiet_overflow():
            result = score(self.network, self.params, ids, streams=streams, progress=progress)
        if not math.isfinite(result.nats):
            raise ModelError(NO_NUMBER)
        return replace(result, unknown_characters=unknown.total())

    def _encode(
        self, text: str | Iterable[str], refuse: str | None = None
    ) -> tuple[IdSequence, Counter[str]]:
        """The ids of a text, in a file if it comes in pieces, and its unknown characters.

        Args:
            text: the text, or its pieces.
            refuse: what the user calls it, if unknown characters are to be refused.
        """
        if isinstance(text, str):
            ids, unknown = self.vocabulary.encode(text)
            self._check_known(unknown, refuse)
            return ids, Counter(unknown)
        try:
            return self._encode_pieces(text, refuse)
        except OSError as error:
            raise TextError(
                f"cannot write the encoded text to a temporary file: {error.strerror}; name a "
                "folder with room in the variable CHARLM_CACHE"
            ) from error

    def _encode_pieces(
        self, pieces: Iterable[str], refuse: str | None
    ) -> tuple[IdSequence, Counter[str]]:
        writer, counts = IdWriter(new_file(), ids_type(len(self.vocabulary))), Counter[str]()
        for piece in pieces:
            ids, unknown = self.vocabulary.encode(piece)
            self._check_known(unknown, refuse)
            counts.update(unknown)
            writer.add(ids)
        return writer.finish(), counts

    def _check_known(self, unknown: str, name: str | None) -> None:
        if name and unknown and self.vocabulary.unk_id is None:
            raise TextError(
                f"the {name} has characters that the model has never seen: {listed(unknown)}; "
                "leave them out, or pass --unknown skip"
            )

    def perplexity(self, text: str | Iterable[str], *, streams: int = 1) -> float:
        """exp of the mean surprise -ln p of a text's characters, as `score` counts them."""
        return self.score(text, streams=streams).perplexity

    def sample(
        self,
        prompt: str | Iterable[str] = "",
        *,
        length: int = 500,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        unknown: Unknown = "refuse",
        rng: np.random.Generator | None = None,
    ) -> Iterator[str]:
        """Draw text that goes on from a prompt.

        Args:
            prompt: what to go on from, in pieces if it is long. Without one the model reads a
                newline first, or, if it knows none, a character at random.
            length: how many characters to draw.
            temperature: divides the logits: below 1 safer, above 1 wilder, 0 the most probable.
            top_k: draw among the k most probable characters; 0 among all.
            top_p: draw among the fewest characters whose probabilities sum to p or more.
            stop: end once this text has been drawn.
            unknown: what to do with characters of the prompt that the model does not know, and
                for which it has no sign. The sign is read, and never drawn.
            rng: draws; by default a new one, differently seeded each time.

        Yields:
            The characters drawn, one at a time, without the prompt.

        Raises:
            ModelError: the model is bidirectional.
            TextError: the prompt has unknown characters.
            ConfigError: an option has a value it cannot take.
        """
        config = SampleConfig(length, temperature, top_k, top_p, stop)
        characters = self.sample_streams(prompt, config, 1, unknown=unknown, rng=rng)
        return (character for (character,) in characters)

    def sample_streams(
        self,
        prompt: str | Iterable[str],
        config: SampleConfig,
        count: int,
        *,
        unknown: Unknown = "refuse",
        rng: np.random.Generator | None = None,
        progress: Callable[[int], object] = lambda characters: None,
    ) -> Iterator[tuple[str, ...]]:
        """Draw several texts at once from one prompt; see `sample`.

        `progress` is called with the number of characters of the prompt that the model read since
        it was last called.

        Yields:
            The next character of each of the `count` texts; empty for one that has ended.
        """
        if self.config.bidirectional:
            raise ModelError(
                "the model reads from both ends, and cannot go on with a text: use it with charlm "
                "fill or charlm proofread, or train one without --bidirectional"
            )
        if count < 1:
            raise ConfigError("count", count, "a whole number of 1 or more")
        rng = rng or np.random.default_rng()
        widths = sum(self.network.cells.state_widths()) + 8 * len(self.vocabulary)
        check_fits(8 * count * widths, f"drawing {count:,} texts at once", "draw fewer")
        return self._draw(self._read_prompt(prompt, unknown, rng), config, count, rng, progress)

    def _read_prompt(
        self, prompt: str | Iterable[str], unknown: Unknown, rng: np.random.Generator
    ) -> IdSequence:
        """The ids that the model reads before it draws: at least one."""
        ids = self._known(prompt, unknown, "prompt")
        if len(ids):
            return ids
        newline, _ = self.vocabulary.encode("\n")
        if len(newline):
            return newline
        return rng.integers(len(self.vocabulary), size=1).astype(newline.dtype)

    def _known(self, text: str | Iterable[str], unknown: Unknown, name: str) -> IdSequence:
        """The ids of a text that the user calls by `name`, its unknown characters refused."""
        if unknown not in ("refuse", "skip"):
            raise ConfigError("unknown", unknown, "refuse or skip")
        return self._encode(text, name if unknown == "refuse" else None)[0]

    def _draw(
        self,
        ids: IdSequence,
        config: SampleConfig,
        count: int,
        rng: np.random.Generator,
        progress: Callable[[int], object],
    ) -> Iterator[tuple[str, ...]]:
        characters = self.vocabulary.characters
        excluded_id = self.vocabulary.unk_id
        drawn = sample(
            self.network,
            self.params,
            ids,
            config,
            rng,
            count,
            excluded_id=excluded_id,
            progress=progress,
        )
        tails = [""] * count
        ended = [False] * count
        for _ in range(config.length):
            nexts = tuple(map(characters.__getitem__, next(drawn).tolist()))
            if any(ended):
                nexts = tuple("" if over else c for c, over in zip(nexts, ended, strict=True))
            yield nexts
            if config.stop:
                tails = [
                    (tail + c)[-len(config.stop) :] for tail, c in zip(tails, nexts, strict=True)
                ]
                ended = [tail == config.stop for tail in tails]
                if all(ended):
                    return

    def fill(self, text: str, *, gap: str = "_", unknown: Unknown = "refuse") -> Filled:
        """Fill the gaps of a text by what is before and what is after them.

        Args:
            text: the text, with a character that marks each character to be found.
            gap: that character.
            unknown: what to do with characters of the text that the model does not know.

        Raises:
            ModelError: the model is not bidirectional.
            TextError: the text has no gap, or unknown characters.
            ConfigError: `gap` is not one character.
        """
        self._see_that_it_reads_both_ways()
        if len(gap) != 1:
            raise ConfigError("gap", gap, "one character")
        is_gap = np.array([character == gap for character in text], np.bool_)
        if not is_gap.any():
            shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
            raise TextError(f"there is no gap {gap!r} in {shown!r}; put one for each character")
        self._known(text.replace(gap, ""), unknown, "text")
        return fill_text(self.network, self.params, self.vocabulary, text, is_gap)

    def proofread(
        self,
        text: str,
        *,
        odds: float = ODDS,
        progress: Callable[[int], object] = lambda characters: None,
    ) -> Iterator[Misfit]:
        """Look for characters that what is before and what is after them make improbable.

        Characters that the model does not know are passed over.

        Args:
            text: the text.
            odds: how many times as probable another character has to be.
            progress: called with the number of characters looked at since it was last called.

        Raises:
            ModelError: the model is not bidirectional.
            ConfigError: odds of 1 or less.
        """
        self._see_that_it_reads_both_ways()
        if not odds > 1:
            raise ConfigError("odds", odds, "a number above 1")
        return proofread_text(self.network, self.params, self.vocabulary, text, odds, progress)

    def _see_that_it_reads_both_ways(self) -> None:
        if not self.config.bidirectional:
            raise ModelError(
                "the model reads from left to right only; train one with --bidirectional"
            )

    def held_out(self) -> Iterator[str]:
        """The part of the corpus that was held out for validation, read again from its files.

        Yields:
            It, in pieces.

        Raises:
            TextError: the corpus is not known, is gone, or has changed.
        """
        if self.training is None or not self.training.corpus.sources:
            raise TextError("the model does not say which files it was trained on; name a text")
        info = self.training.corpus
        if "-" in info.sources:
            raise TextError("the model was trained on standard input; name a text to score")
        if _can_be(info):
            corpus = Corpus.read(info.sources, info.encoding, newlines=info.newlines)
            if corpus.encoded.sha256 == info.sha256:
                return corpus.held_out(self.training.config.val_fraction)
        raise TextError(
            f"{', '.join(info.sources)} has changed since the model was trained on it; name a text "
            "to score"
        )

    def save(self, path: str | Path) -> None:
        """Write the model, and its training if there is any, to a `.npz`.

        Raises:
            CheckpointError: the file cannot be written.
        """
        parts = Checkpoint(self.config, self.vocabulary, self.params, self.training)
        checkpoint.save(Path(path), parts)


def _can_be(info: CorpusInfo) -> bool:
    """Whether the files that a checkpoint names may be its corpus: it may name anything."""
    files = expand(info.sources)
    there = [file for file in files if os.path.exists(file)]
    most = MOST_BYTES * info.characters + HEADERS * len(files)
    return all(map(os.path.isfile, there)) and sum(map(os.path.getsize, there)) <= most
