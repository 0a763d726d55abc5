"""Who speaks when the processes of a job are killed and cannot."""

import subprocess
import sys
from contextlib import suppress

# Says the last line that it was given, once there will be no more; nothing if that is empty.
SPEAKS = """
import sys
line = ""
for line in sys.stdin:
    pass
sys.stderr.write(line.strip() and line)
"""


class Guardian:
    """A process that outlives this one.

    When one process of a job is killed, as systems do that run out of memory, mpiexec kills all
    others within milliseconds.

    Args:
        line: what it says to begin with, if this process ends.
    """

    def __init__(self, line: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SPEAKS],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a signal to the job's processes is not for this one
        )
        self.will_say(line)

    def will_say(self, line: str) -> None:
        """Have it say a line when this process ends; an empty one has it say nothing."""
        assert self._process.stdin
        with suppress(OSError):  # somebody ended it
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """End it."""
        self.will_say("")
        with suppress(OSError):
            self._process.communicate()
