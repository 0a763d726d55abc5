"""`python -m charlm.experiments NAME`: print an experiment's table and draw its picture."""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from charlm.cli.blas import set_up_blas

NAMES = {
    "vanishing": "how fast gradients vanish on their way back",
    "memory": "the cat that was, the cats that were: over how long a gap each cell keeps it",
    "exploding": "training with and without clipping",
    "cost": "parameters, and the time of a step, of each cell",
    "sums": "12+345=357 as text: sequence to sequence through a prompt",
    "authors": "a text goes to the model that finds it least surprising",
}


def main() -> None:
    """Run the experiment that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m charlm.experiments",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:10} {what}" for name, what in NAMES.items()),
    )
    parser.add_argument("name", choices=NAMES, metavar="NAME", help="one of those below")
    parser.add_argument("--out", type=Path, default=Path(), help="where the picture goes")
    parser.add_argument("--quick", action="store_true", help="a smaller version, in seconds")
    arguments = parser.parse_args()
    set_up_blas()
    started = time.perf_counter()
    report = import_module(f"charlm.experiments.{arguments.name}").run(quick=arguments.quick)
    print(report.markdown())
    path = arguments.out / f"{arguments.name}.svg"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        report.picture.save(path)
        print(f"picture: {path}", file=sys.stderr)
    except ImportError:
        print("no picture: pip install 'charlm[experiments]' brings matplotlib", file=sys.stderr)
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
