"""A load test as one HTML page: no script, nothing from elsewhere, light or dark as the reader likes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..loadtest.pipeline_results import PipelineNumbers
from ..loadtest.results import BenchReport, Level, Percentiles
from .bench_text import setup_lines
from .chart import Chart, Line, escaped, svg
from .pipeline_bench_text import facts, projection_rows, token_rows
from .summary import funnel_rows

__all__ = ["bench_page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5f6b76; --paper: #fff; --rule: #dde2e7;
  --one: #0b63ce; --two: #c2410c; --mark: #0f8a4b; --warn: #fff4d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --soft: #9aa5b1; --paper: #14181c;
  --rule: #2c343c; --one: #6cb0ff; --two: #ff9b66; --mark: #4cd08a; --warn: #3b3110; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: .5rem 0; }
p { margin: .3rem 0; }
.soft { color: var(--soft); }
.big { font-size: 1.25rem; margin: 1rem 0; }
.big b { color: var(--mark); }
.warning { background: var(--warn); padding: .5rem .75rem; border-radius: .4rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem; }
figure { margin: 0; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg text.axis, svg text.label { fill: var(--ink); }
svg text.mark { fill: var(--mark); font-weight: 600; }
.grid { stroke: var(--rule); }
.line { fill: none; stroke-width: 2; }
.line.one { stroke: var(--one); } .dot.one { fill: var(--one); }
.line.two { stroke: var(--two); } .dot.two { fill: var(--two); }
line.mark { stroke: var(--mark); stroke-width: 2; stroke-dasharray: 5 4; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; color: var(--soft); }
@media (max-width: 40rem) { svg text { font-size: 19px; } table { font-size: .85rem; } }
h2 { font-size: 1.15rem; margin: 1.5rem 0 .5rem; }
table.words td:first-child, table.words th:first-child, table.facts td { text-align: left; }
table.facts { white-space: normal; } table.facts td:first-child { color: var(--soft); white-space: nowrap; }
tr.chosen td { color: var(--mark); font-weight: 600; }
"""


def bench_page(report: BenchReport) -> str:
    """The page, to be written to a file."""
    setup = report.setup
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>Load test of {escaped(setup.model)}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Load test of {escaped(setup.model)}</h1>",
        *_head(report),
        '<div class="charts">',
        *(f"<figure>{svg(chart)}</figure>" for chart in _charts(report)),
        "</div>",
        *_table(report),
        *(_pipeline(report.pipeline) if report.pipeline is not None else ()),
        *_foot(report),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _head(report: BenchReport) -> Iterable[str]:
    for line in setup_lines(report.setup):
        yield f'<p class="soft">{escaped(line)}</p>'
    if report.setup.simulated:
        yield '<p class="warning">The teacher is SIMULATED: no model was measured.</p>'
    if report.recommended_concurrency is not None:
        chosen = f"<b>--concurrency {report.recommended_concurrency}</b>"
        yield f'<p class="big">Recommended: {chosen} <span class="soft">({escaped(report.knee)})</span></p>'
    if report.stopped:
        yield f"<p>No higher level was tried: {escaped(report.stopped)}.</p>"
    if report.interrupted:
        yield '<p class="warning">Interrupted before everything was measured.</p>'
    for words in report.warnings:
        yield f'<p class="warning">{escaped(words)}</p>'


def _charts(report: BenchReport) -> list[Chart]:
    levels, chosen = report.levels, report.recommended_concurrency
    rates = [float(getattr(level, report.unit)) for level in levels]
    unit = "output tokens/s" if report.unit == "output_tokens_per_s" else "requests/s"
    shown = [(level, rate) for level, rate in zip(levels, rates, strict=True) if level.completed]
    return [
        Chart(
            title=f"{unit} over requests in flight",
            x="in flight",
            y=unit,
            lines=[
                Line(
                    name=unit,
                    kind="one",
                    points=[(level.concurrency, rate) for level, rate in zip(levels, rates, strict=True)],
                )
            ],
            doubling=True,
            mark=chosen,
            mark_words=f"--concurrency {chosen}",
        ),
        Chart(
            title=f"latency over {unit}; the numbers are requests in flight",
            x=f"{unit} (numbers at points: in flight)",
            y="latency, s",
            lines=[
                Line(name="p50", kind="one", points=[(rate, level.latency.p50) for level, rate in shown]),
                Line(
                    name="p99",
                    kind="two",
                    points=[(rate, level.latency.p99) for level, rate in shown],
                    labels=[str(level.concurrency) for level, _ in shown],
                ),
            ],
            mark=next((rate for level, rate in shown if level.concurrency == chosen), None),
            mark_words="knee",
        ),
    ]


_COLUMNS = (
    *("in flight", "requests/s", "output tokens/s", "total tokens/s", "p50 s", "p90 s", "p95 s", "p99 s"),
    *("TTFT p50 s", "TTFT p99 s", "ITL p50 s", "ITL p99 s", "failed", "client CPU", "running", "waiting"),
    *("KV cache", "prefix hits", "preemptions"),
)


def _table(report: BenchReport) -> list[str]:
    head = "".join(f"<th>{escaped(name)}</th>" for name in _COLUMNS)
    rows = []
    for level in report.levels:
        chosen = ' class="chosen"' if level.concurrency == report.recommended_concurrency else ""
        cells = "".join(f"<td>{escaped(cell)}</td>" for cell in _cells(level))
        rows.append(f"<tr{chosen}>{cells}</tr>")
    return ['<div class="table"><table>', f"<tr>{head}</tr>", *rows, "</table></div>"]


def _cells(level: Level) -> Sequence[str]:
    latency, first, inter, seen = level.latency, level.first_token, level.inter_token, level.server
    rates = (level.requests_per_s, level.output_tokens_per_s, level.total_tokens_per_s)
    times = [latency.p50, latency.p90, latency.p95, latency.p99]
    streamed = [value for found in (first, inter) for value in (_two(found) if found else (None, None))]
    own = ["-"] * 5
    if seen is not None:
        hits = "-" if seen.prefix_hits is None else f"{seen.prefix_hits:.0%}"
        own = [f"{seen.running:.1f}", f"{seen.waiting:.1f}", f"{seen.kv_usage:.0%}", hits]
        own.append(f"{seen.preemptions:.0f}")
    return [
        str(level.concurrency),
        *(f"{rate:,.1f}" for rate in rates),
        *(f"{value:.3f}" for value in times),
        *("-" if value is None else f"{value:.4f}" for value in streamed),
        str(level.failed),
        f"{level.client.cpu_share:.0%}",
        *own,
    ]


def _pipeline(found: PipelineNumbers) -> Iterable[str]:
    """The run of the pipeline: its numbers, its funnel, its tokens, what a larger input would take."""
    yield "<h2>The pipeline itself</h2>"
    yield from (f'<p class="warning">{escaped(words)}</p>' for words in found.warnings)
    yield from _grid([list(fact) for fact in facts(found)], head=False)
    yield from _grid(funnel_rows(found.funnel))
    yield from _grid(token_rows(found))
    if found.projection is not None:
        yield from _grid(projection_rows(found.projection))
        yield f'<p class="soft">{escaped(found.projection.method)}</p>'


def _grid(rows: Sequence[Sequence[str]], *, head: bool = True) -> Iterable[str]:
    """A table of words, flush left in its first column; the first row is its header unless there is none."""
    yield f'<div class="table"><table class="{"words" if head else "facts"}">'
    for number, row in enumerate(rows):
        tag = "th" if head and not number else "td"
        yield "<tr>" + "".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in row) + "</tr>"
    yield "</table></div>"


def _two(found: Percentiles) -> tuple[float, float]:
    return found.p50, found.p99


def _foot(report: BenchReport) -> Iterable[str]:
    setup = report.setup
    yield (
        f'<p class="soft">{escaped(report.date)}, sdg_stream {escaped(setup.version)}, Python'
        f" {escaped(setup.python)}, {escaped(setup.platform)}, {setup.cpus} CPUs, transport"
        f" {escaped(setup.transport)}; warm-up {setup.warmup:g} s, window {setup.duration:g} s,"
        f" {setup.repeat} replica(s).</p>"
    )
    yield (
        '<p class="soft">Closed loop: that many sequences are kept in flight. A request counts with the '
        "share of its time in flight that lies inside the window; latencies are those of requests answered "
        "in it. TTFT: time to the first text. ITL: mean time between two tokens of a reply.</p>"
    )
