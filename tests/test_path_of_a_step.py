"""The path of a step, from the command to the matrix product, as docs/design.md lists it."""

import re
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.__main__ import main
from tests.shell import TEXT

PACKAGE = Path(charlm.__file__).parent
DESIGN = PACKAGE.parent / "docs" / "design.md"
LONGEST = 15


@pytest.fixture
def path(tmp_path, monkeypatch) -> list[str]:
    """The frames of charlm above a matrix product of the first training step."""
    found: list[list[str]] = []
    matmul = np.matmul

    def watched(*arguments: object, **options: object) -> object:
        stack = traceback.extract_stack()[:-1]
        ours = [f for f in stack if Path(f.filename).is_relative_to(PACKAGE)]
        names = [f"{Path(f.filename).relative_to(PACKAGE)}: {f.name}" for f in ours]
        if not found and "training/trainer.py: step" in names:
            found.append(names)
        return matmul(*arguments, **options)

    monkeypatch.setattr(np, "matmul", watched)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT)
    command = "charlm train corpus.txt --hidden 8 --embedding 0 --steps 2 --threads 1 --quiet"
    monkeypatch.setattr(sys, "argv", command.split())
    handlers = {
        name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
    assert not ended.value.code
    return found[0]


def test_path_is_short_and_the_one_in_the_design(path):
    assert len(path) <= LONGEST
    listed = re.findall(r"^\d+\. `(\S+: \w+)`", DESIGN.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == path
