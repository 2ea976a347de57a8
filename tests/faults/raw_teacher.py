"""A teacher on bare sockets, for faults that no HTTP server would make, and runs against any teacher."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, SocketStream
from canary import CANARY

import sdg_stream as sdg
from sdg_stream.abc import CallShape, Request
from sdg_stream.events import RunReport
from sdg_stream.teacher.breaker import Breaker
from sdg_stream.teacher.client import TeacherClient
from sdg_stream.teacher.connect import Transport, authorization, make_backend
from sdg_stream.teacher.controller import Fixed
from sdg_stream.teacher.retry import RetryPolicy
from sdg_stream.teacher.routing import Endpoint

SHAPE = CallShape.make("completions", {"model": "m", "max_tokens": 9})
FINE = b'HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n{"choices":[{"text":"fine"}]}'
NONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
MODELS = b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"data":[{"id":"m"}]}'

PROMPT = """
system: ""
introduction: Answer.
principles: ""
examples: ""
generation: "{{question}}"
start_tags: ["[a]"]
end_tags: ["[/a]"]
"""
PIPELINE = """
version: "1.0"
blocks:
  - {name: ask, type: LLMBlock, config: {config_path: ask.yaml, output_cols: [a]}}
"""

Answer = Callable[[SocketStream, bytes], Awaitable[bool]]
"""Answers a request; says whether the connection stays."""


async def read_request(stream: SocketStream) -> bytes:
    """The next whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += await stream.receive()
    return head + b"\r\n\r\n" + body


@asynccontextmanager
async def raw_teacher(answer: Answer) -> AsyncIterator[str]:
    """A server that lists one model and hands every POST to ``answer``; gives the URL of its API."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                stays = True
                while stays:
                    request = await read_request(stream)
                    if request.startswith(b"POST"):
                        stays = await answer(stream, request)
                    else:
                        await stream.send(MODELS if b"/models" in request else NONE)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/v1"
        tasks.cancel_scope.cancel()


def reset_on_close(stream: SocketStream) -> None:
    """Closing will send RST instead of FIN."""
    linger = (1).to_bytes(4, "little") + bytes(4)
    stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def client_of(
    url: str, transport: Transport, *, attempts: int = 3, timeout: float = 20.0, slots: int = 8
) -> AsyncIterator[TeacherClient]:
    """A client without preflight that does not pause between attempts."""
    headers, secrets = authorization(CANARY)
    client = TeacherClient(
        make_backend(transport, [url]),
        [Endpoint(url)],
        model="m",
        controller=Fixed(slots),
        policy=RetryPolicy(max_attempts=attempts, timeout=timeout, first_delay=0.0),
        breaker=Breaker(max_outage=20.0, first_probe=0.01, longest_probe=0.05),
        headers=headers,
        secrets=secrets,
    )
    try:
        yield client
    finally:
        await client.aclose()


async def ask(teacher: sdg.Teacher, prompt: str = "question") -> str:
    """One call's text."""
    completion = await teacher.complete(Request(SHAPE, prompt))
    return completion.choices[0].text


async def run_rows(folder: Path, teacher: sdg.Teacher, count: int) -> RunReport:
    """A run of so many rows ("question 0", ...) through one LLMBlock whose replies are ``[a]...[/a]``."""
    (folder / "ask.yaml").write_text(PROMPT, encoding="utf-8")
    (folder / "pipeline.yaml").write_text(PIPELINE, encoding="utf-8")
    rows = [{"question": f"question {number}."} for number in range(count)]
    return await sdg.Pipeline.load(folder / "pipeline.yaml").run(rows, folder / "out.jsonl", teacher)
