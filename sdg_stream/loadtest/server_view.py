"""The servers' own ``/metrics`` beside a measurement."""

from __future__ import annotations

import time
from collections.abc import Sequence

import anyio
import msgspec

from ..abc import Backend
from ..errors import AttemptError, TeacherUnusable
from ..teacher.metrics import ServerMetrics, read_metrics
from .results import ServerView

__all__ = ["Look", "ServerMeter", "server_view"]

_SECONDS = 5.0  # for a page
_COUNTERS = ("preemptions", "prompt_tokens", "generation_tokens", "prefix_queries", "prefix_hits")


class Look(msgspec.Struct, frozen=True):
    """What all servers said at a moment of the monotonic clock."""

    at: float
    servers: tuple[ServerMetrics, ...]

    def total(self, field: str) -> float:
        """The sum of a field over the servers."""
        return float(sum(getattr(server, field) for server in self.servers))


class ServerMeter:
    """Looks at the pages on a beat. Without pages it does nothing.

    Args:
        backend: the wire; pages are asked for without the API key.
        pages: URLs of ``/metrics``, one a server.
        beat: seconds between two looks.
    """

    def __init__(self, backend: Backend, pages: Sequence[str], beat: float = 0.5) -> None:
        self._backend = backend
        self._pages = pages
        self._beat = beat
        self._looks: list[Look] = []

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while self._pages:
            await self.look()
            await anyio.sleep(self._beat)

    async def look(self) -> None:
        """Look once. What cannot be read is left out: this is beside the measurement."""
        found = []
        for url in self._pages:
            try:
                reply = await self._backend.send("GET", url, None, headers={}, timeout=_SECONDS)
            except (AttemptError, TeacherUnusable):
                return
            metrics = read_metrics(reply.body.decode("utf-8", "replace")) if reply.status == 200 else None
            if metrics is None:
                return
            found.append(metrics)
        if found:
            self._looks.append(Look(time.monotonic(), tuple(found)))

    def view(self, begin: float, end: float) -> ServerView | None:
        """What was seen between two moments; what came before is forgotten."""
        found = server_view([look for look in self._looks if begin <= look.at <= end])
        self._looks.clear()
        return found


def server_view(looks: Sequence[Look]) -> ServerView | None:
    """What several looks say together; None without any. Counters are taken from the first to the last."""
    if not looks:
        return None
    first, last = looks[0], looks[-1]
    grown = {name: max(0.0, last.total(name) - first.total(name)) for name in _COUNTERS}
    seconds = last.at - first.at
    counts = seconds > 0 and last.total("generation_tokens") > 0
    running, waiting = ([look.total(name) for look in looks] for name in ("running", "waiting"))
    usage = [max(server.kv_usage for server in look.servers) for look in looks]
    return ServerView(
        running=_mean(running),
        running_max=max(running),
        waiting=_mean(waiting),
        waiting_max=max(waiting),
        kv_usage=_mean(usage),
        kv_usage_max=max(usage),
        preemptions=grown["preemptions"],
        prefix_hits=grown["prefix_hits"] / grown["prefix_queries"] if grown["prefix_queries"] else None,
        output_tokens_per_s=grown["generation_tokens"] / seconds if counts else None,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
