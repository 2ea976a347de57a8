"""What a simulated teacher counts: once for its own numbers, once in the words of vLLM's metrics.

Metric names, types and buckets: vLLM's ``v1/metrics/loggers.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import msgspec

from .prompt_text import token_count
from .replies import Reply
from .scheduler import Scheduler
from .settings import SimulatorSettings

__all__ = ["Counters", "Histogram", "SimulatorStats", "render_metrics"]

_SECONDS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0),
    *(480.0, 960.0, 1920.0, 7680.0),
)  # fmt: skip


class SimulatorStats(msgspec.Struct, frozen=True, kw_only=True):
    """What happened since the start, or since the last reset. Times are of the system's monotonic clock.

    Attributes:
        requests: calls of the two endpoints, refused ones included.
        sequences: choices that were answered.
        statuses: replies by HTTP status.
        faults: faults on purpose, by kind.
        aborted: requests whose connection ended before their reply.
        open: requests being answered now; ``max_open`` is the most there have been.
        running: sequences in slots now, ``waiting`` in the queue; ``max_running`` as above.
        busy_slot_seconds: sum over the slots of the time that they were taken.
        first_at: when the first request came; 0 if none did.
        last_at: when the last reply went.
        distinct_prompts: different prompts; ``repeated_prompts`` are further requests for one of them.
    """

    requests: int = 0
    sequences: int = 0
    statuses: dict[int, int] = {}
    faults: dict[str, int] = {}
    aborted: int = 0
    open: int = 0
    max_open: int = 0
    running: int = 0
    waiting: int = 0
    max_running: int = 0
    busy_slot_seconds: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    distinct_prompts: int = 0
    repeated_prompts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Histogram:
    """Counts of values up to each bound, as Prometheus wants them."""

    def __init__(self, bounds: tuple[float, ...] = _SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def render(self, name: str, labels: str) -> list[str]:
        """The lines of this histogram in Prometheus' text format."""
        bounds = [*map(str, self.bounds), "+Inf"]
        sums = list(accumulate(self.counts))
        return [
            f"# TYPE {name} histogram",
            *(
                f'{name}_bucket{{le="{bound}",{labels}}} {count}'
                for bound, count in zip(bounds, sums, strict=True)
            ),
            f"{name}_count{{{labels}}} {sums[-1]}",
            f"{name}_sum{{{labels}}} {self.total}",
        ]


class Counters:
    """What the server counts itself; the scheduler counts slots. ``prompts`` has each prompt's requests."""

    def __init__(self) -> None:
        self.requests = 0
        self.sequences = 0
        self.statuses: dict[int, int] = {}
        self.aborted = 0
        self.open = 0
        self.max_open = 0
        self.first_at = 0.0
        self.last_at = 0.0
        self.prompts: dict[int, int] = {}
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.finished = {"stop": 0, "length": 0, "abort": 0, "error": 0}
        self.queue_seconds = Histogram()
        self.total_seconds = Histogram()

    def begin(self, now: float) -> None:
        """A request has come."""
        self.requests += 1
        self.open += 1
        self.max_open = max(self.max_open, self.open)
        self.first_at = self.first_at or now

    def attempt(self, prompt: str) -> int:
        """How often this prompt has been asked for, this time included."""
        key = hash(prompt)
        self.prompts[key] = attempt = self.prompts.get(key, 0) + 1
        return attempt

    def add(self, prompts: list[str], found: list[Reply]) -> None:
        """A request has its replies."""
        self.sequences += len(found)
        self.prompt_tokens += sum(map(token_count, prompts))
        for reply in found:
            self.completion_tokens += reply.tokens
            self.finished[reply.finish_reason] += 1

    def abort(self) -> None:
        """A request's connection has ended before its reply."""
        self.aborted += 1
        self.finished["abort"] += 1

    def end(self, status: int, begun: float, now: float) -> None:
        """A request has been answered."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.last_at = now
        self.total_seconds.observe(now - begun)

    def snapshot(self, scheduler: Scheduler, faults: dict[str, int]) -> SimulatorStats:
        """All numbers, as they are now."""
        return SimulatorStats(
            requests=self.requests,
            sequences=self.sequences,
            statuses=dict(self.statuses),
            faults=dict(faults),
            aborted=self.aborted,
            open=self.open,
            max_open=self.max_open,
            running=scheduler.running,
            waiting=scheduler.waiting,
            max_running=scheduler.max_running,
            busy_slot_seconds=scheduler.busy_slot_seconds,
            first_at=self.first_at,
            last_at=self.last_at,
            distinct_prompts=len(self.prompts),
            repeated_prompts=sum(self.prompts.values()) - len(self.prompts),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )


def render_metrics(settings: SimulatorSettings, counters: Counters, scheduler: Scheduler) -> str:
    """The metrics in Prometheus' text format, under vLLM's names."""
    labels = f'engine="0",model_name="{settings.model}"'
    usage = min(1.0, scheduler.kv_tokens / settings.kv_cache_tokens)
    values = (
        ("num_requests_running", "gauge", scheduler.running),
        ("num_requests_waiting", "gauge", scheduler.waiting),
        ("kv_cache_usage_perc", "gauge", usage),
        ("num_preemptions_total", "counter", scheduler.preemptions),
        ("prefix_cache_queries_total", "counter", scheduler.prefix_queries),
        ("prefix_cache_hits_total", "counter", scheduler.prefix_hits),
        ("prompt_tokens_total", "counter", counters.prompt_tokens),
        ("generation_tokens_total", "counter", scheduler.written_tokens),
    )
    lines = ["# These are the metrics of a simulation: no model runs here."]
    for name, kind, value in values:
        lines += (f"# TYPE vllm:{name} {kind}", f"vllm:{name}{{{labels}}} {value}")
    lines.append("# TYPE vllm:request_success_total counter")
    lines += (
        f'vllm:request_success_total{{finished_reason="{reason}",{labels}}} {count}'
        for reason, count in counters.finished.items()
    )
    lines += counters.queue_seconds.render("vllm:request_queue_time_seconds", labels)
    lines += counters.total_seconds.render("vllm:e2e_request_latency_seconds", labels)
    return "\n".join(lines) + "\n"
