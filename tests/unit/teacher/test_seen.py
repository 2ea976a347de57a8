"""Both transports tell the pieces of a streamed reply as they come."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from aiohttp import web
from aiohttp.web_request import BaseRequest
from loopback import http_server

from sdg_stream.teacher.http import AiohttpBackend
from sdg_stream.teacher.lean import LeanBackend

pytestmark = pytest.mark.anyio

EVENTS = (
    b'data: {"choices": [{"index": 0, "text": "a", "finish_reason": null}]}\n\n',
    b'data: {"choices": [{"index": 0, "text": "b", "finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.mark.parametrize("make", [LeanBackend, AiohttpBackend])
async def test_pieces_are_told_before_the_reply_is_whole(
    make: Callable[[], LeanBackend | AiohttpBackend],
) -> None:
    """The next event is sent only when the first has been told; without a listener all is well."""
    told = anyio.Event()
    wait = True

    async def stream(request: BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in EVENTS:
            await response.write(event)
            if wait:
                with anyio.fail_after(5):
                    await told.wait()
        return response

    pieces: list[bytes] = []

    def seen(piece: bytes) -> None:
        pieces.append(piece)
        told.set()

    async with http_server(stream) as origin:
        backend = make()
        try:
            url = f"{origin}/v1/completions"
            reply = await backend.send("POST", url, b"{}", headers={}, timeout=10, seen=seen)
            assert reply.status == 200
            assert b"".join(pieces) == b"".join(EVENTS)
            assert len(pieces) > 1
            wait = False
            count = len(pieces)
            assert (await backend.send("POST", url, b"{}", headers={}, timeout=10)).status == 200
            assert len(pieces) == count
        finally:
            await backend.aclose()
