"""`python -m charlm.experiments NAME …`: print tables, and save them with their pictures."""

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from charlm.errors import cause_of
from charlm.system.blas import set_up_blas

NAMES = {
    "vanishing": "how fast gradients vanish in backpropagation through time",
    "memory": "subject-verb agreement: the longest gap over which each cell remembers the subject",
    "exploding": "training with and without gradient-norm clipping",
    "cost": "parameters and step time of each cell",
    "sums": "addition as text, 12+345=357: sequence to sequence with a prompt",
    "authors": "authorship attribution with one model per author",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiments that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m charlm.experiments",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:10} {what}" for name, what in NAMES.items()),
    )
    parser.add_argument("names", nargs="+", choices=(*NAMES, "all"), metavar="NAME", help="or all")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/experiments"), help="output directory (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="run small versions that take seconds")
    arguments = parser.parse_args(argv)
    set_up_blas()
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot create the directory {arguments.out}: {cause_of(error)}")
    for name in NAMES if "all" in arguments.names else arguments.names:
        _run(name, arguments.out, quick=arguments.quick)


def _run(name: str, out: Path, *, quick: bool) -> None:
    """Run an experiment; write its table to stdout and NAME.md, its picture to NAME.svg."""
    started = time.perf_counter()
    print(f"{name}: {NAMES[name]} …", file=sys.stderr)
    module = import_module(f"charlm.experiments.{name}")
    report = module.run(quick=quick)
    print(report.markdown())
    parts = [
        f"# {NAMES[name].capitalize()}",
        f"`python -m charlm.experiments {name}{' --quick' * quick}`",
    ]
    parts += [str(module.__doc__).strip(), report.markdown()]
    try:
        report.picture.save(out / f"{name}.svg")
        parts += [f"![{report.picture.y} against {report.picture.x}]({name}.svg)\n"]
    except ImportError:
        print(
            "no picture; to draw it: pip install 'charlm[experiments]'",
            file=sys.stderr,
        )
    (out / f"{name}.md").write_text("\n\n".join(parts), encoding="utf-8")
    print(f"{out / name}.md, {time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
