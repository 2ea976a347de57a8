"""A program of its own that keeps a server: started by :mod:`.serve`, run by path, imports nothing of ours.

It runs a command in a process group of its own and holds on to a pipe from which nothing more comes. When
the pipe ends, because the run has ended in whatever way (SIGKILL included), the group gets SIGTERM, and after
a grace SIGKILL. When the command ends by itself, so does the supervisor, with the command's exit code.

Only at the start one line comes through it: a JSON list of what the log must not hold. What the command says
goes to standard output, which is the log, without it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

__all__ = ["main"]

NOT_STARTED = 127
_BEAT = 0.1  # seconds between looks at the command
_LEFT_BEHIND_SECONDS = 2.0  # for what a command that ended by itself leaves behind
_CHUNK = 65_536


def main(grace: float, command: list[str]) -> int:
    """Keep the command until it or standard input ends; its exit code, 128 and the signal if one ended it.

    Args:
        grace: seconds between SIGTERM and SIGKILL.
        command: what to run.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the pipe decides, and nothing else
    secrets = [secret.encode() for secret in json.loads(sys.stdin.buffer.readline() or b"[]")]
    said, log = os.pipe() if secrets else (-1, 1)
    try:
        # What runs is what the user typed: nothing is put together from data.
        child = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    except OSError as error:
        sys.stdout.write(f"cannot start {command[0]}: {error.strerror}\n")
        return NOT_STARTED
    copying = threading.Thread(target=_copy, args=(said, secrets), daemon=True)
    if secrets:
        os.close(log)
        copying.start()
    while child.poll() is None:
        if select.select([0], [], [], _BEAT)[0]:
            break
    _end_group(child, grace if child.poll() is None else _LEFT_BEHIND_SECONDS)
    code = child.wait()
    if secrets:
        copying.join(_LEFT_BEHIND_SECONDS)  # not for ever: who has left the group may hold the pipe
    return code if code >= 0 else 128 - code


def _copy(said: int, secrets: list[bytes]) -> None:
    """From a pipe to the log as it comes, without the secrets; what may be the beginning of one waits."""
    held = b""
    while data := os.read(said, _CHUNK):
        data = held + data
        for secret in secrets:
            data = data.replace(secret, b"[redacted]")
        begun = [n for secret in secrets for n in range(1, len(secret)) if data.endswith(secret[:n])]
        end = len(data) - max(begun, default=0)
        held = data[end:]
        with suppress(OSError):  # a full disk; the command must be able to go on talking
            os.write(1, data[:end])
    with suppress(OSError):
        os.write(1, held)


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
