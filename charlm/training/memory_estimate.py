"""An estimate of the memory that training takes, before it is allocated."""

import math
from collections.abc import Sequence
from dataclasses import replace

from charlm.config import CELLS, PLAIN_CELLS, ModelConfig, TrainConfig
from charlm.distributed.scheduling import default_shards
from charlm.inference.document_scoring import FEWEST_ROWS, LONG, PREFIX_ROWS, rows_at_once
from charlm.inference.parts import FORWARD_STEPS, PARTS, WARM_UP
from charlm.nn.model import LOOKAHEAD, CharLM
from charlm.nn.optimizers import OPTIMIZERS
from charlm.nn.output_layer import HEAD_CHUNK
from charlm.nn.products import NARROWEST
from charlm.nn.time_blocks import CACHED
from charlm.system.available_memory import check_fits, counted
from charlm.system.kernels import SMALL
from charlm.text.document_streams import BLOCK, streams_of
from charlm.text.id_sequences import READ
from charlm.text.vocabulary import ids_type

NUMBER = 4  # bytes of a float32
CHUNK_OBJECTS = 1_000  # bytes of the objects that hold the ids of a chunk
DEALT = 26  # bytes per id of a block of documents that is shuffled
DOCUMENT = 400  # bytes of the objects and indices of a document
SURPRISAL = 8  # bytes of the result of a scored character


def parameters(config: ModelConfig, vocabulary: int) -> int:
    """The number of parameters of a model, without creating it.

    Layers above the third have the same size, and so have dense layers above the first. They are
    multiplied, not listed, so a billion layers take no time.
    """
    few = replace(config, layers=min(config.layers, 3), head_layers=min(config.head_layers, 1))
    count = _listed(few, vocabulary)
    if config.layers > 3:
        more = _listed(replace(few, layers=4), vocabulary) - count
        count += (config.layers - 3) * more
    return count + max(0, config.head_layers - 1) * (config.hidden + 1) * config.hidden


def _listed(config: ModelConfig, vocabulary: int) -> int:
    return sum(math.prod(shape) for shape in CharLM(config, vocabulary).shapes().values())


def training_bytes(
    model: ModelConfig,
    vocabulary: int,
    train: TrainConfig,
    *,
    characters: int,
    held_out: int = 0,
    documents: int = 0,
    longest: int = 0,
    lengths: Sequence[int] = (),
    threads: int = 1,
    ranks: int = 1,
) -> int:
    """An estimate of the bytes that training takes in one rank with its worker processes.

    It counts the arrays, but not the interpreters and the trial that `--minutes` needs.

    Args:
        model: the architecture of the network.
        vocabulary: the number of distinct characters, and one if the model reads documents.
        train: how to train it.
        characters: the length of the training split.
        held_out: the length of the validation split; 0 ignores scoring.
        documents: the number of documents in the training split; 0 for texts.
        longest: the length of the longest of them.
        lengths: the lengths of the texts or documents of the validation split.
        threads: the number of batches of them that are scored at once.
        ranks: the number of ranks that share the shards.
    """
    T, B, S = _batch(train, characters, documents, longest, ranks)
    H, id_size = model.hidden, ids_type(vocabulary).itemsize
    alone = max((n for n in lengths if n > LONG or len(lengths) == 1), default=0)
    scored = max(
        _in_parts(alone if lengths else held_out),
        _in_batches(lengths, threads, has_prefixes=not model.bidirectional),
    )
    workspaces = _step(model, vocabulary, T, B, S) + _scoring(model, vocabulary, scored, S)
    vectors = (
        3  # the weights, the best so far, and a copy for the workers
        + len(OPTIMIZERS[train.optimizer][1])  # the moments
        + S  # the gradients of the shards
        + S * (train.accumulate > 1)  # the gradients of the later chunks of a step
        + (ranks > 1)  # the sum over all ranks
    )
    P = parameters(model, vocabulary)
    # initial recurrent matrices are drawn in float64
    initial = P + 12 * H * H * (model.cell not in ("jordan", "sru"))
    if documents:
        ids = _dealt(characters + documents, longest, B, id_size)
    else:
        ids = id_size * min(characters, READ)
    chunks = train.accumulate * (6 * id_size * T * B + CHUNK_OBJECTS)
    listed = DOCUMENT * (documents + len(lengths)) + SURPRISAL * held_out * (len(lengths) > 1)
    return NUMBER * max(vectors * P + workspaces, initial) + ids + chunks + listed


def _batch(
    train: TrainConfig, characters: int, documents: int, longest: int, ranks: int
) -> tuple[int, int, int]:
    """T, B and the number of shards S of one rank, which are smaller for a short text.

    A chunk of documents has T steps in any case, in which short ones are read several times.
    """
    T = train.seq_len
    if documents:
        streams = streams_of(train.batch_size, T, characters + documents, longest)
    else:
        streams, T = max(1, min(train.batch_size, (characters - 1) // T)), min(T, characters)
    shards = min(train.shards or default_shards(streams), streams)
    mine = -(-shards // ranks)
    return T, -(-streams * mine // shards), mine


def _dealt(targets: int, longest: int, B: int, id_size: int) -> int:
    """The bytes of a block of documents that is dealt, and of those that streams are still in."""
    return DEALT * min(targets, BLOCK + longest) + id_size * B * (longest + 1)


def _step(model: ModelConfig, V: int, T: int, B: int, S: int) -> int:
    """The numbers in the workspaces of all shards."""
    H, L, sides = model.hidden, model.layers, _sides(model)
    gates = CELLS[model.cell].gates
    is_jordan = model.cell == "jordan"
    span = T + LOOKAHEAD * (sides - 1)
    inputs = model.embedding + (L - 1) * H  # of all layers
    resets = L * H  # outputs are copied where a state becomes zeros
    outputs = V if is_jordan else sides * H
    shortcuts = (L - 1) * model.residual + L * (model.dropout > 0)
    per_character = (
        _kept(model, V)
        + sides * (inputs + outputs)  # the gradients of the inputs and of the output
        + sides * resets
        + 2 * sides * shortcuts * H
        + 3 * model.head_layers * H
    )
    rows = B // S  # of a shard
    needs_blocks = NARROWEST * H * rows <= SMALL
    at_once = max(CACHED, rows * 4 * H) * (model.cell not in PLAIN_CELLS)
    return (
        span * B * per_character
        + S * outputs * V * (not is_jordan)  # the gradient of the output layer, of some rows
        + S * sides * gates * H * (L * H + inputs) * needs_blocks  # weights in blocks of columns
        + 2 * S * sides * L * min(span * rows * 4 * H, at_once)  # a block of steps
        + min(T * B * V, S * HEAD_CHUNK)  # logits
    )


def _kept(model: ModelConfig, V: int) -> int:
    """The numbers per character that the layers keep of a forward pass."""
    units = CELLS[model.cell].arrays * model.layers * model.hidden
    inputs = 2 * model.embedding + (model.layers - 1) * model.hidden
    outputs = 2 * V * (model.cell == "jordan")  # logits and softmax
    return _sides(model) * (units + inputs) + outputs


def _sides(model: ModelConfig) -> int:
    """The number of directions that the model reads in."""
    return 2 if model.bidirectional else 1


def _in_parts(length: int) -> int:
    """The number of positions of a text that are scored at once, in parts."""
    parts = min(PARTS, max(1, min(PARTS // 2, length // WARM_UP), length // (2 * WARM_UP)))
    return min(length, parts * FORWARD_STEPS)


def _in_batches(lengths: Sequence[int], threads: int, *, has_prefixes: bool) -> int:
    """The number of positions of several texts that are scored at once."""
    short = [length + 1 for length in lengths if length < LONG]
    if len(lengths) < 2 or not short:
        return 0
    if has_prefixes and len(short) >= FEWEST_ROWS:
        return min(len(short), PREFIX_ROWS * threads)
    steps = min(max(short), FORWARD_STEPS)
    rows = min(len(short), rows_at_once(max(short)) * threads)
    return min(sum(short), steps * rows)


def _scoring(model: ModelConfig, V: int, at_once: int, S: int) -> int:
    """The numbers that scoring some positions at once takes, with their logits."""
    return at_once * _kept(model, V) + min(at_once * V, S * HEAD_CHUNK)


def check_training_fits(
    model: ModelConfig,
    vocabulary: int,
    train: TrainConfig,
    *,
    characters: int,
    held_out: int,
    documents: int = 0,
    longest: int = 0,
    lengths: Sequence[int] = (),
    threads: int = 1,
    ranks: int = 1,
) -> None:
    """Check that there is enough memory to train a model; the arguments are as in `training_bytes`.

    Raises:
        ModelError: there is not enough memory.
    """
    needed = training_bytes(
        model,
        vocabulary,
        train,
        characters=characters,
        held_out=held_out,
        documents=documents,
        longest=longest,
        lengths=lengths,
        threads=threads,
        ranks=ranks,
    )
    check_fits(
        needed,
        f"training a model of {counted(parameters(model, vocabulary))} parameters",
        "choose a smaller `hidden`, `layers`, `batch_size`, `seq_len` or `accumulate`",
    )
