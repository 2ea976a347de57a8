"""What ``bench/gpu.py`` found, as an entry of the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from gpu_pipeline import STAGES
from results_file import part_of

from sdg_stream.loadtest.levels import Level
from sdg_stream.loadtest.pipeline_results import PipelineNumbers
from sdg_stream.loadtest.results import BenchReport

__all__ = ["Result", "entry", "with_earlier"]

HEADING = "## On a GPU\n\nMade by `bench/gpu.py`, which says what is measured."
COLUMNS = (
    "in flight",
    "requests/s",
    "output tokens/s",
    "latency p50, p99 (s)",
    "first token p50 (ms)",
    "between tokens p50 (ms)",
)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured.

    Attributes:
        hardware: as nvidia-smi tells it.
        server: name and version, model.
        commands: what was run.
    """

    date: str
    hardware: str
    server: str
    versions: str
    commands: tuple[str, ...]
    report: BenchReport


def with_earlier(part: str, text: str) -> str:
    """An entry before the earlier ones of the results' text: the whole part of the results."""
    earlier = part_of(text, "gpu").removeprefix(HEADING).strip()
    return "\n\n".join(filter(None, (HEADING, part, earlier)))


def entry(result: Result) -> str:
    """A result as Markdown."""
    report = result.report
    lines = [
        f"### {result.date}: {result.server}",
        f"{result.hardware}; {result.versions}.",
        *(_pipeline(report, report.pipeline) if report.pipeline else ()),
        _table(report.levels),
        *(f"Warning: {words}." for words in report.warnings),
        "```sh\n" + "\n".join(result.commands) + "\n```",
    ]
    return "\n\n".join(lines)


def _pipeline(report: BenchReport, run: PipelineNumbers) -> Iterator[str]:
    """What the pipeline got, and why it was not more."""
    whole = run.output_tokens_per_s
    words = f"A pipeline of {len(STAGES)} stages made {whole:,.0f} output tokens/s over its whole run"
    if report.unit == "output_tokens_per_s" and report.best:
        words += f", **{whole / report.best:.1%}** of the {report.best:,.0f} that are the best of the sweep"
    ceiling = run.ceiling
    if ceiling and ceiling.ratio is not None:
        words += (
            f". While all slots were taken it made {ceiling.steady_output_tokens_per_s:,.0f}, "
            f"**{ceiling.ratio:.1%}** of what a plain closed loop with the same prompts did "
            f"({ceiling.plain.output_tokens_per_s:,.0f})"
        )
    yield f"{words}."
    calls = max(1, run.calls)
    yield (
        f"{run.roots:,} rows, {run.accepted:,} accepted, {run.calls:,} calls in {run.seconds:.0f} s, "
        f"{run.concurrency} in flight as recommended; {run.prompt_tokens / calls:.0f} tokens a prompt, "
        f"{run.output_tokens / calls:.0f} a reply; teacher idle {run.idle.fraction:.1%} of its slot time, "
        f"drain tail {run.drain_tail.share:.1%} of the run."
    )


def _table(levels: Sequence[Level]) -> str:
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for level in levels:
        first, inter = (
            f"{1000 * times.p50:.0f}" if times else "" for times in (level.first_token, level.inter_token)
        )
        lines.append(
            f"| {level.concurrency} | {level.requests_per_s:,.1f} | {level.output_tokens_per_s:,.0f} "
            f"| {level.latency.p50:.2f}, {level.latency.p99:.2f} | {first} | {inter} |"
        )
    return "\n".join(lines)
