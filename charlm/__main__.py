"""The `charlm` command, also `python -m charlm`."""

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line, and exit with its exit code."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)
    from charlm.system.blas import set_up_blas

    set_up_blas()
    try:
        from charlm.cli.app import run
    except ImportError as error:
        sys.exit(f"charlm: {error}; install charlm with all that it needs: pip install charlm")
    sys.exit(run())


def _exit(number: int, frame: FrameType | None) -> None:
    """Exit with the code of a signal, after cleanup."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
