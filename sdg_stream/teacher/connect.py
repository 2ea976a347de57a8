"""Connecting: preflight, then a client for what was found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio

from ..abc import Api, Backend
from ..errors import ConfigError, TeacherUnusable
from ..events import EventHook, Notice
from .auto import MOST, Auto
from .breaker import Breaker
from .client import TeacherClient
from .controller import Controller, Fixed
from .lean import LeanBackend
from .preflight import PreflightReport, preflight
from .probe import EndpointFacts, checked_url, split_name
from .rates import Rates
from .redaction import proxy_secrets
from .retry import RetryPolicy
from .routing import Endpoint
from .sockets import ensure_sockets, most_sockets
from .transport import proxy_for

if TYPE_CHECKING:
    from .http import AiohttpBackend

__all__ = ["DEFAULT_URL", "Transport", "authorization", "connect", "make_backend"]

DEFAULT_URL = "http://localhost:8000/v1"
Transport: TypeAlias = Literal["auto", "aiohttp", "lean"]


@asynccontextmanager
async def connect(
    url: str | Sequence[str] = DEFAULT_URL,
    *,
    model: str | None = None,
    api: Literal["auto", "completions", "chat"] = "auto",
    api_key: str | None = None,
    concurrency: int | Literal["auto"] = "auto",
    rpm: float | None = None,
    tpm: float | None = None,
    timeout: float = 600.0,
    max_attempts: int = 6,
    max_outage: float = 120.0,
    affinity: bool = True,
    hedge: bool = False,
    wait_ready: float = 0.0,
    ca_file: str | Path | None = None,
    proxy: str | None = None,
    stream: bool = False,
    transport: Transport = "auto",
    backend: Backend | None = None,
    hook: EventHook | None = None,
) -> AsyncIterator[TeacherClient]:
    """A teacher behind one or several OpenAI-compatible endpoints, closed at the end of the block.

    Args:
        url: base URL of the API, up to and with ``/v1``; several for replicas. ``name=URL`` is an endpoint of
            a pool of its own, which only blocks with ``endpoint: name`` ask.
        model: the model to ask when a block names none; None takes the only one that the endpoint lists.
        api: ``completions`` sends prompts rendered here, ``chat`` sends them as one user message for the
            server's own template; ``auto`` asks the endpoint once and says which it took.
        api_key: sent as a bearer token; never written anywhere. Where a server repeats it, replies included,
            ``[redacted]`` stands in its place (unless it is a mere word or shorter than 8 characters).
        concurrency: how many sequences are in flight at most; ``auto`` finds what the servers carry.
        rpm: requests a minute at most; what a server's headers say holds in any case.
        tpm: tokens a minute at most, prompts and replies together; likewise.
        timeout: seconds for a call's first attempt, from its admission on; later attempts, and replies of
            more than 4,096 tokens, get more.
        max_attempts: attempts a call may take. Being told "less" and the failures of an outage do not count.
        max_outage: seconds without any answer after which the teacher is given up.
        affinity: send prompts that begin alike to the same replica, where load allows.
        hedge: ask another replica as well when an attempt takes far longer than its like.
        wait_ready: seconds to wait for a server that is starting.
        ca_file: PEM file of the authorities to trust instead of the system's; checking cannot be turned off.
        proxy: URL of an HTTP proxy, or ``auto`` for what the environment says; None for none.
        stream: ask for streamed replies, for proxies that cut connections on which nothing moves.
        transport: ``lean`` is an HTTP/1.1 client that costs a fraction of aiohttp's time; ``auto`` takes it
            unless there is a proxy or replies are streamed.
        backend: another wire, to which the five arguments before it do not apply.
        hook: told which API and model were taken, and what is waited for.

    Raises:
        ConfigError: an argument is wrong.
        TeacherUnusable: no server, no such model, a key that is refused.
    """
    urls = [url] if isinstance(url, str) else list(url)
    controller = _controller(concurrency)
    _check(urls, timeout=timeout, max_attempts=max_attempts, wait_ready=wait_ready, max_outage=max_outage)
    headers, secrets = authorization(api_key)
    secrets += proxy_secrets(proxy)
    if backend is None:
        backend = make_backend(transport, urls, ca_file=ca_file, proxy=proxy, stream=stream)
    try:
        found = await preflight(
            urls,
            backend,
            model=model or "",
            api=api,
            headers=headers,
            secrets=secrets,
            wait_ready=wait_ready,
            timeout=timeout,
            hook=hook,
        )
        taken = _usable(found)
    except BaseException:
        await backend.aclose()
        raise
    _tell(found, hook)
    client = TeacherClient(
        backend,
        [_endpoint(facts) for facts in found.endpoints],
        model=found.model,
        api=taken,
        honours_n=found.honours_n,
        models=found.models,
        max_model_len=found.max_model_len(found.model),
        controller=controller,
        policy=RetryPolicy(timeout=timeout, max_attempts=max_attempts),
        breaker=Breaker(max_outage=max_outage),
        rates=Rates(rpm, tpm),
        headers=headers,
        secrets=secrets,
        affinity=affinity,
        hedge=hedge,
    )
    async with _at_work(client, found if concurrency == "auto" else None):
        yield client


@asynccontextmanager
async def _at_work(client: TeacherClient, watched: PreflightReport | None) -> AsyncIterator[None]:
    """The client, closed in the end; its servers are watched if all of them tell their load."""
    facts = watched.endpoints if watched else ()
    pages = [one.metrics_url for one in facts if one.metrics]
    try:
        async with anyio.create_task_group() as tasks:
            if pages and len(pages) == len(facts):
                tasks.start_soon(client.watch_servers, pages)
            yield
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
        raise error from error.__cause__  # the caller's own, as it was raised
    finally:
        await client.aclose()


def make_backend(
    transport: Transport,
    urls: Sequence[str],
    *,
    ca_file: str | Path | None = None,
    proxy: str | None = None,
    stream: bool = False,
) -> AiohttpBackend | LeanBackend:
    """The wire to these URLs; call it on a running event loop.

    Raises:
        ConfigError: the lean transport cannot do what is asked.
    """
    lean = not stream and all(_goes_lean(checked_url(split_name(url)[1]), proxy) for url in urls)
    if transport == "lean" and not lean:
        raise ConfigError(
            "the lean transport takes no proxy, no streamed replies and no URLs with characters to be quoted"
        )
    if transport == "aiohttp" or not lean:
        from .http import AiohttpBackend  # noqa: PLC0415 (aiohttp takes 0.1 s to import)

        return AiohttpBackend(ca_file=ca_file, proxy=proxy, stream=stream)
    return LeanBackend(ca_file=ca_file)


def _goes_lean(url: str, proxy: str | None) -> bool:
    return proxy_for(url, proxy) is None and LeanBackend.takes(url)


def _controller(concurrency: int | Literal["auto"]) -> Controller:
    """What decides the slots, within what this process may open."""
    if concurrency != "auto":
        if concurrency < 1:
            raise ConfigError(f"concurrency is at least 1, not {concurrency}")
        ensure_sockets(concurrency)
        return Fixed(concurrency)
    sockets = most_sockets()
    most = MOST if sockets is None else max(1, min(MOST, sockets))
    ensure_sockets(most)
    return Auto(most=most)


def _check(
    urls: Sequence[str], *, timeout: float, max_attempts: int, wait_ready: float, max_outage: float
) -> None:
    if not urls or max_attempts < 1 or timeout <= 0 or wait_ready < 0 or max_outage <= 0:
        raise ConfigError(
            "connect needs a URL, max_attempts of at least 1, timeout and max_outage > 0 and wait_ready >= 0"
        )


def _endpoint(facts: EndpointFacts) -> Endpoint:
    return Endpoint(facts.url, name=facts.name, models=facts.model_names if facts.lists_models else ())


def authorization(api_key: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers that carry a key, and what must not be repeated from a server's words.

    Raises:
        ConfigError: no header can carry it.
    """
    key = (api_key or "").strip()  # files end with a line feed, and variables are read from files
    if not key.isprintable():
        raise ConfigError("the API key has a line break or another control character inside")
    return ({"Authorization": f"Bearer {key}"}, (key,)) if key else ({}, ())


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
