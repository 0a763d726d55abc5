"""Evaluating a model during training, on the validation split."""

import math
from collections.abc import Callable
from zlib import crc32

import numpy as np

from charlm.config import SampleConfig
from charlm.errors import ModelError, RankError
from charlm.inference.document_scoring import score_texts
from charlm.inference.sampling import sample
from charlm.inference.scoring import Score, perplexity
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.text.batches import Streams
from charlm.text.id_sequences import IdSequence
from charlm.text.splits import Texts
from charlm.training.events import Eval
from charlm.training.summary import Means
from charlm.training.trainer import Trainer

EVAL_PIECE = 1000  # characters of a text that are read together
SAMPLE_CHARACTERS = 64


def evaluate(trainer: Trainer, since: Means) -> Eval:
    """Validate, and keep the parameters if they are the best so far.

    Args:
        trainer: the trainer.
        since: the steps since the last evaluation.

    Raises:
        DivergedError: the perplexity is not finite.
        RankError: the weights of the ranks differ.
    """
    _compare_weights(trainer)
    result, train = validate(trainer), since.nats_per_char
    if result and not all(map(math.isfinite, (result.nats_per_char, result.perplexity))):
        raise trainer.diverged(f"the validation loss is {result.nats_per_char:g}")
    val = result.nats_per_char if result else None
    return Eval(
        step=trainer.progress.step,
        train_nats_per_char=train,
        val_nats_per_char=val,
        bits_per_char=result.bits_per_char if result else None,
        train_perplexity=None if train is None else perplexity(train),
        val_perplexity=result.perplexity if result else None,
        lr=since.lr,
        grad_norm=since.grad_norm,
        best=trainer.keep_if_best(val),
        sample=_shown(trainer) if trainer.group.rank == 0 else "",
    )


def keep_if_best(trainer: Trainer) -> None:
    """Validate, and keep the parameters if they are the best so far, without an event."""
    result = validate(trainer)
    if result is None or math.isfinite(result.nats_per_char):
        trainer.keep_if_best(result.nats_per_char if result else None)


def validate(trainer: Trainer) -> Score | None:
    """Score a sample of the validation split, the same every time: evenly spaced pieces of texts,
    each read from a state of zeros; of documents the first ones, which are drawn at random. None
    without a split.
    """
    val = trainer.data.val
    if not len(val):
        return None
    if val.boundary is not None:
        is_read = np.cumsum(val.lengths) - val.lengths < trainer.eval_characters
        return score_together(trainer, trainer.p, val.some(is_read))
    sample = val.spread(trainer.eval_characters, EVAL_PIECE)
    return score_together(trainer, trainer.p, sample, EVAL_PIECE)


def score_together(
    trainer: Trainer,
    p: Params,
    texts: Texts,
    stream: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Score:
    """Score texts with all ranks of the trainer; see `charlm.inference.document_scoring`."""
    return score_texts(
        trainer.model,
        p,
        texts,
        stream=stream,
        shards=trainer.parallel.count,
        threads=trainer.parallel.threads,
        group=trainer.group,
        should_stop=should_stop,
    )


def _compare_weights(trainer: Trainer) -> None:
    """Check that all ranks have the same weights; different processors round differently."""
    if trainer.group.size > 1:
        checksums = trainer.group.all_gather(crc32(trainer.p.flat.tobytes()))
        unlike = [rank for rank, checksum in enumerate(checksums) if checksum != checksums[0]]
        if unlike:
            raise RankError(
                f"the weights differ between rank 0 and rank {', '.join(map(str, unlike))}; "
                "use machines with the same processor, or set OPENBLAS_CORETYPE to a kernel that "
                "all of them support"
            )


def _shown(trainer: Trainer) -> str:
    """A sample, empty if a logit is not finite: then all ranks will find that in a step."""
    try:
        return _sample(trainer)
    except ModelError:
        return ""


def _sample(trainer: Trainer) -> str:
    """A short sample that continues the first character of the validation split.

    For a bidirectional model, the most probable characters at the start of that split. Without a
    validation split, that of the training split.
    """
    vocabulary, first = trainer.data.vocabulary, _first(trainer)
    characters = [*vocabulary.characters, "\n"]  # the boundary is shown as a newline
    if trainer.model.config.bidirectional:
        return "".join(characters[i] for i in _guesses(trainer))
    rng = np.random.default_rng((trainer.config.random_seed, trainer.progress.step))
    config = SampleConfig(length=SAMPLE_CHARACTERS)
    drawn = sample(trainer.model, trainer.p, first[:1], config, rng, excluded_id=vocabulary.unk_id)
    return "".join(characters[next(drawn)[0]] for _ in range(config.length))


def _first(trainer: Trainer) -> IdSequence:
    """The first text or document of the validation split, or else of the training split."""
    return next((trainer.data.val if len(trainer.data.val) else trainer.data.train).sequences())


def _guesses(trainer: Trainer) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The most probable id at each position, given the text on both sides, `(T,)`."""
    model, p = trainer.model, trainer.p
    x, y, after, _ = Streams(_first(trainer), 1, SAMPLE_CHARACTERS, model.lookahead).chunk(0)
    logits, _ = model.logits(p, x, y, model.zero_state(1), Workspace(p.flat.dtype), after)
    best: np.ndarray[tuple[int], np.dtype[np.intp]] = logits[:, 0].argmax(axis=1)
    return best
