"""Run `charlm` with something missing on one rank: rank_without.py WHAT RANK train ...

WHAT is a module that cannot be imported, `time` for a rank that starts late, or options that only
this rank has.
"""

import shlex
import signal
import sys
import time

from charlm.distributed import launcher

LATE = 30.0  # seconds

if __name__ == "__main__":
    _, what, rank, *arguments = sys.argv
    sys.argv[1:] = arguments
    if launcher.place().rank == int(rank):
        if what == "time":
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            time.sleep(LATE)
        elif what.startswith("-"):
            from tests.shell import overridden

            sys.argv = overridden(sys.argv, *shlex.split(what))
        else:
            sys.modules[what] = None  # type: ignore[assignment]
    from charlm.__main__ import main

    main()
