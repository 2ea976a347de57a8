"""Streamed replies: server-sent events, paced by the sequence's time in its slot."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
from aiohttp import web
from aiohttp.web_request import BaseRequest

from .misbehave import SERVER, cut_off
from .payloads import DONE
from .scheduler import Sequence
from .settings import Fault

__all__ = ["Stream"]

_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "Server": SERVER}


class Stream:
    """One streamed reply, with all its choices.

    Args:
        request: to answer.
        fault: ``truncated`` cuts each choice halfway, ``no_done`` leaves out the end mark.
    """

    def __init__(self, request: BaseRequest, fault: Fault | None) -> None:
        self._response = web.StreamResponse(headers=_HEADERS)
        self._request = request
        self._fault = fault.kind if fault else None

    async def open(self) -> None:
        """Send the headers."""
        await self._response.prepare(self._request)

    async def send_all(self, events: Iterator[bytes]) -> None:
        """Send a choice's events at once."""
        kept = self._kept(events)
        if kept:
            await self._write(b"".join(kept))

    async def send_paced(self, events: Iterator[bytes], sequence: Sequence) -> None:
        """Send a choice's events, evenly spread from its first token to its end."""
        kept = self._kept(events)
        started = anyio.Event()
        sequence.on_start = started.set
        if not sequence.finish_at:
            await started.wait()
        step = (sequence.finish_at - sequence.first_token_at) / len(kept)
        delay = sequence.first_token_at - sequence.start_at
        start = anyio.current_time() + delay
        for number, piece in enumerate(kept, 1):
            await anyio.sleep_until(start + number * step)
            await self._write(piece)

    async def close(self, last: bytes) -> web.StreamResponse:
        """Send what comes after all choices, and the end mark."""
        if self._fault == "truncated":
            cut_off(self._request)
        else:
            await self._write(last + (b"" if self._fault == "no_done" else DONE))
        return self._response

    async def _write(self, piece: bytes) -> None:
        try:
            await self._response.write(piece)
        except ConnectionError:
            await anyio.sleep_forever()  # the client went away, and the request is about to be cancelled

    def _kept(self, events: Iterator[bytes]) -> list[bytes]:
        found = list(events)
        return found[: max(1, len(found) // 2)] if self._fault == "truncated" else found
