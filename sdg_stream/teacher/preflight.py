"""Preflight: look at the endpoints before the first call, so that no token is bought for a mistake."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import anyio
import msgspec

from ..abc import Api, Backend
from ..config.decode import nearest
from ..errors import TeacherUnusable
from ..events import EventHook
from .probe import EndpointFacts, Probe
from .waiting import PROBE_SECONDS

__all__ = ["PreflightReport", "missing_model", "preflight"]

_APIS: tuple[Api, ...] = ("completions", "chat")


class PreflightReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoints are like, and how to ask them.

    Attributes:
        endpoints: in the order in which they were named.
        model: what to ask when a block names no model; empty if there are several to choose from.
        api: how to ask; empty if there is a problem.
        honours_n: whether a request for several choices gets them from every endpoint.
    """

    endpoints: tuple[EndpointFacts, ...]
    model: str = ""
    api: Api | Literal[""] = ""
    honours_n: bool = True

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the endpoints cannot be used; empty if they can."""
        return tuple(facts.problem for facts in self.endpoints if facts.problem)

    @property
    def usable(self) -> bool:
        """Whether every endpoint can be used."""
        return not self.problems

    @property
    def models(self) -> tuple[str, ...]:
        """Models that any endpoint of the default pool lists."""
        listed = [name for facts in self.endpoints if not facts.name for name in facts.model_names]
        return tuple(dict.fromkeys(listed))

    def max_model_len(self, model: str) -> int | None:
        """Tokens of prompt and reply that every endpoint listing this model holds, None if none says."""
        told = [
            listed.max_model_len
            for facts in self.endpoints
            for listed in facts.models
            if listed.id == model and listed.max_model_len is not None
        ]
        return min(told, default=None)


async def preflight(
    urls: Sequence[str],
    backend: Backend,
    *,
    model: str = "",
    api: Literal["auto", "completions", "chat"] = "auto",
    headers: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    wait_ready: float = 0.0,
    timeout: float = PROBE_SECONDS,
    thorough: bool = False,
    context: ssl.SSLContext | None = None,
    hook: EventHook | None = None,
) -> PreflightReport:
    """Look at all endpoints side by side. A teacher that cannot be used is a report with problems, no error.

    Args:
        urls: base URLs; ``name=URL`` is an endpoint of the pool of that name, which blocks ask for by name
            and which may have models of its own.
        backend: the wire to ask on; it stays open.
        model: what the default pool must have; empty takes the only one that all of its endpoints list.
        api: which API must be there; ``auto`` prefers completions and takes chat.
        headers: of every request to the API.
        secrets: not to be repeated from servers' words.
        wait_ready: seconds to wait for servers that are starting.
        timeout: seconds for one small request.
        thorough: also try the other API and lists of prompts, measure, and look at the certificate: what only
            people want to know.
        context: whom to trust, for the look at the certificate.
        hook: told what is waited for.

    Raises:
        ConfigError: a URL is none.
    """
    seconds = min(PROBE_SECONDS, timeout)
    probes = [Probe(backend, url, headers=headers or {}, secrets=secrets, seconds=seconds) for url in urls]
    wanted: tuple[Api, ...] = _APIS if api == "auto" else (api,)
    await _side_by_side(probes, lambda probe: probe.list_models(wait_ready, hook))
    chosen = _choose_model(model, [probe.facts for probe in probes if not probe.facts.name])

    async def look(probe: Probe) -> None:
        default = "" if probe.facts.name else chosen
        await _look(probe, wanted, default, thorough=thorough, context=context)

    await _side_by_side([probe for probe in probes if not probe.facts.problem], look)
    found = await _common_api(probes, wanted, chosen)
    facts = tuple(probe.facts for probe in probes)
    return PreflightReport(
        endpoints=facts,
        model=chosen,
        api=found,
        honours_n=not found or all(one.honours_n.get(found, True) for one in facts),
    )


async def _side_by_side(probes: Sequence[Probe], ask: Callable[[Probe], Awaitable[None]]) -> None:
    """Ask all endpoints at once; what makes one unusable is its problem."""

    async def one(probe: Probe) -> None:
        try:
            await ask(probe)
        except TeacherUnusable as error:
            probe.facts.problem = str(error)

    async with anyio.create_task_group() as tasks:
        for probe in probes:
            tasks.start_soon(one, probe)


def missing_model(model: str, models: Sequence[str], url: str) -> str:
    """Words for an endpoint that lists models, but not this one; empty if all is well."""
    if not models or model in models:
        return ""
    close = nearest(model, models)
    hint = f" Did you mean {close!r}?" if close else ""
    listed = ", ".join(models[:20]) + (", ..." if len(models) > 20 else "")
    return f"{url} has no model {model!r}.{hint} It has: {listed}"


def _choose_model(model: str, pool: Sequence[EndpointFacts]) -> str:
    """The default pool's model; endpoints that lack it have a problem then."""
    listing = [facts for facts in pool if facts.models and not facts.problem]
    if model or not listing:
        for facts in listing:
            facts.problem = missing_model(model, facts.model_names, facts.url)
        return model
    common = set(listing[0].model_names).intersection(*(facts.model_names for facts in listing))
    if not common:
        told = "; ".join(f"{facts.url} has {', '.join(facts.model_names[:5])}" for facts in listing)
        listing[-1].problem = (
            f"replicas must serve the same model: {told}. Endpoints of another model get a name: "
            "--endpoint-url judge=URL"
        )
    return common.pop() if len(common) == 1 else ""


async def _look(
    probe: Probe, wanted: Sequence[Api], model: str, *, thorough: bool, context: ssl.SSLContext | None
) -> None:
    facts = probe.facts
    model = model or (facts.models[0].id if facts.models else "")
    for api in wanted:
        await probe.try_api(api, model)
        if facts.apis and not thorough:
            break
    if not facts.apis:
        raise TeacherUnusable(probe.no_api(wanted))
    await probe.look_around()
    if thorough:
        if "completions" in facts.apis:
            await probe.try_list(model)
        await probe.measure(context)


async def _common_api(probes: Sequence[Probe], wanted: Sequence[Api], model: str) -> Api | Literal[""]:
    """The first API that all endpoints have; those that were not asked for it yet are asked now."""
    good = [probe for probe in probes if not probe.facts.problem]
    for api in wanted:
        have = [probe for probe in good if api in probe.facts.apis]
        if not have or (wanted[0] == api and len(have) < len(good)):
            continue
        for probe in good:
            if probe not in have and await _has_too(probe, api, model):
                have.append(probe)
        if len(have) == len(good):
            return api
    for probe in good:
        probe.facts.problem = (
            f"{probe.facts.url} has only the {' and '.join(probe.facts.apis)} API, and the endpoints have "
            "none in common"
        )
    return ""


async def _has_too(probe: Probe, api: Api, model: str) -> bool:
    names = probe.facts.model_names
    try:
        await probe.try_api(api, model if model in names or not names else names[0])
    except TeacherUnusable as error:
        probe.facts.problem = str(error)
    return api in probe.facts.apis
