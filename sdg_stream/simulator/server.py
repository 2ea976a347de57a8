"""Runs a simulated teacher on a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
from aiohttp import web
from aiohttp.web_request import BaseRequest

from .call_log import CallLog
from .service import Service
from .settings import SimulatorSettings
from .stats import SimulatorStats

__all__ = ["SimulatorServer", "banner", "serve", "serve_forever"]

_BACKLOG = 4096  # a client may open all its connections at once
_SHUTDOWN_SECONDS = 0.1  # aiohttp reads 0 as "for ever"


class SimulatorServer:
    """A running simulated teacher. ``origin`` is http://HOST:PORT, ``url`` the base of its API under it."""

    def __init__(self, service: Service, origin: str) -> None:
        self._service = service
        self.origin = origin
        self.url = f"{origin}/v1"

    def __repr__(self) -> str:
        return f"<SimulatorServer {self.url}>"

    @property
    def settings(self) -> SimulatorSettings:
        """What this teacher is like."""
        return self._service.settings

    @property
    def stats(self) -> SimulatorStats:
        """What has happened since the start, or since the last reset."""
        return self._service.stats()

    def metrics(self) -> str:
        """The text of ``/metrics``."""
        return self._service.metrics()

    def reset(self) -> None:
        """Count from zero, and forget prompts and prefixes, as ``POST /reset`` does."""
        self._service.calls.reset()


@asynccontextmanager
async def serve(
    settings: SimulatorSettings | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    log: Path | None = None,
) -> AsyncIterator[SimulatorServer]:
    """Run a simulated teacher inside the block.

    Args:
        settings: what it is like; the defaults if None.
        host: address to listen on.
        port: port to listen on; 0 takes a free one, ``server.url`` has it.
        log: file that gets a line for each call; see :class:`~.call_log.CallLine`.

    Raises:
        OSError: the address cannot be listened on, or the log cannot be written.
    """
    settings = settings or SimulatorSettings()
    loop = asyncio.get_running_loop()
    call_log = CallLog(log) if log is not None else None
    service = Service(settings, loop, call_log)
    server = web.Server(
        service.handle,
        request_factory=partial(BaseRequest, loop=loop, client_max_size=0),  # a list of prompts may be long
        handler_cancellation=True,  # a client that goes away gives its slots back
        access_log=None,
        keepalive_timeout=settings.keepalive_seconds,
        lingering_time=0,
    )
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        bound = runner.addresses[0]
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield SimulatorServer(service, f"http://{name}:{bound[1]}")
    finally:
        for connection in server.connections:  # a hanging request would hold up the exit
            connection.force_close()
        await runner.cleanup()
        if call_log is not None:
            call_log.close()


async def serve_forever(
    settings: SimulatorSettings, host: str, port: int, ready: Callable[[str], None]
) -> None:
    """Run a simulated teacher until cancelled.

    Args:
        settings: what it is like.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        ready: called with the API's URL once requests are taken.
    """
    async with serve(settings, host, port) as server:
        ready(server.url)
        await anyio.sleep_forever()


def banner(settings: SimulatorSettings, url: str) -> str:
    """What a command says when the teacher is up."""
    pace = {
        "tokens": f"{settings.decode_tokens_per_s:g} tokens/s a slot",
        "fixed": f"{settings.latency_seconds:g} s a sequence",
        "lognormal": f"{settings.latency_seconds:g} s a sequence on average",
        "zero": "no latency",
    }[settings.latency]
    return (
        f"SIMULATION: {settings.model} at {url} ({settings.slots} slots, {pace}). "
        "No model runs here; replies are made from the prompts' own words."
    )
