"""A trained language model: everything that a user can do with it."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from charlm import checks
from charlm.checks import checked, content_of, flag, instance, one_of, optional, real, whole
from charlm.config import DEFAULT_ODDS, ModelConfig, SampleConfig
from charlm.errors import ConfigError, TextError
from charlm.inference.document_sampling import (
    Document,
    check_reads_documents,
    sample_documents,
)
from charlm.inference.document_scoring import Scores, score_documents, surprisals_of_text
from charlm.inference.filling import Filled, fill_text
from charlm.inference.proofreading import Misfit, proofread_text
from charlm.inference.sampling import sample_texts
from charlm.inference.scoring import Score
from charlm.inference.text_input import Text, Unknown
from charlm.inference.text_scoring import score_text
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.system.callbacks import Advance, ignore
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.vocabulary import Vocabulary
from charlm.training import checkpoint
from charlm.training.baselines import Baselines
from charlm.training.checkpoint import Checkpoint, TrainingState
from charlm.training.held_out import read_documents, read_held_out

_generator = instance(
    np.random.Generator, "a NumPy random generator, such as numpy.random.default_rng(42)"
)
_unknown = one_of(("refuse", "skip"))
_documents = instance((list, tuple, set, frozenset), "a list or set of documents")


class LanguageModel:
    """A trained network with its vocabulary.

    Attributes:
        config: the architecture of the network.
        vocabulary: the characters that the model knows.
        params: the weights, by name.
        training: the state of the training run, if it is known.
        text_config: how the files of its corpus became text. The line endings and normalization
            also apply to every text that the model is given.
        network: the network that computes with the weights.
    """

    @checked(
        config=instance(ModelConfig, "a ModelConfig"),
        vocabulary=instance(Vocabulary, "a Vocabulary"),
        params=instance(Params, "a Params"),
        training=optional(instance(TrainingState, "a TrainingState")),
        text_config=instance(TextConfig, "a TextConfig"),
    )
    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary,
        params: Params,
        training: TrainingState | None = None,
        text_config: TextConfig = PLAIN_TEXT,
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.params = params
        self.training = training
        self.text_config = text_config
        documents = text_config.has_documents
        self.network = CharLM(config, len(vocabulary), reads_documents=documents)
        if params.shapes != self.network.shapes():
            expected = "the weights of a network with this configuration and vocabulary"
            raise ConfigError("params", params.shapes, expected)

    @overload
    def score(self, text: list[str] | tuple[str, ...], *, progress: Advance = ignore) -> Scores: ...
    @overload
    def score(
        self,
        text: str | Iterator[str],
        *,
        streams: int = 1,
        cold: int = 0,
        dynamic: bool = False,
        progress: Advance = ignore,
    ) -> Score: ...
    @checked(
        text=content_of(checks.documents_or_pieces),
        streams=whole(1),
        cold=whole(0),
        dynamic=flag,
        progress=checks.function,
    )
    def score(
        self,
        text: str | Iterator[str] | list[str] | tuple[str, ...],
        *,
        streams: int = 1,
        cold: int = 0,
        dynamic: bool = False,
        progress: Advance = ignore,
    ) -> Score | Scores:
        """Compute the negative log-likelihood (NLL) of a text, or of each of several documents.

        The first character of a text is context and is not scored. All characters of a document
        are scored, and its end; a model of texts reads it as a line. A model of documents reads
        also a text as a document. Unknown characters are skipped: they are
        neither scored nor read. A model with an unknown token scores and reads that token instead.
        A bidirectional model also reads the text after each character, so its results are those
        of the pseudo-likelihood.

        Args:
            text: at least two known characters; or a list of documents. Of an empty list, the mean
                figures are NaN. A long text may come in pieces from an iterator, such as an open
                file, of which only one is in memory at a time. A string that is the name of a file
                is refused; `[name]` scores the name itself.
            streams: the number of parallel streams that the text is cut into, each read from an
                initial state of zeros; 1 scores every character given the whole text before it.
            cold: the length of windows without overlap that the text is cut into, each read from a
                state of zeros, as models with a fixed context are scored; 0 for none. A window
                predicts its first character given one character, the last one of the window before
                it. Not for documents.
            dynamic: whether to score the text once more by dynamic evaluation, whose weights adapt
                to the text that has been scored; the model is not changed. Only for a
                unidirectional model of texts.
            progress: called with the number of characters scored since the last call.

        Raises:
            TextError: fewer than two of the characters are known, or the text names a file.
            ConfigError: an argument has an invalid value.
            ModelError: the NLL is NaN or infinite, or the model cannot do what `cold` or `dynamic`
                requests.
        """
        if isinstance(text, (list, tuple)):
            if cold or dynamic:
                name, value = ("cold", cold) if cold else ("dynamic", dynamic)
                raise ConfigError(name, value, "omitted for documents, each read on its own")
            return score_documents(self, text, progress=progress)
        return score_text(
            self, text, streams=streams, cold=cold, dynamic=dynamic, progress=progress
        )

    @checked(text=content_of(checks.text), progress=checks.function)
    def surprisal(self, text: str, *, progress: Advance = ignore) -> NDArray[np.float64]:
        """-ln p of each character of a text, `(characters,)`, as `score` predicts them.

        NaN for what is not predicted: the first character of a text, unless the model reads
        documents, and characters that are skipped.
        """
        return surprisals_of_text(self, text, progress=progress)

    @checked(text=content_of(checks.documents_or_pieces), streams=whole(1))
    def perplexity(
        self, text: str | Iterator[str] | list[str] | tuple[str, ...], *, streams: int = 1
    ) -> float:
        """exp of the mean NLL of the characters of a text or of documents; see `score`."""
        if isinstance(text, (list, tuple)):
            if not text:
                raise TextError("there are no documents")
            return score_documents(self, text).total.perplexity
        return score_text(self, text, streams=streams).perplexity

    def sample(
        self,
        prompt: Text = "",
        *,
        length: int = SampleConfig.length,
        temperature: float = SampleConfig.temperature,
        top_k: int = SampleConfig.top_k,
        top_p: float = SampleConfig.top_p,
        stop: str | Sequence[str] = SampleConfig.stop,
        unknown: Unknown = "refuse",
        rng: np.random.Generator | None = None,
    ) -> Iterator[str]:
        """Generate text that continues a prompt.

        Args:
            prompt: the text to continue; a long one may come in pieces. Without a prompt the model
                reads a newline, or a random character if it does not know the newline.
            length: the number of characters to generate.
            temperature: divides the logits: below 1 more conservative, above 1 more random, 0 takes
                the most probable character.
            top_k: sample from the k most probable characters; 0 from all.
            top_p: sample from the smallest set of characters whose probabilities sum to p or more.
            stop: end after this text has been generated, or one of several.
            unknown: whether to refuse or to skip unknown characters of the prompt. A model with an
                unknown token reads that token instead; it never generates it.
            rng: the random generator; by default a new one with a random seed.

        Yields:
            The generated characters, one at a time, without the prompt.

        Raises:
            ModelError: the model is bidirectional.
            TextError: the prompt has unknown characters.
            ConfigError: an option has an invalid value.
        """
        config = SampleConfig(length, temperature, top_k, top_p, stop)  # type: ignore[arg-type]
        characters = self.sample_streams(prompt, config, 1, unknown=unknown, rng=rng)
        return (character for (character,) in characters)

    @checked(
        prompt=checks.pieces,
        config=instance(SampleConfig, "a SampleConfig"),
        count=whole(1),
        unknown=_unknown,
        rng=optional(_generator),
        progress=checks.function,
    )
    def sample_streams(
        self,
        prompt: Text,
        config: SampleConfig,
        count: int,
        *,
        unknown: Unknown = "refuse",
        rng: np.random.Generator | None = None,
        progress: Advance = ignore,
    ) -> Iterator[tuple[str, ...]]:
        """Generate several texts in parallel from one prompt; see `sample`.

        `progress` is called with the number of prompt characters read since the last call.

        Yields:
            The next character of each of the `count` texts; "" for a text that has ended.
        """
        return sample_texts(
            self, prompt, config, count, unknown=unknown, rng=rng, progress=progress
        )

    @checked(
        count=whole(1),
        prompt=checks.pieces,
        unique=flag,
        known=_documents,
        unknown=_unknown,
        rng=optional(_generator),
        progress=checks.function,
    )
    def sample_documents(
        self,
        count: int,
        prompt: Text = "",
        *,
        unique: bool = False,
        known: Collection[str] = (),
        length: int = SampleConfig.length,
        temperature: float = SampleConfig.temperature,
        top_k: int = SampleConfig.top_k,
        top_p: float = SampleConfig.top_p,
        stop: str | Sequence[str] = SampleConfig.stop,
        unknown: Unknown = "refuse",
        rng: np.random.Generator | None = None,
        progress: Advance = ignore,
    ) -> Iterator[Document]:
        """Sample documents from a model that was trained on documents.

        A document depends on the random generator and on its number, but not on `count`, except
        for rounding. With `unique` or `known` there may be fewer, if hardly any are left.

        Args:
            count: the number of documents.
            prompt: the beginning of each.
            unique: whether they are all distinct.
            known: documents that are passed over, such as `model.corpus_documents()`.
            length: the maximum number of characters after the prompt.
            stop: a document also ends after this text, or after one of several.
            temperature, top_k, top_p, unknown, rng: as for `sample`.
            progress: called with the number of prompt characters read since the last call.

        Raises:
            ModelError: the model was not trained on documents, or is bidirectional.
            TextError: the prompt has unknown characters.
            ConfigError: an option has an invalid value.
        """
        config = SampleConfig(length, temperature, top_k, top_p, stop)  # type: ignore[arg-type]
        return sample_documents(
            self,
            prompt,
            config,
            count,
            unique=unique,
            known=frozenset(known),
            unknown=unknown,
            rng=rng,
            progress=progress,
        )

    @checked(text=checks.text, gap=checks.string, unknown=_unknown)
    def fill(self, text: str, *, gap: str = "_", unknown: Unknown = "refuse") -> Filled:
        """Fill the gaps of a text, given the text on both sides of each.

        Args:
            text: the text, with one `gap` for each missing character.
            gap: the character that marks a gap.
            unknown: whether to refuse or to skip unknown characters of the text. A model with an
                unknown token reads that token instead; it never fills it in.

        Raises:
            ModelError: the model is not bidirectional.
            TextError: the text has no gap, or unknown characters.
            ConfigError: `gap` is not one character.
        """
        return fill_text(self, text, gap=gap, unknown=unknown)

    @checked(text=content_of(checks.text), odds=real(1, bounds="()"), progress=checks.function)
    def proofread(
        self, text: str, *, odds: float = DEFAULT_ODDS, progress: Advance = ignore
    ) -> Iterator[Misfit]:
        """Find the characters that are improbable given the text on both sides of each.

        Unknown characters are skipped.

        Args:
            text: the text. The name of a file is refused.
            odds: how many times as probable another character must be.
            progress: called with the number of characters read since the last call.

        Raises:
            ModelError: the model is not bidirectional.
            ConfigError: `odds` is 1 or less.
        """
        return proofread_text(self, text, odds=odds, progress=progress)

    def held_out(self) -> Iterator[Iterator[str]]:
        """Read the validation split of the model's corpus again from its files.

        Yields:
            The texts or documents, each in pieces.

        Raises:
            TextError: the corpus is unknown, is missing, or has changed.
        """
        return read_held_out(self.training, self.text_config)

    def baselines(self) -> Baselines:
        """Count n-grams in the training split of the model's corpus, read again from its files.

        The baselines score texts as the model does, so that its figures can be compared; see
        `charlm.training.baselines`.

        Raises:
            TextError: the corpus is unknown, is missing, or has changed.
            ModelError: the model is bidirectional.
        """
        return Baselines(self, self.training)

    def corpus_documents(self) -> frozenset[str]:
        """Read the distinct documents of the model's corpus again from its files.

        Raises:
            TextError: the corpus is unknown, is missing, or has changed.
            ModelError: it has no documents.
        """
        check_reads_documents(self)
        return frozenset(read_documents(self.training, self.text_config))

    @checked(path=checks.path)
    def save(self, path: str | Path) -> None:
        """Write the model, with its training state if it has one, to a `.npz`.

        Raises:
            CheckpointError: the file cannot be written.
        """
        parts = Checkpoint(
            self.config, self.vocabulary, self.params, self.training, self.text_config
        )
        checkpoint.save(Path(path), parts)
