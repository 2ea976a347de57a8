"""What both HTTP transports hold to: limits, deadlines, and the words for what they refuse."""

from __future__ import annotations

import errno
from urllib.parse import SplitResult, urlsplit

__all__ = [
    "CONNECT_SECONDS",
    "DNS_SECONDS",
    "MAX_BODY",
    "NO_SOCKETS",
    "no_socket_words",
    "origin",
    "redirect_words",
    "split_url",
]

CONNECT_SECONDS = 10.0
DNS_SECONDS = 300
MAX_BODY = 64 * 1024 * 1024  # bytes
NO_SOCKETS = frozenset((errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS))


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL that names a host, and no port that cannot be; None if it is none."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:  # brackets without an address, ports without a number
        return None


def redirect_words(url: str, status: int, location: str) -> str:
    """Why a redirect is not followed, and where it would have led."""
    target = split_url(location)
    path = location.partition("?")[0].partition("#")[0]
    to = f"the host {target.netloc.rpartition('@')[2]}" if target else path[:200] or "nowhere"
    return (
        f"{origin(url)} answers HTTP {status}, a redirect to {to}. Redirects are not followed, so that no "
        "key and no prompt goes where nobody sent it: give the right URL with --endpoint-url"
    )


def no_socket_words(words: str) -> str:
    """What is said when this machine, not the server, has no room for one more connection."""
    return f"this machine has no socket left for one more connection: {words}"
