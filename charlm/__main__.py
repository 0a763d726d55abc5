"""The `charlm` command, also `python -m charlm`."""

import sys

from charlm.cli.blas import set_up_blas


def main() -> None:
    """Run the command line and exit with its code."""
    set_up_blas()
    from charlm.cli.app import run

    sys.exit(run())


if __name__ == "__main__":
    main()
