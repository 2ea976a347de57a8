"""A teacher that repeats the key it was sent, in every place where a server can say something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import orjson
from anyio.abc import SocketAttribute, SocketStream
from raw_teacher import read_request

__all__ = ["ANSWERS", "LISTS", "PAGES", "STREAMS", "Say", "echoing_teacher", "reply"]

Say: TypeAlias = Callable[[str], bytes]
"""A whole HTTP reply, made from the value of the ``Authorization`` header."""


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A reply as bytes."""
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def choices(**choice: object) -> bytes:
    """A reply with one choice."""
    return orjson.dumps({"choices": [{"index": 0, "finish_reason": "stop", **choice}]})


def error(key: str) -> bytes:
    """An error in OpenAI's form."""
    return orjson.dumps({"error": {"message": f"wrong key: {key}", "code": key, "param": key}})


def escaped(key: str) -> bytes:
    """The key as other encoders of JSON write it."""
    text = key.replace("/", "\\/").replace("+", "\\u002B").replace("=", "\\u003d")
    return b'{"choices": [{"text": "[a]you sent ' + text.encode() + b'[/a]"}]}'


def failing(status: str) -> Say:
    """An error of a status."""
    return lambda key: reply(error(key), status)


def event(body: bytes) -> bytes:
    """An event of a stream."""
    return b"data: " + body + b"\n\n"


STATUSES = (
    "400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "413 Too Large",
    "422 Unprocessable", "429 Too Many", "500 Broken", "503 Busy",
)  # fmt: skip
_PAGE = "<html><head><title>{0}</title></head><body>{0}</body></html>"

ANSWERS: dict[str, Say] = {
    **{f"error {status[:3]}": failing(status) for status in STATUSES},
    "detail": lambda key: reply(orjson.dumps({"detail": [{"msg": key, "input": key}]}), "422 No"),
    "plain text": lambda key: reply(f"wrong key {key}".encode(), "400 No"),
    "cut text": lambda key: reply(("x" * 485 + key).encode(), "400 No"),
    "page": lambda key: reply(_PAGE.format(key).encode(), "502 Bad Gateway", "Content-Type: text/html"),
    "page of 200": lambda key: reply(_PAGE.format(key).encode(), "200 OK", "Content-Type: text/html"),
    "not JSON": lambda key: reply(b'{"choices": ' + key.encode()),
    "no choices": lambda key: reply(orjson.dumps({"message": key})),
    "text": lambda key: reply(choices(text=f"[a]you sent {key}[/a]")),
    "escaped text": lambda key: reply(escaped(key)),
    "text elsewhere": lambda key: reply(choices(text="[a]fine[/a]", reasoning=key, logprobs=[key])),
    "finish reason": lambda key: reply(choices(text="nothing", finish_reason=key)),
    "name of a status": lambda key: reply(b"", f"500 {key}"),
    "name of a good status": lambda key: reply(choices(text="[a]fine[/a]"), f"200 {key}"),
    "header": lambda key: reply(error("-"), "400 No", f"X-Echo: {key}", f"Set-Cookie: k={key}"),
    "limits": lambda key: reply(error("-"), "429 No", f"X-RateLimit-Limit: {key}", f"Retry-After: {key}"),
    "encoding": lambda key: reply(b"x", "200 OK", f"Content-Encoding: {'x' * 85}{key}"),
    "bad status line": lambda key: f"HTTP/1.1 {key}\r\n\r\n".encode(),
    "no HTTP": lambda key: f"{key}\r\n\r\n".encode(),
    "bad header": lambda key: f"HTTP/1.1 200 OK\r\n{key}\r\n\r\n".encode(),
    "bad length": lambda key: f"HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n".encode(),
    "bad chunk": lambda key: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n".encode(),
    "redirect to a path": lambda key: reply(b"", "302 Found", f"Location: /login/{key}"),
    "redirect to a query": lambda key: reply(b"", "307 There", f"Location: http://h.invalid/?k={key}"),
    "redirect to a user": lambda key: reply(b"", "308 There", f"Location: http://{key.split()[1]}@h.invalid/"),
    "redirect to no URL": lambda key: reply(b"", "301 There", f"Location: http://[{key}"),
}  # fmt: skip
"""What can be said to a call."""

_SSE = "Content-Type: text/event-stream"
STREAMS: dict[str, Say] = {
    "pieces": lambda key: reply(
        b"".join(event(choices(text=piece)) for piece in f"[a]you sent {key}[/a]") + event(b"[DONE]"),
        "200 OK", _SSE,
    ),
    "error event": lambda key: reply(event(error(key)), "200 OK", _SSE),
    "no chunk": lambda key: reply(event(f"<html>{'x' * 180}{key}".encode()), "200 OK", _SSE),
    "cut off": lambda key: reply(event(choices(text=key, finish_reason=None)), "200 OK", _SSE),
}  # fmt: skip
"""What can be said to a call that asks for a stream."""

LISTS: dict[str, Say] = {
    **{f"error {status[:3]}": failing(status) for status in STATUSES},
    "name": lambda key: reply(orjson.dumps({"data": [{"id": f"model-{key}"}]})),
    "names": lambda key: reply(orjson.dumps({"data": [{"id": f"one-{key}"}, {"id": f"two-{key}"}]})),
    "owner": lambda key: reply(orjson.dumps({"data": [{"id": "m", "owned_by": key}]})),
    "server": lambda key: reply(orjson.dumps({"data": [{"id": "m"}]}), "200 OK", f"Server: {key}"),
    "no list": lambda key: reply(_PAGE.format(key).encode()),
    "redirect": lambda key: reply(b"", "302 Found", f"Location: /{key}"),
}
"""What can be said instead of a list of models."""

PAGES: dict[str, Say] = {
    "metrics": lambda key: reply(f'vllm:num_requests_running{{model_name="{key}"}} 0\n'.encode()),
    "version": lambda key: reply(orjson.dumps({"version": key})),
    "redirect": lambda key: reply(b"", "302 Found", f"Location: /{key}"),
}
"""What can be said on the pages beside the API, which are asked for without a key."""


@asynccontextmanager
async def echoing_teacher(
    answer: Say, models: Say | None = None, page: Say | None = None, *, tried: Say | None = None
) -> AsyncIterator[str]:
    """A teacher that repeats the key; gives the URL of its API.

    Args:
        answer: what it says to calls.
        models: to ``/models``; else it lists one model.
        page: to the pages beside the API; else there are none.
        tried: to the small calls of a preflight; else it answers them soundly.
    """
    keys = ["Bearer nobody-has-asked-yet"]

    def say(request: bytes) -> bytes:
        line, _, rest = request.partition(b"\r\n")
        for header in rest.partition(b"\r\n\r\n")[0].split(b"\r\n"):
            if header.lower().startswith(b"authorization: "):
                keys.append(header.partition(b": ")[2].decode())
        key = keys[-1]
        if line.startswith(b"POST"):
            small = b'"prompt":"test"' in rest
            return (tried or _sound)(key) if small else answer(key)
        if b"/models " in line:
            return (models or _one_model)(key)
        return page(key) if page is not None else reply(b"", "404 Not Found")

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                while True:
                    await stream.send(say(await read_request(stream)))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/v1"
        tasks.cancel_scope.cancel()


def _sound(_: str) -> bytes:
    return reply(orjson.dumps({"choices": [{"index": 0, "text": "x"}, {"index": 1, "text": "x"}]}))


def _one_model(_: str) -> bytes:
    return reply(orjson.dumps({"data": [{"id": "m", "owned_by": "vllm"}]}))
