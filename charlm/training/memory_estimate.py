"""How much memory training takes, by arithmetic, before any is taken."""

import math
from dataclasses import replace

from charlm.config import CELLS, PLAIN_CELLS, ModelConfig, TrainConfig
from charlm.distributed.scheduling import default_shards
from charlm.inference.scoring import FORWARD_STEPS, PARTS, WARM_UP
from charlm.nn.model import LOOKAHEAD, CharLM
from charlm.nn.optimizers import OPTIMIZERS
from charlm.nn.output_layer import HEAD_CHUNK
from charlm.nn.products import NARROWEST, SMALL_PRODUCT
from charlm.nn.time_blocks import CACHED
from charlm.system.available_memory import check_fits, counted
from charlm.text.id_sequences import READ
from charlm.text.vocabulary import ids_type

NUMBER = 4  # bytes of a float32
CHUNK_OBJECTS = 1_000  # bytes of what holds a chunk's ids


def parameters(config: ModelConfig, vocabulary: int) -> int:
    """The numbers that a model of that shape learns, without making it.

    Layers above the third are alike, and so are dense layers above the first: they are counted and
    not listed, so that a billion of them is no work.
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
    ranks: int = 1,
) -> int:
    """About how many bytes training takes, in one of so many ranks and its workers.

    It counts arrays, and not interpreters, nor what the timing of some steps keeps besides. In
    numbers of 4 bytes, with T steps, B streams, S shards, H units, G gates, V characters, P
    parameters, an optimiser of m vectors, and W features that the head sees (of a bidirectional
    model 2 H, and all that is said of layers is meant twice, over T + R steps):

        (2 + m) P                weights, the best so far, the optimiser's vectors
        + (1 + S) P              a copy of the weights for workers, each shard's gradients
        + S P, with accumulate   the gradients of a step's later chunks
        + P, on several ranks    the sum over all
        + S W V                  a part of the head's gradient on its way into a shard's
        + T B Σ_l (k H + 2 I_l)  what layers keep for their backward passes and compute there, k
                                 by the cell; their input, copied, and its gradient: I_1 is 0
                                 for characters, I_l = H above
        + T B (W + …)            the gradient of the head's input; 2 H for each dropout or shortcut,
                                 3 H for each dense layer
        + S Σ_l G H (H + I_l)    weights in blocks, where BLAS has kernels that need them
        + 2 S L min(T B 4 H / S, max(2¹⁷, B 4 H / S))
                                 what L layers with gates compute for a run of steps at once
        + min(T B V, S 2²⁰)      logits, a bounded number at a time
        + C Σ_l (k H + I_l) + min(C V, S 2²⁰)
                                 scoring: C characters at once, on as many threads

    and the ids that are read ahead, and those of a step's chunks, as they go to workers; or, if
    it is more, P + 12 H²: recurrent matrices are drawn in numbers of 8 bytes.

    Args:
        model: the shape of the network.
        vocabulary: V.
        train: how it is trained.
        characters: to learn from.
        held_out: characters to be scored; 0 leaves scoring out.
        ranks: the processes that share the shards.
    """
    T, B, S = _batch(train, characters, ranks)
    H, P, ids = model.hidden, parameters(model, vocabulary), ids_type(vocabulary).itemsize
    copies = 3 + len(OPTIMIZERS[train.optimizer][1]) + S + S * (train.accumulate > 1) + (ranks > 1)
    numbers = (
        copies * P + _step(model, vocabulary, T, B, S) + _scoring(model, vocabulary, held_out, S)
    )
    drawn = P + 12 * H * H * (model.cell not in ("jordan", "sru"))
    chunks = train.accumulate * (6 * ids * T * B + CHUNK_OBJECTS)
    return NUMBER * max(numbers, drawn) + ids * min(characters, READ) + chunks


def _batch(train: TrainConfig, characters: int, ranks: int) -> tuple[int, int, int]:
    """The steps, the streams and the shards of one rank, as a text of that length allows."""
    streams = max(1, min(train.batch_size, (characters - 1) // train.seq_len))
    shards = min(train.shards or default_shards(streams), streams)
    mine = -(-shards // ranks)
    return min(train.seq_len, characters), -(-streams * mine // shards), mine


def _step(model: ModelConfig, V: int, T: int, B: int, S: int) -> int:
    """The numbers in the workspaces of all shards."""
    H, L, sides = model.hidden, model.layers, _sides(model)
    gates = CELLS[model.cell].gates
    is_jordan = model.cell == "jordan"
    span = T + LOOKAHEAD * (sides - 1)
    inputs = model.embedding + (L - 1) * H  # of all layers
    outputs = V if is_jordan else sides * H
    shortcuts = (L - 1) * model.residual + L * (model.dropout > 0)
    of_character = (
        _kept(model, V)
        + sides * (inputs + outputs)
        + 2 * sides * shortcuts * H
        + 3 * model.head_layers * H
    )
    rows = B // S  # of a shard
    needs_blocks = NARROWEST * H * rows <= SMALL_PRODUCT
    at_once = max(CACHED, rows * 4 * H) * (model.cell not in PLAIN_CELLS)
    return (
        span * B * of_character
        + S * outputs * V * (not is_jordan)
        + S * sides * gates * H * (L * H + inputs) * needs_blocks
        + 2 * S * sides * L * min(span * rows * 4 * H, at_once)
        + min(T * B * V, S * HEAD_CHUNK)
    )


def _kept(model: ModelConfig, V: int) -> int:
    """The numbers a character that layers keep of a forward pass."""
    arrays = CELLS[model.cell].arrays
    of_units = arrays * model.layers * model.hidden
    of_inputs = 2 * model.embedding + (model.layers - 1) * model.hidden
    of_outputs = 2 * V * (model.cell == "jordan")  # logits, and their softmax
    return _sides(model) * (of_units + of_inputs) + of_outputs


def _sides(model: ModelConfig) -> int:
    """From how many sides it reads."""
    return 2 if model.bidirectional else 1


def _scoring(model: ModelConfig, V: int, held_out: int, S: int) -> int:
    """The numbers that scoring takes: half as many streams as parts, or all parts of one text."""
    parts = min(PARTS, max(1, min(PARTS // 2, held_out // WARM_UP), held_out // (2 * WARM_UP)))
    at_once = min(held_out, parts * FORWARD_STEPS)
    return at_once * _kept(model, V) + min(at_once * V, S * HEAD_CHUNK)


def check_training_fits(
    model: ModelConfig,
    vocabulary: int,
    train: TrainConfig,
    *,
    characters: int,
    held_out: int,
    ranks: int = 1,
) -> None:
    """See that there is memory to train a model; the arguments are those of `training_bytes`.

    Raises:
        ModelError: there is not.
    """
    needed = training_bytes(
        model, vocabulary, train, characters=characters, held_out=held_out, ranks=ranks
    )
    check_fits(
        needed,
        f"training a model of {counted(parameters(model, vocabulary))} parameters",
        "choose a smaller model, as with --hidden or --layers, or a smaller --batch-size, "
        "--seq-len or --accumulate",
    )
