"""The weights of a run do not depend on the number of ranks and threads."""

import numpy as np
import pytest

from charlm.training.checkpoint import load
from tests.mpi.jobs import FOUR, SMALL, mpiexec, results_of, shell_in
from tests.shell import Shell

MODELS = {
    "rnn": ["--cell", "rnn"],
    "lstm": ["--layers", 2, "--dropout", 0.3],
    "bidirectional": ["--cell", "gru", "--bidirectional"],
    "several chunks": ["--accumulate", 3],
}


@pytest.fixture(scope="module", params=MODELS)
def alone(request, tmp_path_factory) -> tuple[Shell, list]:
    """A run on one process and one thread, and its options."""
    shell = shell_in(tmp_path_factory.mktemp("alone"))
    options = MODELS[request.param]
    ended = shell(*FOUR, *options, "--threads", 1)
    steps = [record for record in ended.records if record["event"] == "step"]
    assert len({step["characters"] for step in steps}) > 1  # some chunks are short
    assert (ended.records[0]["steps_per_epoch"] == 19) == (options[0] != "--accumulate")
    return shell, options


@pytest.mark.parametrize(("ranks", "threads"), [(1, 2), (2, 1), (3, 2), (4, 0)])
def test_weights_are_bit_identical(ranks, threads, alone, tmp_path):
    shell, options = alone
    job = shell_in(tmp_path)
    ended = mpiexec(job, ranks, *FOUR, *options, "--threads", threads)
    assert (ended.code, ended.err) == (0, "")
    assert results_of(tmp_path / "run") == results_of(shell.folder / "run")


@pytest.mark.parametrize("ranks", [2, 4])
def test_number_of_shards_does_not_depend_on_the_ranks(ranks, tmp_path):
    shell, job = (shell_in(tmp_path / name) for name in ("alone", "job"))
    assert shell(*SMALL).code == 0
    ended = mpiexec(job, ranks, *SMALL)
    assert ended.code == 0
    assert ("2 shards" in ended.err) == (ranks == 4)
    assert results_of(job.folder / "run") == results_of(shell.folder / "run")


def weights(shell: Shell) -> np.ndarray:
    return load(shell.folder / "run/last.npz").params.flat


# SGD, since Adam amplifies rounding differences where gradients are small.
ANY_ORDER = [*FOUR, "--any-order", "--optimizer", "sgd", "--lr", 0.3]


@pytest.fixture(scope="module")
def unordered(tmp_path_factory) -> Shell:
    """A folder with a run on one process."""
    shell = shell_in(tmp_path_factory.mktemp("any"))
    assert shell(*ANY_ORDER).code == 0
    return shell


@pytest.mark.parametrize("ranks", [3, 5])
def test_any_order_gives_the_same_weights_but_for_rounding(ranks, unordered, tmp_path):
    job = shell_in(tmp_path)
    assert mpiexec(job, ranks, *ANY_ORDER).code == 0
    np.testing.assert_allclose(weights(job), weights(unordered), rtol=1e-4, atol=1e-5)


def test_any_order_on_one_process_is_bit_identical(unordered, tmp_path):
    shell = shell_in(tmp_path)
    in_order = [word for word in ANY_ORDER if word != "--any-order"]
    assert shell(*in_order, "--in-order").code == 0
    assert weights(shell).tobytes() == weights(unordered).tobytes()
    ours, theirs = (results_of(each.folder / "run") for each in (shell, unordered))
    assert ours["history"] == theirs["history"]


OF_DOCUMENTS = {
    "a part held out": ["lines.txt", "--lines", "--min-count", 40, "--accumulate", 2],
    "own validation": ["lines.txt", "--lines", "--validation", "other.txt", "--cell", "gru"],
    "no validation": ["corpus.txt", "lines.txt", "--val-fraction", 0],
}


@pytest.mark.parametrize("kind", OF_DOCUMENTS)
def test_documents_and_texts_give_the_same_weights_on_any_ranks(kind, tmp_path):
    lines = "".join(f"{'abc'[n % 3] * (n % 11)} {n}\n" for n in range(150))
    results = []
    for ranks, threads in ((1, 1), (1, 2), (3, 1)):
        shell = shell_in(tmp_path / f"{ranks} ranks, {threads} threads")
        (shell.folder / "lines.txt").write_text(lines, encoding="utf-8")
        (shell.folder / "other.txt").write_text("aaa 1\nbé 2\n", encoding="utf-8")
        command = ["train", *OF_DOCUMENTS[kind], *FOUR[2:], "--threads", threads]
        ended = mpiexec(shell, ranks, *command) if ranks > 1 else shell(*command)
        assert ended.code == 0, ended.err
        results.append(results_of(shell.folder / "run"))
    assert results[1] == results[0]
    assert results[2] == results[0]
