"""A load test to show."""

from __future__ import annotations

from typing import Any

import msgspec

from sdg_stream.loadtest.results import BenchReport, ClientShare, Level, Percentiles, ServerView, Setup


def _level(concurrency: int, tokens: float, seconds: float, server: ServerView | None = None) -> Level:
    times = Percentiles(mean=seconds, p50=seconds, p90=1.1 * seconds, p95=1.2 * seconds, p99=1.3 * seconds)
    return Level(
        concurrency=concurrency,
        requests_in_flight=concurrency,
        seconds=10.0,
        completed=100,
        requests_per_s=tokens / 10,
        output_tokens_per_s=tokens,
        total_tokens_per_s=3 * tokens,
        latency=times,
        first_token=Percentiles(p50=0.02, p99=0.05),
        inter_token=Percentiles(p50=0.003, p99=0.004),
        client=ClientShare(cpu_per_1000=0.2, cpu_share=0.05, wanted_share=0.06),
        server=server,
    )


LEVELS = (
    _level(4, 400.0, 0.1),
    _level(8, 800.0, 0.1, ServerView(running=7.9, running_max=8, prefix_hits=0.5, output_tokens_per_s=790.0)),
    _level(16, 801.0, 0.2),
)

SETUP = Setup(
    endpoints=("http://h/v1",),
    model="m",
    server="vLLM 1.0",
    api="completions",
    prompts="synthetic",
    stream=True,
    warmup=3.0,
    duration=15.0,
    repeat=1,
    timeout=600.0,
    transport="lean",
    command="bench",
)


def report(**more: Any) -> BenchReport:
    """A whole load test, with changes."""
    made = BenchReport(
        date="2026-01-02T03:04:05+00:00",
        setup=SETUP,
        recommended_concurrency=8,
        best=800.5,
        knee="8 in flight give 800.0 of at most 800.5 output tokens/s",
        stopped="16 in flight gave +0.1% over 8",
        levels=LEVELS,
    )
    return msgspec.structs.replace(made, **more)
