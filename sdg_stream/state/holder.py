"""Who uses a run directory, as far as its lock file tells; nothing here touches the lock itself."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import orjson

__all__ = ["Holder", "Use", "parse_holder", "use_of"]

Use: TypeAlias = Literal["yes", "no", "unknown"]
"""Whether a process uses a run directory now; of another machine's process nobody knows."""

_LOCKS = Path("/proc/locks")


class Holder(msgspec.Struct, frozen=True):
    """Who took the lock last; ``since`` in seconds of the Unix epoch."""

    process: int
    host: str
    since: float

    def __str__(self) -> str:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.process} on {self.host}, since {began}"


def parse_holder(text: bytes) -> Holder | None:
    """What a lock file says; None if it says nothing."""
    try:
        process, host, since = orjson.loads(text)
        time.localtime(since)  # a moment that can be told
        return Holder(int(process), str(host), float(since))
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def use_of(lock: Path) -> tuple[Holder | None, Use]:
    """Who took the lock last, and whether that one still has it."""
    try:
        holder = parse_holder(lock.read_bytes())
    except OSError:
        holder = None
    if holder is None:
        return None, "no"
    if holder.host != socket.gethostname() or sys.platform == "win32":
        return holder, "unknown"
    return holder, "yes" if holder.process > 0 and _has_a_lock(holder.process) else "no"


def _has_a_lock(process: int) -> bool:
    """Linux lists all locks with their processes; elsewhere a live process of that number is taken for it."""
    try:
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return _is_alive(process)
    return any("FLOCK" in (words := line.split()) and str(process) in words[4:5] for line in lines)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:
        return False
    return True
