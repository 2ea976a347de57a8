"""From requests to the numbers of a window. Pure arithmetic.

A level is measured in three phases under one closed loop, in which as many requests as wanted are always in
flight: a warm-up, which is thrown away; the window; a cool-down, in which the load goes on until the requests
that were in flight at the window's end are answered. Nothing of warm-up and cool-down counts.

*Rates.* A request counts with that share of its time in flight that lies inside the window. One that was sent
and answered inside it counts 1, one that reaches over an end counts in part, and over windows that tile the
time every request adds up to 1, however long it takes. Counting only what is both sent and answered inside
would lose the long requests; counting what is answered inside (``C / T`` of Denning and Buzen, "The
Operational Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978) is right on average, but
jumps by a whole wave of requests when these begin together and take equally long, as they do on servers with
continuous batching. Both agree with Little's law, requests in flight = rate x latency, in the long run; this
count does so in every window.

*Noise.* The rate of ``n`` requests is a ratio, what they brought by the time they took, so its relative
standard error is about ``scatter / sqrt(n)``; scatter is how much single requests stray from that ratio (the
ratio estimate of Cochran, "Sampling Techniques", 3rd edition, 1977, section 6.4).

*Latencies* are those of all requests that were answered in the window, whenever they were sent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from .results import Percentiles, Rates

__all__ = ["Sample", "Window", "measured", "percentiles", "rates", "scatter"]


class Sample(msgspec.Struct, gc=False):
    """One request that ended. Times are seconds on one monotonic clock, 0 for what did not happen.

    Attributes:
        error: kind of failure; empty if it succeeded.
        words: what the failure said.
        pieces: pieces of text that came, where replies are streamed.
        estimated: the server told no token counts.
    """

    sent: float
    ended: float
    first: float = 0.0
    last: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    error: str = ""
    words: str = ""
    pieces: int = 0
    estimated: bool = False


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one window; fields as in :class:`~.results.Level`."""

    seconds: float
    rates: Rates
    completed: int
    errors: dict[str, int]
    latency: Percentiles
    first_token: Percentiles | None
    inter_token: Percentiles | None
    prompt_tokens_mean: float
    output_tokens_mean: float
    tokens_estimated: bool


def measured(samples: Sequence[Sample], begin: float, end: float) -> Window:
    """The numbers of the window from ``begin`` to ``end``; samples may lie anywhere."""
    inside = [sample for sample in samples if begin < sample.ended <= end]
    good = [sample for sample in inside if not sample.error]
    streamed = [sample for sample in good if sample.first]
    gaps = [
        (sample.last - sample.first) / (sample.output_tokens - 1)
        for sample in streamed
        if sample.output_tokens > 1
    ]
    return Window(
        seconds=end - begin,
        rates=rates(samples, begin, end),
        completed=len(good),
        errors=dict(Counter(sample.error for sample in inside if sample.error)),
        latency=percentiles(sample.ended - sample.sent for sample in good),
        first_token=percentiles(s.first - s.sent for s in streamed) if streamed else None,
        inter_token=percentiles(gaps) if gaps else None,
        prompt_tokens_mean=_mean(map(attrgetter("prompt_tokens"), good)),
        output_tokens_mean=_mean(map(attrgetter("output_tokens"), good)),
        tokens_estimated=any(sample.estimated for sample in good),
    )


def rates(samples: Iterable[Sample], begin: float, end: float) -> Rates:
    """What succeeded a second between ``begin`` and ``end``, each request counted by its share."""
    requests = prompt = output = 0.0
    for sample in samples:
        inside = min(sample.ended, end) - max(sample.sent, begin)
        if inside <= 0 or sample.error:
            continue
        share = inside / (sample.ended - sample.sent)
        requests += share
        prompt += share * sample.prompt_tokens
        output += share * sample.output_tokens
    seconds = end - begin
    if seconds <= 0:
        return Rates()
    return Rates(
        requests_per_s=requests / seconds,
        output_tokens_per_s=output / seconds,
        total_tokens_per_s=(prompt + output) / seconds,
    )


def scatter(samples: Iterable[Sample], begin: float, end: float, unit: str) -> float:
    """How much the requests that succeeded in a window stray from its rate; 0 for fewer than two.

    Args:
        samples: may lie anywhere.
        begin: of the window.
        end: of the window.
        unit: the rate, by its name in :class:`~.results.Rates`.
    """
    tokens = unit == "output_tokens_per_s"
    pairs = [
        (sample.output_tokens if tokens else 1, sample.ended - sample.sent)
        for sample in samples
        if begin < sample.ended <= end and not sample.error
    ]
    brought, taken = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    if len(pairs) < 2 or not brought or taken <= 0:
        return 0.0
    ratio = brought / taken
    squares = sum((got - ratio * took) ** 2 for got, took in pairs)
    return math.sqrt(len(pairs) * squares) / brought


def percentiles(values: Iterable[float]) -> Percentiles:
    """Mean and percentiles; zeros if there are no values."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles()
    return Percentiles(
        mean=_mean(ordered),
        p50=_quantile(ordered, 0.5),
        p90=_quantile(ordered, 0.9),
        p95=_quantile(ordered, 0.95),
        p99=_quantile(ordered, 0.99),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0
