"""Reading a reply cheaply: did it succeed, how many tokens, and when did its text come.

The text itself is of no interest, so of a streamed reply only two things are decoded: its last events, for
the ``usage`` in them, and nothing of the others beyond a search for text that is not empty.
Format: the OpenAI API reference (``stream_options.include_usage``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from ..abc import CallShape, HttpReply
from ..errors import (
    AttemptError,
    AttemptTimeout,
    BadReply,
    ConnectFailed,
    RateLimited,
    RequestRefused,
    ServerFailed,
)
from ..teacher.wire import decode_reply, failure

__all__ = ["Arrivals", "Tokens", "error_kind", "read_reply"]

Tokens = tuple[int, int] | None
"""Prompt tokens and reply tokens; None when the server does not say."""

_TEXT = re.compile(rb'"(?:content|text|reasoning|reasoning_content)": ?"[^"]')
_LAST_EVENTS = 4  # usage, the end mark, and what a server may put between them
_KINDS: tuple[tuple[type[AttemptError], str], ...] = (
    (AttemptTimeout, "timeout"),
    (ConnectFailed, "connection"),
    (BadReply, "bad_reply"),
    (RateLimited, "rate_limited"),
    (ServerFailed, "server_error"),
    (RequestRefused, "refused"),
)


class Arrivals:
    """When the pieces of a streamed reply came; hand it to a backend as ``seen``.

    Attributes:
        first: when the first piece with text came; 0 if none has.
        last: when the last one came.
        pieces: how many texts have come.
    """

    __slots__ = ("_clock", "first", "last", "pieces")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.first = self.last = 0.0
        self.pieces = 0

    def __call__(self, piece: bytes, /) -> None:
        """Take a piece of the body, as it came."""
        found = len(_TEXT.findall(piece))
        if found:
            self.last = self._clock()
            self.first = self.first or self.last
            self.pieces += found


def read_reply(reply: HttpReply, shape: CallShape) -> Tokens:
    """The tokens of a reply, streamed or not.

    Raises:
        AttemptError: it is a failure, or no reply.
    """
    if reply.status != 200:
        raise failure(reply)
    if reply.body.startswith((b"data:", b":", b"event:", b"\xef\xbb\xbf")):
        return _read_stream(reply.body)
    return decode_reply(reply.body, shape).tokens


def error_kind(error: AttemptError) -> str:
    """A short stable word for a failure, with the status where there is one: ``server_error_500``."""
    word = next((word for kind, word in _KINDS if isinstance(error, kind)), "failed")
    return f"{word}_{error.status}" if error.status and error.status != 200 else word


def _read_stream(body: bytes) -> Tokens:
    """The tokens of a stream of events, from its end."""
    events = body.rstrip().replace(b"\r\n", b"\n").rsplit(b"\n\n", _LAST_EVENTS)
    tail = [event.partition(b"data:")[2].strip() for event in events[-_LAST_EVENTS:]]
    tokens: Tokens = None
    for data in tail:
        if data == b"[DONE]":
            return tokens
        chunk = _decoded(data)
        if chunk.get("error"):
            raise failure(HttpReply(_status(chunk), {}, data))
        tokens = _usage(chunk) or tokens
    if tokens:  # it comes last, so the reply is whole; the server of transformers sends no end mark
        return tokens
    raise BadReply("the streamed reply was cut off: it did not end with [DONE]", status=200)


def _decoded(data: bytes) -> dict[str, Any]:
    with suppress(orjson.JSONDecodeError):
        chunk = orjson.loads(data)
        if isinstance(chunk, dict):
            return chunk
    return {}


def _usage(chunk: dict[str, Any]) -> Tokens:
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        return None
    found = usage.get("prompt_tokens"), usage.get("completion_tokens")
    prompt, output = (count if isinstance(count, int) and count >= 0 else 0 for count in found)
    return (prompt, output) if output else None


def _status(chunk: dict[str, Any]) -> int:
    """The HTTP status that an error inside a stream amounts to; 500 unless it says so."""
    error = chunk["error"]
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and (code == 429 or 500 <= code <= 599) else 500
