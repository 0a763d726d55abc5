"""The benchmarks that compare with PyTorch run, on the smallest amount of work."""

import json
import subprocess
import sys
from pathlib import Path

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
