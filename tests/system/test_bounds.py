"""A huge number as an option of `charlm train` is refused or has no effect, in little memory."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from charlm.config import ModelConfig, TrainConfig
from tests.shell import Shell

SPACE = 3 << 29  # bytes of address space, most of which are mapped and never used
LARGEST = 96 << 20  # bytes of memory, with the interpreter and the libraries
SECONDS = 5.0  # of a processor, on a slow machine

NUMBERS = [
    "threads",
    *(f.name for f in fields(ModelConfig) + fields(TrainConfig) if type(f.default) is int),
]

PROGRAM = """
import io, json, resource, sys, time
from contextlib import redirect_stderr
from charlm.system.blas import set_up_blas
set_up_blas()
from charlm.cli.app import run
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (size, size))
ends = {}
for option in sys.argv[2:]:
    sys.argv = ["charlm", "train", "corpus.txt", "--quiet", "--force", "--out", "run"]
    sys.argv += ["--hidden", "4", "--steps", "1", *option.split()]
    started = time.process_time()
    with redirect_stderr(io.StringIO()) as err:
        code = run()
    ends[option] = code, err.getvalue(), time.process_time() - started
# unlike `ru_maxrss`, without the memory of the process that started this one
(largest,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([ends, int(largest.split()[1]) * 1024]))
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="peak memory is read from /proc",
)
def test_huge_number_takes_neither_memory_nor_time(charlm: Shell):
    options = [
        f"--{name.replace('_', '-')} {number}"
        for name in NUMBERS
        for number in (10**9, 2**63 - 1, "1" + "0" * 5000)
    ]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(SPACE), *options],
        cwd=charlm.folder,
        env=charlm.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    ends, largest = json.loads(ended.stdout)
    assert largest < LARGEST
    for option, (code, err, seconds) in ends.items():
        lines = err.splitlines()
        assert (len(lines), code in (1, 2)) == (code > 0, code > 0), (option, err)
        assert all(line.startswith("charlm: ") and len(line) < 400 for line in lines), (option, err)
        assert "out of memory" not in err, option
        assert seconds < SECONDS, option
    refused = {option for option, (code, _, _) in ends.items() if code}
    for name in ("hidden", "layers", "head-layers", "embedding", "accumulate"):
        assert f"--{name} {10**9}" in refused
