"""Try a field: `python -m benchmarks.fields NAME --data PATH`."""

import sys
from importlib import import_module

FIELDS = ("names", "molecules", "domains", "reading-times", "tunes")


def main() -> None:
    """Run the field that is named first."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in FIELDS:
        raise SystemExit(f"usage: python -m benchmarks.fields {{{','.join(FIELDS)}}} --data PATH")
    from charlm.system.blas import set_up_blas

    set_up_blas()  # as the command does, before NumPy loads
    import_module(f"benchmarks.fields.{name.replace('-', '_')}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
