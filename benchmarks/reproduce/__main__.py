"""Remake published tables: `python -m benchmarks.reproduce [NAME …] --data DIR`."""

import sys
from importlib import import_module
from itertools import takewhile

TABLES = ("time-machine", "names", "shakespeare")


def main() -> None:
    """Remake all tables, or those named first; the other arguments are their options."""
    arguments = sys.argv[1:]
    names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    options = arguments[len(names) :]
    if not options or not set(names) <= set(TABLES):
        raise SystemExit(f"usage: python -m benchmarks.reproduce [{'|'.join(TABLES)}] --data DIR")
    from charlm.system.blas import set_up_blas

    set_up_blas()  # as the command does, before NumPy loads
    for name in TABLES:
        if name in names or not names:
            module = import_module(f"benchmarks.reproduce.{name.replace('-', '_')}")
            module.main(options)


if __name__ == "__main__":
    main()
