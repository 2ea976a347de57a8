"""A server that answers at once and always the same, so that the client is what is measured.

    python bench/canned.py "It is a short reply."

Run as a script it prints its URL and serves until terminated; the argument is the reply. It knows
``/v1/models``, chat, and completions with one prompt or a list of them. It counts prompts and reads none.
"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache, partial
from typing import Any

import anyio
import orjson

MODEL = "simulated-teacher"
REPLY = "It is a short reply, always the same."


class Canned(asyncio.Protocol):
    """One connection; ``reply`` is what every choice says."""

    def __init__(self, reply: str) -> None:
        self._reply = reply

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, rest = self._data.partition(b"\r\n\r\n")
            _, found, length = head.lower().partition(b"content-length:")
            size = int(length.partition(b"\r\n")[0]) if found else 0
            if len(rest) < size:
                return
            self._data = rest[size:]
            self._transport.write(_answer(head, rest[:size], self._reply))


def _answer(head: bytes, body: bytes, reply: str) -> bytes:
    if head.startswith(b"POST /v1/chat/"):
        return _completion(reply, chat=True, count=1)
    if head.startswith(b"POST /v1/completions"):
        asked = orjson.loads(body)
        prompts = len(asked["prompt"]) if isinstance(asked["prompt"], list) else 1
        return _completion(reply, chat=False, count=prompts * (asked.get("n") or 1))
    if head.startswith(b"GET /v1/models"):
        return _http(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
    return _http(404, {"detail": "Not Found"})


@lru_cache
def _completion(reply: str, *, chat: bool, count: int) -> bytes:
    content: dict[str, Any] = (
        {"message": {"role": "assistant", "content": reply}} if chat else {"text": reply}
    )
    choices = [{"index": index, "finish_reason": "stop", **content} for index in range(count)]
    return _http(
        200,
        {
            "id": "canned-1",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1,
            "model": MODEL,
            "choices": choices,
            "usage": {"prompt_tokens": 400, "completion_tokens": 16, "total_tokens": 416},
        },
    )


def _http(status: int, body: Any) -> bytes:
    """A response as uvicorn would send it."""
    data = orjson.dumps(body)
    reason = {200: "OK", 404: "Not Found"}[status]
    head = f"HTTP/1.1 {status} {reason}\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\nserver: canned\r\n"
    return f"{head}content-length: {len(data)}\r\ncontent-type: application/json\r\n\r\n".encode() + data


async def _serve(reply: str) -> None:
    made = partial(Canned, reply)
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    anyio.run(_serve, sys.argv[1] if len(sys.argv) > 1 else REPLY, backend_options={"use_uvloop": True})
