"""Run benchmarks one after another: `python -m benchmarks [NAME …] [--quick]`."""

import argparse
from importlib import import_module
from pathlib import Path

from benchmarks.harness import RESULTS

NAMES = (
    "training",
    "breakdown",
    "sampling",
    "scoring",
    "documents",
    "vocabulary",
    "startup",
    "memory",
    "growth",
)
LONG = ("products", "systems")  # only if named


def main() -> None:
    """Run all benchmarks, or those named, in the order of the list."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*NAMES, *LONG]))
    parser.add_argument("--quick", action="store_true", help="check that they run")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - {*NAMES, *LONG})
    if unknown:
        choices = ", ".join([*NAMES, *LONG])
        parser.error(f"unknown benchmark: {', '.join(unknown)}; choose from {choices}")
    arguments = ["--results", str(options.results), *(["--quick"] if options.quick else [])]
    for name in [*NAMES, *LONG]:
        if name in options.names or not (options.names or name in LONG):
            import_module(f"benchmarks.{name}").main(arguments)


if __name__ == "__main__":
    main()
