"""`python -m charlm.experiments NAME …`: print an experiment's table, keep it with its picture."""

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from charlm.system.blas import set_up_blas

NAMES = {
    "vanishing": "how fast gradients vanish on their way back",
    "memory": "the cat that was, the cats that were: over how long a gap each cell keeps it",
    "exploding": "training with and without clipping",
    "cost": "parameters, and the time of a step, of each cell",
    "sums": "12+345=357 as text: sequence to sequence through a prompt",
    "authors": "a text goes to the model that finds it least surprising",
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
        "--out", type=Path, default=Path("runs/experiments"), help="where tables and pictures go"
    )
    parser.add_argument("--quick", action="store_true", help="smaller versions, in seconds")
    arguments = parser.parse_args(argv)
    set_up_blas()
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot make the directory {arguments.out}: {error.strerror}")
    for name in NAMES if "all" in arguments.names else arguments.names:
        _run(name, arguments.out, quick=arguments.quick)


def _run(name: str, out: Path, *, quick: bool) -> None:
    """Run one: its table goes to stdout and NAME.md, its picture to NAME.svg."""
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
        print("no picture: pip install 'charlm[experiments]' brings matplotlib", file=sys.stderr)
    (out / f"{name}.md").write_text("\n\n".join(parts), encoding="utf-8")
    print(f"{out / name}.md, {time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
