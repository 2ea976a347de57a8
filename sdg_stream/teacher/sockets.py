"""Sockets for calls that take minutes: kept alive while nothing is sent, and enough of them.

Load balancers and NAT drop connections on which nothing moves (after 120 to 350 s in the large clouds)
without telling either side, and a call that is being answered moves nothing. So TCP is told to probe. A
server whose machine has gone is noticed by the same probes.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from aiohttp import AddrInfoType

__all__ = ["ensure_sockets", "kept_alive", "most_sockets"]

IDLE_SECONDS = 60  # of silence before the first probe
INTERVAL_SECONDS = 30  # between probes
UNANSWERED_MS = 60_000  # after which the peer is taken for gone: 90 s after its last word
SPARE_FILES = 32  # beside what is open now and the calls: output, journal, name look-ups

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("TCP_KEEPIDLE", IDLE_SECONDS),
    ("TCP_KEEPALIVE", IDLE_SECONDS),  # its name on macOS
    ("TCP_KEEPINTVL", INTERVAL_SECONDS),
    ("TCP_USER_TIMEOUT", UNANSWERED_MS),
)


def kept_alive(address: AddrInfoType) -> socket.socket:
    """A TCP socket with keepalive probes, as far as the platform has them; for aiohttp's connector."""
    family, kind, protocol, _, _ = address
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS:
            option = getattr(socket, name, None)
            if option is not None:
                found.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        found.close()
        raise
    return found


def ensure_sockets(wanted: int) -> None:
    """See to it that this process may have ``wanted`` connections open, by raising its soft limit on files.

    Raises:
        ConfigError: the hard limit is below that.
    """
    most = most_sockets()
    if most is not None and wanted > most:
        raise ConfigError(
            f"{wanted} calls in flight need as many connections, and this process may open {max(most, 0)}: "
            f"use --concurrency {max(most, 1)}, or allow more open files (ulimit -Hn)"
        )
    limits = _limits()
    if limits is not None and limits[0] - _reserve() < wanted:
        _raise_to(wanted + _reserve(), limits[1])


def most_sockets() -> int | None:
    """How many connections this process may have beside what it has open; None when nothing limits it."""
    limits = _limits()
    return None if limits is None or limits[1] < 0 else limits[1] - _reserve()


def _limits() -> tuple[int, int] | None:
    """Soft and hard limit on open files, -1 for none; None where there are no such limits."""
    if sys.platform == "win32":
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    if soft == infinite:
        return None
    return soft, -1 if hard == infinite else hard


def _raise_to(files: int, hard: int) -> None:
    if sys.platform == "win32":
        return
    limit = resource.RLIM_INFINITY if hard < 0 else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, limit))
    except (OSError, ValueError) as error:  # macOS has a limit of its own below an infinite one
        raise ConfigError(
            f"cannot raise the limit on open files to {files}: {error}; use a smaller --concurrency"
        ) from error


def _reserve() -> int:
    return _open_files() + SPARE_FILES


def _open_files() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return sum(1 for _ in Path(folder).iterdir())
    return 0
