"""A program: a server that costs next to nothing, faster than any client in Python.

Each request gets the same bytes at once, streamed ones as a stream. It says its port on standard output.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

USAGE = b'"usage": {"prompt_tokens": 128, "completion_tokens": 2}'
WHOLE = b'{"choices": [{"index": 0, "text": "a b", "finish_reason": "stop"}], %b}' % USAGE
STREAM = (
    b'data: {"choices": [{"index": 0, "text": "a", "finish_reason": null}]}\n\n'
    b'data: {"choices": [{"index": 0, "text": " b", "finish_reason": "stop"}]}\n\n'
    b'data: {"choices": [], %b}\n\ndata: [DONE]\n\n' % USAGE
)
MODELS = b'{"object": "list", "data": [{"id": "canned"}]}'


def reply(body: bytes, kind: bytes = b"application/json") -> bytes:
    """A whole HTTP reply."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


REPLIES = {
    b"GET": reply(MODELS),
    b"stream": reply(STREAM, b"text/event-stream"),
    b"whole": reply(WHOLE),
    b"none": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
}


class Canned(asyncio.Protocol):
    """Answers as soon as a request is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request of which the last byte has come."""
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self._rest) < end + 4 + size:
                return
            body, self._rest = self._rest[end + 4 : end + 4 + size], self._rest[end + 4 + size :]
            if head.startswith(b"get"):
                self._transport.write(REPLIES[b"GET" if b"/models" in head else b"none"])
            else:
                self._transport.write(REPLIES[b"stream" if b'"stream":true' in body else b"whole"])


async def serve() -> None:
    """Serve until stopped."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
