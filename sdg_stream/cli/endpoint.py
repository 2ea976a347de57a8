"""Preflight for people: one screen that says of each endpoint what is well, what is not, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import msgspec

from ..events import EventHook
from ..observe.text import aligned, clean, count, one_line
from ..teacher.connect import authorization
from ..teacher.http import AiohttpBackend
from ..teacher.preflight import PreflightReport, preflight
from ..teacher.probe import EndpointFacts
from ..teacher.redaction import proxy_secrets
from ..teacher.tls import tls_context
from ..teacher.transport import proxy_for

__all__ = ["Endpoints", "look", "screen"]

_MODELS = 5  # that are listed by name


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints that ``check`` looks at; the API key is not among it."""

    endpoint_url: tuple[str, ...]
    model_id: str | None
    api: Literal["auto", "completions", "chat"]
    wait_ready: float
    ca_file: Path | None
    proxy: str | None
    stream_replies: bool


class _Line(NamedTuple):
    """A line of the screen: ``ok``, ``note`` or ``problem``, about what, in which words."""

    state: str
    about: str
    words: str


async def look(asked: Endpoints, api_key: str | None, hook: EventHook) -> PreflightReport:
    """Everything that can be found out about the endpoints.

    Raises:
        ConfigError: an option is wrong.
    """
    headers, secrets = authorization(api_key)
    backend = AiohttpBackend(ca_file=asked.ca_file, proxy=asked.proxy, stream=asked.stream_replies)
    try:
        return await preflight(
            asked.endpoint_url,
            backend,
            model=asked.model_id or "",
            api=asked.api,
            headers=headers,
            secrets=(*secrets, *proxy_secrets(asked.proxy)),
            wait_ready=asked.wait_ready,
            thorough=True,
            context=tls_context(asked.ca_file) if asked.proxy is None else None,
            hook=hook,
        )
    finally:
        await backend.aclose()


def screen(report: PreflightReport, asked: Endpoints) -> list[str]:
    """The report as lines, harmless on a terminal."""
    lines = []
    for facts in report.endpoints:
        name = f" ({facts.name})" if facts.name else ""
        lines.append(f"{clean(facts.url)}{name}")
        rows = [*_lines(facts, report), _proxy_line(facts.url, asked.proxy)]
        lines += [
            f"  {line}" for line in aligned([[one_line(cell) for cell in row] for row in rows], left=_ALL)
        ]
    return lines


_ALL = frozenset(range(3))


def _lines(facts: EndpointFacts, report: PreflightReport) -> Iterator[_Line]:
    if facts.problem:
        yield _Line("problem", "usable", facts.problem)
    if facts.round_trip is None:
        return
    server = facts.server or "a server that does not say what it is"
    yield _Line("ok", "reachable", f"{server}, round trip {1000 * facts.round_trip:.1f} ms")
    if facts.tls:
        yield _Line("ok", "TLS", facts.tls)
    if facts.lists_models:
        yield _model_line(facts, report)
    else:
        yield _Line("note", "models", "it lists none: the name is used as it is given")
    if facts.apis:
        yield from _api_lines(facts, report)
    for warning in facts.warnings:
        yield _Line("note", "warning", warning)


def _model_line(facts: EndpointFacts, report: PreflightReport) -> _Line:
    names = facts.model_names
    listed = ", ".join(names[:_MODELS]) + (
        f" and {len(names) - _MODELS} more" if len(names) > _MODELS else ""
    )
    if report.model in names:
        length = report.max_model_len(report.model)
        room = (
            f", {count(length)} tokens of context" if length else ", which does not tell its context length"
        )
        return _Line("ok", "model", report.model + room)
    return _Line("note" if len(names) > 1 else "ok", "models", f"{listed or 'none'}; --model-id names one")


def _api_lines(facts: EndpointFacts, report: PreflightReport) -> Iterator[_Line]:
    use = f"; {report.api} is used" if report.api else ""
    yield _Line("ok", "API", " and ".join(facts.apis) + use)
    n = facts.honours_n.get(report.api or facts.apis[0])
    if n is not None:
        words = "several choices in one call" if n else "not honoured: choices are asked one by one"
        yield _Line("ok" if n else "note", "n", words)
    if facts.list_prompts is not None:
        words = (
            "several prompts may stand in one request" if facts.list_prompts else "not supported, not needed"
        )
        yield _Line("ok", "prompt lists", words)
    words = ", ".join(f"{name}: {value}" for name, value in sorted(facts.rate_limits.items()))
    yield _Line("ok", "rate limits", words or "none told")
    there = f"at {facts.metrics_url}: --concurrency auto can follow the server's queue"
    not_there = "no /metrics: --concurrency auto goes by completed tokens"
    yield _Line("ok", "load", there if facts.metrics else not_there)


def _proxy_line(url: str, proxy: str | None) -> _Line:
    """Which proxy is used, and whether the environment names one that is not."""
    if proxy is not None:
        used = proxy_for(url, proxy)
        where = urlsplit(used).netloc.rpartition("@")[2] if used else "none for this host"
        return _Line("ok", "proxy", where)
    scheme = urlsplit(url).scheme
    if getproxies().get(scheme):
        words = f"none, although the environment has one for {scheme}; --proxy auto uses it"
        return _Line("note", "proxy", words)
    return _Line("ok", "proxy", "none")
