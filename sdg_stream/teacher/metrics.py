"""What a server says of its own load: the Prometheus text of ``/metrics``, as vLLM writes it.

Names: vLLM's documentation, "Production metrics". Versions differ: ``kv_cache_usage_perc`` was
``gpu_cache_usage_perc``, prefix cache counters had a ``gpu_`` before them, and the V0 engine counted prefix
cache hits as a rate only. A server with several engines writes a line for each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import msgspec

__all__ = ["ServerMetrics", "read_metrics", "total"]

# A sample: name, optional labels (values may hold any escaped character), value, optional timestamp.
_SAMPLE = re.compile(r'^vllm[:_](\w+)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)', re.MULTILINE)

_FIELDS = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "kv_cache_usage_perc": "kv_usage",
    "gpu_cache_usage_perc": "kv_usage",
    "num_preemptions": "preemptions",
    "prompt_tokens": "prompt_tokens",
    "generation_tokens": "generation_tokens",
    "prefix_cache_queries": "prefix_queries",
    "prefix_cache_hits": "prefix_hits",
    "gpu_prefix_cache_queries": "prefix_queries",
    "gpu_prefix_cache_hits": "prefix_hits",
}


class ServerMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The load of a server, its engines taken together.

    Attributes:
        running: requests in slots.
        waiting: requests in the queue.
        kv_usage: share of the KV cache that is taken, 0 to 1; that of the fullest engine.
        preemptions: how often a running request has lost its place, since the server started.
        prompt_tokens: read since the server started.
        generation_tokens: written since the server started.
        prefix_queries: tokens that were looked up in the prefix cache since the server started.
        prefix_hits: those of them that were found.
    """

    running: float = 0.0
    waiting: float = 0.0
    kv_usage: float = 0.0
    preemptions: float = 0.0
    prompt_tokens: float = 0.0
    generation_tokens: float = 0.0
    prefix_queries: float = 0.0
    prefix_hits: float = 0.0


def read_metrics(text: str) -> ServerMetrics | None:
    """The load that a ``/metrics`` page tells; None if it does not tell how many requests run and wait.

    Values that are not finite or below zero are passed over.
    """
    found: dict[str, float] = {}
    for name, written in _SAMPLE.findall(text):
        field = _FIELDS.get(name.removesuffix("_total"))
        value = _number(written)
        if field is None or value is None:
            continue
        if field == "kv_usage":
            found[field] = max(found.get(field, 0.0), value)
        else:
            found[field] = found.get(field, 0.0) + value
    if "running" not in found or "waiting" not in found:
        return None
    return ServerMetrics(**found)


def total(servers: Iterable[ServerMetrics]) -> ServerMetrics:
    """Several servers as one: sums, and the fullest KV cache.

    Of the queues the shortest counts for all: a queue at one server does not occupy another that is idle.
    """
    known = list(servers)
    sums = {
        name: sum(getattr(server, name) for server in known)
        for name in ServerMetrics.__struct_fields__
        if name not in {"kv_usage", "waiting"}
    }
    waiting = len(known) * min((server.waiting for server in known), default=0.0)
    return ServerMetrics(
        **sums, waiting=waiting, kv_usage=max((server.kv_usage for server in known), default=0.0)
    )


def _number(written: str) -> float | None:
    try:
        value = float(written)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
