"""Setting up a training run: corpus → vocabulary and split → model → data parallelism → trainer."""

from dataclasses import replace

import numpy as np

from charlm.checks import whole
from charlm.config import ModelConfig, TrainConfig
from charlm.distributed.agreement import check_rounding
from charlm.distributed.data_parallel import DataParallel
from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.scheduling import default_shards
from charlm.errors import CheckpointError, ConfigError, TextError
from charlm.nn.model import CharLM
from charlm.text.batches import Streams
from charlm.text.corpus import Corpus
from charlm.text.document_streams import DocumentStreams
from charlm.text.splits import Texts
from charlm.training.checkpoint import Checkpoint, CorpusInfo
from charlm.training.memory_estimate import check_training_fits
from charlm.training.trainer import Data, Trainer

WEIGHTS_ONLY = "has only weights, not the training state required to resume"


def set_up(
    corpus: Corpus,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    validation: Corpus | None = None,
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Trainer:
    """A trainer for a new run.

    Args:
        corpus: the corpus.
        model_config: the architecture of the network.
        config: how to train it.
        validation: the corpus of the validation split, read in the same way; by default a part of
            the first one is held out.
        threads: the number of processors that compute shards, 0 for all. The result does not depend
            on it.
        group: the ranks that share the shards. Each calls this. The result does not depend on them.

    Raises:
        ConfigError: `threads` is not an integer of at least 0, or `val_fraction` is set although
            there is a `validation`.
        TextError: the text is too short to be split, or cannot be validated on the other one.
        ModelError: there is not enough memory.
        RankError: a rank does not respond, or rounds differently while `config.in_order` is set.
    """
    whole(0)("threads", threads)
    if config.in_order:
        check_rounding(group)
    data = _data(corpus, validation, config)
    vocabulary = data.vocabulary
    has_documents = corpus.config.has_documents
    check_training_fits(  # before there is an object for each layer
        model_config,
        len(vocabulary) + has_documents,
        config,
        characters=data.train.characters,
        held_out=data.val.characters,
        documents=len(data.train) if has_documents else 0,
        longest=int(data.train.lengths.max()),
        lengths=data.val.lengths.tolist(),
        threads=threads or group.cores,
        ranks=group.size,
    )
    model = CharLM(model_config, len(vocabulary), reads_documents=has_documents)
    p = model.init_params(np.random.default_rng(config.random_seed))
    streams = _streams(data.train, config, model.lookahead)
    B = streams.batch_size
    shards = config.shards or default_shards(B)
    newline = None if corpus.config.joined else vocabulary.newline
    parallel = DataParallel(
        model, p, B, shards, threads, group, in_order=config.in_order, newline=newline
    )
    streams.keep(parallel.streams)
    return Trainer(data, config, streams, parallel)


def _data(corpus: Corpus, validation: Corpus | None, config: TrainConfig) -> Data:
    """The split of a corpus, or a corpus and that of its validation split."""
    vocabulary = corpus.vocabulary(config.min_count)
    if validation is None:
        split = corpus.split(vocabulary, config.val_fraction, config.random_seed)
        return Data(corpus, vocabulary, *split)
    if config.val_fraction is not None:
        expected = "omitted with a validation text, since nothing else is held out"
        raise ConfigError("val_fraction", config.val_fraction, expected)
    if validation.config != corpus.config:
        raise TextError(
            "the validation text was read in another way than the corpus; read both with the same "
            "TextConfig"
        )
    train, _ = corpus.split(vocabulary, 0)
    val, unknown = validation.texts(vocabulary)
    if val.boundary is None and val.lengths.min() < 2:
        raise TextError(
            "a validation text has fewer than 2 characters that are in the training text; specify "
            "another one"
        )
    return Data(corpus, vocabulary, train, val, validation, unknown)


def _streams(texts: Texts, config: TrainConfig, lookahead: int) -> Streams | DocumentStreams:
    """The parallel streams of the training split."""
    B, T = config.batch_size, config.seq_len
    if texts.boundary is not None:
        return DocumentStreams(texts, B, T, lookahead, config.random_seed)
    starts = np.cumsum(texts.lengths) - texts.lengths
    return Streams(texts.end_to_end(), B, T, lookahead, starts)


def resume(
    checkpoint: Checkpoint,
    corpus: Corpus,
    *,
    validation: Corpus | None = None,
    best: Checkpoint | None = None,
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Trainer:
    """The trainer of a run as it was when a checkpoint was saved.

    Args:
        checkpoint: a checkpoint with a training state.
        corpus: the corpus it was trained on.
        validation: the corpus of its validation split, if it has one of its own.
        best: the best checkpoint of the run; None if the run has not begun.
        threads: as in `set_up`.
        group: as in `set_up`.

    Raises:
        CheckpointError: the checkpoint has no training state, or one of another size.
        TextError: a corpus is not the one it was trained or validated on.
    """
    state = checkpoint.training
    if state is None:
        raise CheckpointError(f"the checkpoint {WEIGHTS_ONLY}; start a new run")
    check_text(corpus, state.corpus)
    check_validation(validation, state.corpus)
    corpus = replace(corpus, config=checkpoint.text)
    if validation:
        validation = replace(validation, config=checkpoint.text)
    trainer = set_up(
        corpus, checkpoint.config, state.config, validation=validation, threads=threads, group=group
    )
    if any(len(part) != trainer.streams.batch_size for part in state.carried):
        raise CheckpointError("the state in the checkpoint does not match its batch size")
    trainer.restore(checkpoint, best)
    return trainer


def check_validation(validation: Corpus | None, info: CorpusInfo) -> None:
    """Check that a run has the validation text that it was started with, if it has its own.

    Args:
        validation: the corpus of the validation split.
        info: the corpus in the checkpoint.

    Raises:
        TextError: it has another one.
    """
    if (validation is None) != (info.validation is None):
        other = "without" if info.validation is None else "with"
        raise TextError(f"the run was started {other} a validation text of its own")
    if validation and info.validation:
        check_text(validation, info.validation, "validation text")


def check_text(corpus: Corpus, info: CorpusInfo, what: str = "corpus") -> None:
    """Check that a corpus has the text that a run was started with.

    Raises:
        TextError: it has another one.
    """
    if corpus.encoded.sha256 == info.sha256:
        return
    then, now = info.characters, len(corpus)
    same = f"its length is the same, {now:,} characters, but not its content"
    other = f"it had {then:,} characters, and now has {now:,}"
    raise TextError(
        f"the {what} has changed since training began ({same if then == now else other}); specify "
        "the original text or start a new run"
    )
