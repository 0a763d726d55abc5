"""Remake published tables: `python -m benchmarks.reproduce [NAME …] --data DIR`.

Each table has a process of its own, with BLAS set up as by the command. The one that compares with
PyTorch has not: its processes set up BLAS themselves, and PyTorch's keeps its defaults.
"""

import os
import subprocess
import sys
from itertools import takewhile

from charlm.system.blas import set_up_blas

TABLES = ("time-machine", "names", "shakespeare")
COMPARED = "shakespeare"


def main() -> None:
    """Remake all tables, or those named first; the other arguments are their options."""
    arguments = sys.argv[1:]
    names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    options = arguments[len(names) :]
    if not options or not set(names) <= set(TABLES):
        choices = "|".join(TABLES)
        raise SystemExit(f"usage: python -m benchmarks.reproduce [{choices} ...] --data DIR")
    defaults = dict(os.environ)
    set_up_blas()
    for name in names or TABLES:
        module = f"benchmarks.reproduce.{name.replace('-', '_')}"
        environment = defaults if name == COMPARED else dict(os.environ)
        ended = subprocess.run([sys.executable, "-m", module, *options], env=environment)
        if ended.returncode:
            raise SystemExit(ended.returncode)


if __name__ == "__main__":
    main()
