"""Two load tests side by side: what differs between what was measured, then the ratio of each level."""

from __future__ import annotations

from typing import Any

import msgspec

from .pipeline_results import PipelineNumbers
from .results import BenchReport, Level, Spread

__all__ = ["Comparison", "LevelRatio", "PipelineRatio", "compared"]

_NO_MATTER = frozenset({"command"})


class LevelRatio(msgspec.Struct, frozen=True, kw_only=True):
    """A level that both have: B divided by A.

    Attributes:
        rate: of the rates in ``Comparison.unit``.
        spread: between which values the ratio may lie, by the replicas of both: the lowest of B by the
            highest of A, to the highest of B by the lowest of A; None where neither has replicas.
        latency_p50: of the median latencies; None where one is not known.
    """

    concurrency: int
    first: float
    second: float
    rate: float | None
    spread: Spread | None
    latency_p50: float | None


class PipelineRatio(msgspec.Struct, frozen=True, kw_only=True):
    """A number that both runs of a pipeline have, or one of them."""

    name: str
    first: float | None
    second: float | None
    ratio: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How a second load test differs from a first.

    Attributes:
        differences: what differs between the set-ups: name, value in A, value in B.
        unit: the rate that is compared: tokens, if both know them.
        levels: those that both have.
        missing: concurrencies that only one of them has.
        best: ratio of the plateaus; None if one has none.
        recommended: of both.
        pipelines: the numbers of the pipeline's runs; empty if neither has one.
    """

    differences: tuple[tuple[str, str, str], ...]
    unit: str
    levels: tuple[LevelRatio, ...]
    missing: tuple[int, ...]
    best: float | None
    recommended: tuple[int | None, int | None]
    pipelines: tuple[PipelineRatio, ...] = ()


def compared(first: BenchReport, second: BenchReport) -> Comparison:
    """B against A."""
    unit = first.unit if first.unit == second.unit else "requests_per_s"
    ours = {level.concurrency: level for level in first.levels}
    theirs = {level.concurrency: level for level in second.levels}
    return Comparison(
        differences=tuple(_differences(first, second)),
        unit=unit,
        levels=tuple(_ratio(ours[c], theirs[c], unit) for c in sorted(ours.keys() & theirs.keys())),
        missing=tuple(sorted(ours.keys() ^ theirs.keys())),
        best=_divided(second.best, first.best) if first.unit == second.unit else None,
        recommended=(first.recommended_concurrency, second.recommended_concurrency),
        pipelines=tuple(_pipelines(first.pipeline, second.pipeline)),
    )


def _differences(first: BenchReport, second: BenchReport) -> list[tuple[str, str, str]]:
    found = [("date", first.date, second.date)] if first.date != second.date else []
    for name in first.setup.__struct_fields__:
        before, after = getattr(first.setup, name), getattr(second.setup, name)
        if before != after and name not in _NO_MATTER:
            found.append((name, _shown(before), _shown(after)))
    if first.pipeline is not None and second.pipeline is not None:
        for name in ("pipeline", "input", "concurrency", "gpus", "roots"):
            before, after = getattr(first.pipeline, name), getattr(second.pipeline, name)
            if before != after:
                found.append((f"run: {name}", _shown(before), _shown(after)))
    return found


def _pipelines(first: PipelineNumbers | None, second: PipelineNumbers | None) -> list[PipelineRatio]:
    """What their runs of a pipeline came to, side by side."""
    if first is None and second is None:
        return []
    values, others = (_values(run) if run is not None else {} for run in (first, second))
    return [
        PipelineRatio(
            name=name,
            first=(before := values.get(name)),
            second=(after := others.get(name)),
            ratio=None if before is None or after is None else _divided(after, before),
        )
        for name in values or others
    ]


def _values(run: PipelineNumbers) -> dict[str, float | None]:
    ceiling = run.ceiling
    return {
        "accepted rows/s": run.rows_per_s,
        "accepted rows/GPU-hour": run.rows_per_gpu_hour,
        "tokens per accepted row": run.tokens_per_row,
        "wasted tokens, share": run.wasted,
        "output tokens/s, whole run": run.output_tokens_per_s,
        "output tokens/s, steady": (ceiling.steady_output_tokens_per_s or None) if ceiling else None,
        "of the ceiling": ceiling.ratio if ceiling else None,
        "teacher idle, share": run.idle.fraction,
        "drain tail, s": run.drain_tail.seconds,
        "calls": run.calls,
        "saved calls, share": run.saved_share,
        "prefix hits, share": run.prefix_hits,
        "own CPU s for 1,000 calls": run.client.cpu_per_1000,
    }


def _ratio(first: Level, second: Level, unit: str) -> LevelRatio:
    before, after = getattr(first, unit), getattr(second, unit)
    spread = None
    if first.spread or second.spread:
        low, high = first.spread.get(unit, _point(before)), second.spread.get(unit, _point(after))
        if low.low > 0:
            spread = Spread(low=high.low / low.high, high=high.high / low.low)
    return LevelRatio(
        concurrency=first.concurrency,
        first=before,
        second=after,
        rate=_divided(after, before),
        spread=spread,
        latency_p50=_divided(second.latency.p50, first.latency.p50),
    )


def _point(value: float) -> Spread:
    return Spread(low=value, high=value)


def _divided(value: float, by: float) -> float | None:
    return value / by if by > 0 and value > 0 else None


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
