"""The teacher that the options name: reached, or started, for as long as a command needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from ..abc import Teacher
from ..errors import ConfigError
from ..events import EventHook
from ..teacher.connect import connect
from .serve import serving

__all__ = ["SIMULATED_TOKENS_PER_S", "Reached", "TeacherOptions", "connected", "started"]

SIMULATED_TOKENS_PER_S = 300  # of a slot: a small model on a large accelerator; nobody waits for a demo
_SIMULATED_FAMILY = "mixtral"
_WAIT_READY = 60.0  # seconds
_WAIT_SERVED = 600.0


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How a teacher is reached, as it was decided; the API key is not among it."""

    endpoint_url: tuple[str, ...]
    model_id: str | None
    model_family: str | None
    api: Literal["auto", "completions", "chat"]
    timeout: float
    transport: Literal["auto", "aiohttp", "lean"] = "auto"
    simulate: bool
    wait_ready: float | None = None
    serve: str | None = None
    ca_file: Path | None = None
    proxy: str | None = None

    @property
    def family(self) -> str | None:
        """The chat template family; the simulated teacher has one where none is named."""
        return self.model_family or (_SIMULATED_FAMILY if self.simulate else None)

    @property
    def patience(self) -> float:
        """Seconds until it must be ready; a server of our own has its model to load."""
        if self.wait_ready is not None:
            return self.wait_ready
        return _WAIT_READY if self.serve is None or self.simulate else _WAIT_SERVED


class TeacherOptions(Reached, frozen=True, kw_only=True):
    """How the teacher is reached and asked."""

    concurrency: int | Literal["auto"]
    rpm: float | None = None
    tpm: float | None = None
    max_attempts: int
    max_outage: float = 120.0
    hedge: bool = False
    stream_replies: bool = False


def started(
    command: str, url: str, options: Reached, api_key: str | None, log_file: Path, hook: EventHook
) -> AbstractAsyncContextManager[None]:
    """The server that a command starts and that answers at ``url``, for as long as the block.

    Raises:
        ConfigError, OutputError, TeacherUnusable: as :func:`~.serve.serving`.
    """
    return serving(
        command,
        url,
        log_file,
        wait_ready=options.patience,
        ca_file=options.ca_file,
        proxy=options.proxy,
        secrets=[api_key] if api_key else [],
        hook=hook,
    )


@asynccontextmanager
async def connected(
    options: TeacherOptions, api_key: str | None, *, server_log: Path, hook: EventHook
) -> AsyncIterator[Teacher]:
    """The teacher; what ``--serve`` or ``--simulate`` start lives as long as the block.

    Raises:
        ConfigError, TeacherUnusable: as :func:`~sdg_stream.teacher.connect.connect`.
    """
    async with AsyncExitStack() as stack:
        urls = await _endpoints(options, api_key, server_log, hook, stack)
        connection = connect(
            urls,
            model=options.model_id,
            api=options.api,
            api_key=api_key,
            concurrency=options.concurrency,
            rpm=options.rpm,
            tpm=options.tpm,
            timeout=options.timeout,
            max_attempts=options.max_attempts,
            max_outage=options.max_outage,
            hedge=options.hedge,
            wait_ready=options.patience,
            ca_file=options.ca_file,
            proxy=options.proxy,
            stream=options.stream_replies,
            transport=options.transport,
            hook=hook,
        )
        yield await stack.enter_async_context(connection)


async def _endpoints(
    options: TeacherOptions, api_key: str | None, server_log: Path, hook: EventHook, stack: AsyncExitStack
) -> tuple[str, ...]:
    """The URLs to ask."""
    if options.serve is not None:
        if options.simulate:
            raise ConfigError("--serve and --simulate exclude each other")
        url = options.endpoint_url[0]
        await stack.enter_async_context(started(options.serve, url, options, api_key, server_log, hook))
    if not options.simulate:
        return options.endpoint_url
    from ..simulator.server import serve
    from ..simulator.settings import SimulatorSettings

    slots = 64 if options.concurrency == "auto" else options.concurrency
    settings = SimulatorSettings(slots=slots, decode_tokens_per_s=SIMULATED_TOKENS_PER_S)
    simulated = await stack.enter_async_context(serve(settings, "127.0.0.1", 0))
    return (simulated.url,)
