"""What a load test finds: the structs that are its JSON, its CSV and its page.

The JSON that ``bench --json`` writes is a :class:`BenchReport`, field by field as named here; fields may be
added, and ``schema`` grows when one changes its meaning. Times are seconds, rates are per second.
"""

from __future__ import annotations

import msgspec

from .levels import ClientShare, Level, Percentiles, Rates, ServerView, Spread
from .pipeline_results import PipelineNumbers

__all__ = [
    "SCHEMA",
    "BenchReport",
    "ClientShare",
    "Level",
    "Percentiles",
    "Rates",
    "ServerView",
    "Setup",
    "Spread",
]

SCHEMA = 1


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, with what, where. Holds no key.

    Attributes:
        endpoints: base URLs.
        server: kind and version, as far as it says.
        prompts: where they come from, in words.
        warmup: least seconds before the window of a level.
        duration: least seconds of a window.
        transport: the HTTP client.
        command: what was typed, without secrets.
    """

    endpoints: tuple[str, ...]
    model: str
    server: str
    api: str
    prompts: str
    stream: bool
    warmup: float
    duration: float
    repeat: int
    timeout: float
    transport: str
    simulated: bool = False
    version: str = ""
    python: str = ""
    platform: str = ""
    cpus: int = 0
    command: str = ""


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole load test; see the module's words for the JSON.

    Attributes:
        schema: 1.
        date: when it began, ISO 8601 with zone.
        setup: what was measured.
        recommended_concurrency: the smallest one that gives (nearly) all that the server can; None if nothing
            could be measured.
        best: output tokens, or requests where tokens are not known, a second at the plateau.
        unit: which of the two: ``output_tokens_per_s`` or ``requests_per_s``.
        knee: how the recommendation came about, in words.
        stopped: why no higher level was measured.
        interrupted: it was ended before it had measured what it wanted.
        client_bound: the client was the limit at the best levels.
        levels: by concurrency.
        warnings: what a reader must know before believing the numbers.
        pipeline: what a whole pipeline did on the server; see :mod:`.pipeline_results`.
    """

    schema: int = SCHEMA
    date: str
    setup: Setup
    recommended_concurrency: int | None
    best: float = 0.0
    unit: str = "output_tokens_per_s"
    knee: str = ""
    stopped: str = ""
    interrupted: bool = False
    client_bound: bool = False
    levels: tuple[Level, ...] = ()
    warnings: tuple[str, ...] = ()
    pipeline: PipelineNumbers | None = None
