"""Keys and passwords, taken out of whatever a server says before anybody reads it.

Servers, and proxies in front of them, repeat what they were sent: in error messages, in debug pages, in a
reply that echoes its headers. What they say goes into rows, rejects, reports and logs, so it is looked
through where it comes in, and nowhere else. A body without the longest plain part of a secret costs one
search.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote
from urllib.request import getproxies

from ..abc import Backend, HttpReply
from ..errors import AttemptError, TeacherUnusable
from .transport import split_url

__all__ = ["Secrets", "proxy_secrets", "redacting", "without"]

REDACTED = "[redacted]"
SHORTEST = 8  # characters
LONGEST_WORD = 15  # characters
_PLAIN = re.compile(r"[0-9A-Za-z]+")


class Secrets:
    """Finds secrets as they are, quoted for URLs, and escaped for JSON or HTML.

    What is short or a mere word ("EMPTY", "none", "password") guards nothing, and rows may well hold it: that
    is not looked for.

    Attributes:
        looked_for: those that are.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.looked_for = [secret for secret in dict.fromkeys(secrets) if _guards(secret)]
        self._patterns = [
            (core, core.encode(), re.compile(pattern), re.compile(pattern.encode()))
            for core, pattern in ((_core(secret), _pattern(secret)) for secret in self.looked_for)
        ]

    def out_of_body(self, body: bytes) -> bytes:
        """A reply's body without them; the same object if there is none in it."""
        for _, core, _, pattern in self._patterns:
            if core in body:
                body = pattern.sub(REDACTED.encode(), body)
        return body

    def out_of(self, words: str) -> str:
        """Words without them, and without the beginning of one that is cut off."""
        for core, _, pattern, _ in self._patterns:
            if core in words:
                words = pattern.sub(REDACTED, words)
        for secret in self.looked_for:
            words = _without_beginnings(words, secret)
        return words


class _RedactingBackend:
    """A backend whose replies and errors hold no secrets."""

    def __init__(self, backend: Backend, secrets: Secrets) -> None:
        self._backend = backend
        self._secrets = secrets

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """One request, and what the server says to it, looked through."""
        try:
            reply = await self._backend.send(method, url, body, headers=headers, timeout=timeout)
        except AttemptError as error:
            error.message = self._secrets.out_of(error.message)
            error.args = (error.message,)
            raise
        except TeacherUnusable as error:
            error.args = (self._secrets.out_of(str(error)),)
            raise
        reply.body = self._secrets.out_of_body(reply.body)
        return reply

    async def aclose(self) -> None:
        """Close all connections."""
        await self._backend.aclose()


def without(words: str, secrets: Iterable[str]) -> str:
    """Words to be shown, which nothing depends on, without any of the secrets, the shortest included."""
    for secret in filter(None, secrets):
        words = words.replace(secret, REDACTED)
    return words


def redacting(backend: Backend, secrets: Sequence[str]) -> Backend:
    """The backend, with its servers' words looked through if there is anything to look for."""
    return _RedactingBackend(backend, Secrets(secrets)) if any(secrets) else backend


def proxy_secrets(proxy: str | None) -> tuple[str, ...]:
    """What is secret in a proxy's URL, or, for ``auto``, in those of the environment."""
    urls = getproxies().values() if proxy == "auto" else (proxy or "",)
    return tuple(secret for url in urls for secret in _of_url(url))


def _of_url(url: str) -> Iterator[str]:
    """A URL's user and password as written, the password alone, and the header that they become."""
    parts = split_url(url)
    userinfo = "" if parts is None else parts.netloc.rpartition("@")[0]
    if not userinfo:
        return
    plain = unquote(userinfo)
    yield userinfo
    yield plain
    yield plain.partition(":")[2]
    yield base64.b64encode(plain.encode()).decode().rstrip("=")


def _guards(secret: str) -> bool:
    return len(secret) > LONGEST_WORD or (len(secret) >= SHORTEST and not secret.isalpha())


def _core(secret: str) -> str:
    """The longest part of a secret that no quoting changes."""
    return max(_PLAIN.findall(secret), key=len, default="")


def _pattern(secret: str) -> str:
    """A regular expression for a secret, each of its characters quoted or not."""
    return "".join(char if _PLAIN.fullmatch(char) else _any_form(char) for char in secret)


def _any_form(char: str) -> str:
    code = ord(char)
    percent = "".join(f"%{byte:02x}" for byte in char.encode())
    numbered = rf"(?i:{percent}|\\u{code:04x}|&\#{code};|&\#x0*{code:x};)"
    return rf"(?:\\?{re.escape(char)}|{numbered})"


def _without_beginnings(words: str, secret: str) -> str:
    """Words in which as much of a secret as is there, from its beginning on, is replaced."""
    head, at = secret[:SHORTEST], 0
    while (at := words.find(head, at)) >= 0:
        end = at + len(head)
        while end < len(words) and end - at < len(secret) and words[end] == secret[end - at]:
            end += 1
        words = words[:at] + REDACTED + words[end:]
        at += len(REDACTED)
    return words
