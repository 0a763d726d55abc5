"""What all tests share: how processes end, and folders with a corpus or a trained run."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from charlm.system.blas import BLAS_THREADS
from tests.shell import QUICK, TEXT, Ended, Shell

# As the command does before NumPy loads: otherwise every trainer starts a process.
for _variable in BLAS_THREADS:
    os.environ.setdefault(_variable, "1")

pytest_plugins = ["tests.reliability"]

# Whoever runs the tests under nohup or in the background ignores signals that they send.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, _name):
        signal.signal(getattr(signal, _name), signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> Iterator[Path]:
    """Where encoded corpora are kept: not in the home of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE", str(folder))
        yield folder


@pytest.fixture
def charlm(tmp_path) -> Shell:
    """A folder with a corpus.txt, where training is short."""
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return Shell(tmp_path, **QUICK)


@pytest.fixture(scope="session")
def training(tmp_path_factory) -> tuple[Shell, Ended]:
    """A folder with a corpus.txt and the run corpus-1 on it, and what the training printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    shell = Shell(folder, **QUICK)
    return shell, shell("train", "corpus.txt", "--json")


@pytest.fixture(scope="session")
def trained(training) -> Shell:
    """That folder, for reading only."""
    return training[0]
