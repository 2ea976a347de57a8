"""A program of its own that keeps a server: started by :mod:`.serve`, run by path, imports nothing of ours.

It runs a command in a process group of its own and holds on to a pipe from which nothing ever comes. When
the pipe ends, because the run has ended in whatever way (SIGKILL included), the group gets SIGTERM, and after
a grace SIGKILL. When the command ends by itself, so does the supervisor, with the command's exit code.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

__all__ = ["main"]

NOT_STARTED = 127
_BEAT = 0.1  # seconds between looks at the command
_LEFT_BEHIND_SECONDS = 2.0  # for what a command that ended by itself leaves behind


def main(grace: float, command: list[str]) -> int:
    """Keep the command until it or standard input ends; its exit code, 128 and the signal if one ended it.

    Args:
        grace: seconds between SIGTERM and SIGKILL.
        command: what to run.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the pipe decides, and nothing else
    try:
        # What runs is what the user typed: nothing is put together from data.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    except OSError as error:
        sys.stdout.write(f"cannot start {command[0]}: {error.strerror}\n")
        return NOT_STARTED
    while child.poll() is None:
        if select.select([0], [], [], _BEAT)[0]:
            break
    _end_group(child, grace if child.poll() is None else _LEFT_BEHIND_SECONDS)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_group(child: subprocess.Popen[bytes], grace: float) -> None:
    """Ask every process of the group to end, and end what is left after the grace."""
    until = time.monotonic() + grace
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        while time.monotonic() < until:
            child.poll()  # a child that nobody looks at stays in its group
            os.killpg(child.pid, 0)
            time.sleep(_BEAT / 2)
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
