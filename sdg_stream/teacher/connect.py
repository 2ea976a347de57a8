"""Connecting: preflight, then a client for what was found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from ..abc import Api, Backend
from ..errors import ConfigError, TeacherUnusable
from ..events import EventHook, Notice
from .client import Endpoint, TeacherClient
from .http import AiohttpBackend
from .preflight import PreflightReport, missing_model, preflight
from .retry import RetryPolicy
from .sockets import ensure_sockets

__all__ = ["DEFAULT_URL", "authorization", "connect", "require_model"]

DEFAULT_URL = "http://localhost:8000/v1"


@asynccontextmanager
async def connect(
    url: str | Sequence[str] = DEFAULT_URL,
    *,
    model: str | None = None,
    api: Literal["auto", "completions", "chat"] = "auto",
    api_key: str | None = None,
    concurrency: int = 64,
    timeout: float = 600.0,
    max_attempts: int = 6,
    wait_ready: float = 0.0,
    ca_file: str | Path | None = None,
    proxy: str | None = None,
    stream: bool = False,
    backend: Backend | None = None,
    hook: EventHook | None = None,
    **options: Any,
) -> AsyncIterator[TeacherClient]:
    """A teacher behind one or several OpenAI-compatible endpoints, closed at the end of the block.

    Args:
        url: base URL of the API, up to and with ``/v1``; several for replicas that serve the same model.
        model: the model to ask when a block names none; None takes the only one that the endpoint lists.
        api: ``completions`` sends prompts rendered here, ``chat`` sends them as one user message for the
            server's own template; ``auto`` asks the endpoint once and says which it took.
        api_key: sent as a bearer token; never written anywhere.
        concurrency: how many sequences are in flight at most.
        timeout: seconds for a call's first attempt, from its admission on; later attempts get more.
        max_attempts: attempts a call may take.
        wait_ready: seconds to wait for a server that is starting.
        ca_file: PEM file of the authorities to trust instead of the system's; checking cannot be turned off.
        proxy: URL of an HTTP proxy, or ``auto`` for what the environment says; None for none.
        stream: ask for streamed replies, for proxies that cut connections on which nothing moves.
        backend: another wire than aiohttp, to which the four arguments before it do not apply.
        hook: told which API and model were taken, and what is waited for.
        options: further arguments of :class:`~sdg_stream.teacher.client.TeacherClient`.

    Raises:
        ConfigError: an argument is wrong.
        TeacherUnusable: no server, no such model, a key that is refused.
    """
    urls = [url] if isinstance(url, str) else list(url)
    if not urls or concurrency < 1 or max_attempts < 1 or timeout <= 0 or wait_ready < 0:
        raise ConfigError(
            "connect needs a URL, concurrency and max_attempts of at least 1, timeout > 0 and wait_ready >= 0"
        )
    if backend is None:
        ensure_sockets(concurrency)
        backend = AiohttpBackend(ca_file=ca_file, proxy=proxy, stream=stream)
    headers, secrets = authorization(api_key)
    try:
        found = await preflight(
            urls,
            backend,
            model=model or "",
            api=api,
            headers=headers,
            secrets=secrets,
            wait_ready=wait_ready,
            hook=hook,
        )
        taken = _usable(found)
    except BaseException:
        await backend.aclose()
        raise
    _tell(found, hook)
    client = TeacherClient(
        backend,
        [Endpoint(facts.url) for facts in found.endpoints],
        model=found.model,
        api=taken,
        honours_n=found.honours_n,
        models=found.models,
        concurrency=concurrency,
        policy=RetryPolicy(timeout=timeout, max_attempts=max_attempts),
        headers=headers,
        secrets=secrets,
        **options,
    )
    try:
        yield client
    finally:
        await client.aclose()


def authorization(api_key: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers that carry a key, and what must not be repeated from a server's words."""
    return ({"Authorization": f"Bearer {api_key}"}, (api_key,)) if api_key else ({}, ())


def require_model(model: str, models: Sequence[str], url: str) -> None:
    """Raise TeacherUnusable if an endpoint that lists its models does not list this one."""
    words = missing_model(model, models, url)
    if words:
        raise TeacherUnusable(words)


def _usable(found: PreflightReport) -> Api:
    """The API to ask through; TeacherUnusable if an endpoint cannot be used."""
    if found.problems or not found.api:
        raise TeacherUnusable("\n".join(found.problems))
    return found.api


def _tell(found: PreflightReport, hook: EventHook | None) -> None:
    """Say what will be asked, and what is odd about it."""
    if hook is None:
        return
    where = ", ".join(facts.url for facts in found.endpoints)
    words = (
        f"asking {found.model or 'the models that the blocks name'} at {where} through the {found.api} API"
    )
    if not found.honours_n:
        words += "; it does not honour n, so choices are asked one by one"
    hook(Notice(code="api", message=words))
    for facts in found.endpoints:
        for warning in facts.warnings:
            hook(Notice(code="preflight", message=f"{facts.url}: {warning}", level="warning"))
