"""A load test as text: the table, what follows from it, and what speaks against believing it."""

from __future__ import annotations

from collections.abc import Sequence

from ..loadtest.compare import Comparison, PipelineRatio
from ..loadtest.results import BenchReport, Level, Setup
from .pipeline_bench_text import pipeline_text
from .text import aligned, clean, one_line

__all__ = ["bench_text", "comparison_text", "level_line", "setup_lines"]

_UNITS = {"output_tokens_per_s": "output tokens/s", "requests_per_s": "requests/s"}


def bench_text(report: BenchReport) -> str:
    """The closing lines of a load test, for a terminal of about 100 columns."""
    lines = [*setup_lines(report.setup), "", *_table(report)]
    seen = _server_table(report.levels)
    if seen:
        lines += ["", *seen]
    if report.pipeline is not None:
        lines += ["", *pipeline_text(report.pipeline)]
    lines += ["", *_verdict(report)]
    return clean("\n".join(lines))


def setup_lines(setup: Setup) -> list[str]:
    """What is measured, in two lines."""
    server = f" ({setup.server})" if setup.server else ""
    how = "streamed" if setup.stream else "not streamed"
    what = f"{setup.model} at {', '.join(setup.endpoints)}{server}, {setup.api} API, {how}"
    return [one_line(what), f"prompts: {one_line(setup.prompts)}"]


def level_line(level: Level) -> str:
    """One level, while the others are still to come."""
    failed = f", {level.failed} failed" if level.failed else ""
    tokens = f", {_rate(level.output_tokens_per_s)} output tokens/s" if level.output_tokens_per_s else ""
    return (
        f"{level.concurrency} in flight: {_rate(level.requests_per_s)} requests/s{tokens}, "
        f"median {_seconds(level.latency.p50)} s{failed}"
    )


def comparison_text(found: Comparison) -> str:
    """What differs between two load tests, then their ratios."""
    lines = ["The set-ups differ:" if found.differences else "The set-ups are the same."]
    rows = [["  " + name, one_line(a, 60), "->", one_line(b, 60)] for name, a, b in found.differences]
    lines += [*aligned(rows, left=frozenset(range(4))), ""]
    header = ["in flight", f"A {_UNITS[found.unit]}", "B", "B / A", "spread", "p50 latency B / A"]
    table = [header]
    for level in found.levels:
        spread = f"{level.spread.low:.3f} .. {level.spread.high:.3f}" if level.spread else "-"
        pair = [_rate(level.first), _rate(level.second)]
        table.append([str(level.concurrency), *pair, _ratio(level.rate), spread, _ratio(level.latency_p50)])
    lines += aligned(table, left=frozenset()) if found.levels else ["They have no level in common."]
    if found.missing:
        lines.append(f"Only one of them has {', '.join(map(str, found.missing))} in flight.")
    if found.pipelines:
        lines += ["", *_pipelines(found.pipelines)]
    first, second = (str(one) if one else "none" for one in found.recommended)
    lines += [
        "",
        f"Best rate: B / A = {_ratio(found.best)}. Recommended --concurrency: A {first}, B {second}.",
    ]
    return clean("\n".join(lines))


def _pipelines(ratios: Sequence[PipelineRatio]) -> list[str]:
    """The runs of the pipeline, number by number."""
    rows = [["the pipeline itself", "A", "B", "B / A"]]
    rows += [[one.name, _number(one.first), _number(one.second), _ratio(one.ratio)] for one in ratios]
    return aligned(rows)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _table(report: BenchReport) -> list[str]:
    streamed = any(level.first_token for level in report.levels)
    failures = any(level.failed for level in report.levels)
    header = ["in", "", "output", "total", "seconds", "", "", ""]
    header += ["TTFT", "ms", "ITL", "ms"] if streamed else []
    header += [*(["not"] if failures else []), "own"]
    second = ["flight  ", "req/s", "tokens/s", "tokens/s", "p50", "p90", "p95", "p99"]
    second += ["p50", "p99", "p50", "p99"] if streamed else []
    second += [*(["ok"] if failures else []), "CPU"]
    rows = [header, second]
    for level in report.levels:
        mark = " *" if level.concurrency == report.recommended_concurrency else ""
        cells = _cells(level, streamed=streamed, failures=failures)
        rows.append([f"{level.concurrency}{mark or '  '}", *cells])
    return aligned(rows, left=frozenset())


def _cells(level: Level, *, streamed: bool, failures: bool) -> list[str]:
    latency = level.latency
    cells = [
        _rate(rate) for rate in (level.requests_per_s, level.output_tokens_per_s, level.total_tokens_per_s)
    ]
    cells += [_seconds(value) for value in (latency.p50, latency.p90, latency.p95, latency.p99)]
    if streamed:
        for found in (level.first_token, level.inter_token):
            cells += [_millis(found.p50), _millis(found.p99)] if found else ["-", "-"]
    cells += [str(level.failed)] if failures else []
    return [*cells, f"{level.client.cpu_share:.0%}"]


def _server_table(levels: Sequence[Level]) -> list[str]:
    """What the server said of itself, beside what was measured; empty where it says nothing."""
    rows = [["in flight", "running", "waiting", "KV cache", "prefix hits", "preemptions", "output tokens/s"]]
    for level in levels:
        seen = level.server
        if seen is None:
            continue
        hits = "-" if seen.prefix_hits is None else f"{seen.prefix_hits:.0%}"
        own = "-" if seen.output_tokens_per_s is None else _rate(seen.output_tokens_per_s)
        row = [_rate(seen.running), _rate(seen.waiting), f"{seen.kv_usage:.0%}", hits]
        rows.append([str(level.concurrency), *row, f"{seen.preemptions:.0f}", own])
    return ["By the server's own /metrics:", *aligned(rows, left=frozenset())] if len(rows) > 1 else []


def _verdict(report: BenchReport) -> list[str]:
    lines = [f"warning: {one_line(words)}" for words in report.warnings]
    if report.client_bound:
        lines.append("CLIENT-BOUND: these are this client's numbers, not the server's; see the warning.")
    if report.interrupted:
        lines.append("Interrupted: what was not measured may change what follows.")
    if report.stopped:
        lines.append(f"No higher level was tried: {report.stopped}.")
    if report.recommended_concurrency is None:
        return [*lines, "Nothing succeeded: there is no concurrency to recommend."]
    for level in report.levels:
        if level.spread and level.concurrency == report.recommended_concurrency:
            spread = level.spread[report.unit]
            lines.append(
                f"Spread of {len(level.replicas)} replicas: {_rate(spread.low)} to {_rate(spread.high)}."
            )
    return [*lines, f"Recommended: --concurrency {report.recommended_concurrency} ({report.knee})"]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _millis(value: float) -> str:
    return f"{1000 * value:.1f}" if value < 1 else f"{1000 * value:,.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
