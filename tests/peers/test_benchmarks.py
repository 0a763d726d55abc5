"""The benchmarks that compare with PyTorch run, on the smallest amount of work."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch: make test-peers")

ROOT = Path(__file__).parents[2]
SMALL = ("--only", "rnn 2x128")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("training", [*SMALL, "--avx2"]),
        ("breakdown", SMALL),
        ("products", SMALL),
        ("sampling", []),
        ("scoring", ["--characters", "5000"]),
        ("documents", []),
        ("vocabulary", []),
    ],
)
def test_a_benchmark_runs(name, options, tmp_path):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--results", str(tmp_path)]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert result["rows"]
    assert not result["missing"].get("torch")


@pytest.mark.parametrize(
    ("table", "file", "options"),
    [
        ("time-machine", "timemachine.txt", ["--hidden", "16"]),
        ("names", "names.txt", ["--random-seeds", "3"]),
        ("shakespeare", "tinyshakespeare.txt", ["--dropout", "0.1", "--threads", "1"]),
    ],
)
def test_a_published_table_is_remade(table, file, options, tmp_path):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcde"), size=size)) for size in rng.integers(3, 9, 2000)]
    (tmp_path / file).write_text("\n".join(words) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.reproduce", table, "--quick"]
    folders = ["--data", str(tmp_path), "--results", str(tmp_path)]
    done = subprocess.run(
        [*command, *folders, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / f"reproduce-{table}.json").read_text(encoding="utf-8"))
    assert len(result["rows"]) >= 3
    assert not result["missing"]
    assert "has SHA-256" in done.stderr
