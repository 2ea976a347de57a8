"""What both HTTP transports hold to: limits, deadlines, proxies, and the words for what they refuse."""

from __future__ import annotations

import errno
import os
import ssl
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = [
    "CONNECT_SECONDS",
    "DNS_SECONDS",
    "MAX_BODY",
    "NO_SOCKETS",
    "no_socket_words",
    "origin",
    "proxy_for",
    "redirect_words",
    "split_url",
    "words_of",
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


def proxy_for(url: str, proxy: str | None) -> str | None:
    """The proxy that requests to a URL go through.

    ``auto`` reads what the system says (``HTTPS_PROXY``, ``NO_PROXY``, ...), and nothing else does.
    """
    if proxy != "auto":
        return proxy
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    found = getproxies()
    return found.get(parts.scheme) or found.get("all")


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


def words_of(error: BaseException) -> str:
    """What an error of the operating system or of TLS says; event loops put addresses into the former's."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(number)
    if isinstance(error, ConnectionError) and not error.args:
        return "the server hung up"  # what event loops raise without a word: in the middle of a handshake
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
