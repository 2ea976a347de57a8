"""Servers on 127.0.0.1 that answer as a test wants."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from aiohttp import web
from aiohttp.web_request import BaseRequest
from anyio.abc import SocketAttribute, SocketStream

Handler = Callable[[BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def http_server(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An HTTP server; gives its origin, ``http://127.0.0.1:PORT`` or the same with https."""
    runner = web.ServerRunner(web.Server(handler), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port = runner.addresses[0][1]
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(handler: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A TCP server whose handler reads and writes bytes; gives ``http://127.0.0.1:PORT``."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await handler(stream)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()
