"""What ``bench/gpu.py`` found, as an entry of the results."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from gpu_pipeline import STAGES, PipelineRun

from sdg_stream.loadtest.results import Level

__all__ = ["Result", "entry", "with_entry"]

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
HEADING = (
    "## On a GPU\n\nMade by `bench/gpu.py`, which says what is measured. Share: output tokens a second of a "
    "pipeline of four stages by the best of the sweep."
)
COLUMNS = (
    "in flight",
    "requests/s",
    "output tokens/s",
    "latency p50, p99 (s)",
    "first token p50 (ms)",
    "between tokens p50 (ms)",
)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured; rates are in ``unit``.

    Attributes:
        hardware: as nvidia-smi tells it.
        server: name and version, model.
        commands: what was run.
        best: of the sweep.
        share: of the whole pipeline run by the best; ``steady_share`` of its middle.
        ceiling: a plain closed loop with the pipeline's prompts; ``steady_by_ceiling`` is the middle by it.
    """

    date: str
    hardware: str
    server: str
    versions: str
    commands: tuple[str, ...]
    unit: str
    recommended: int
    best: float
    levels: tuple[Level, ...]
    pipeline: PipelineRun
    share: float
    steady_share: float
    ceiling: float
    steady_by_ceiling: float
    warnings: tuple[str, ...]


def with_entry(text: str, part: str) -> str:
    """The results with one entry more, before earlier ones; whatever is outside the marks stays."""
    if BEGIN not in text or END not in text:
        return f"{text.rstrip()}\n\n{BEGIN}\n\n{HEADING}\n\n{part}\n\n{END}\n".lstrip()
    before, _, rest = text.partition(BEGIN)
    earlier, _, after = rest.partition(END)
    entries = earlier.replace(HEADING, "").strip()
    return f"{before}{BEGIN}\n\n{HEADING}\n\n{part}\n\n{entries}\n\n{END}{after}"


def entry(result: Result) -> str:
    """A result as Markdown."""
    unit = "output tokens/s" if result.unit == "output_tokens_per_s" else "requests/s"
    run = result.pipeline
    whole, steady = (getattr(rates, result.unit) for rates in (run.whole, run.steady))
    lines = [
        f"### {result.date}: {result.server}",
        f"{result.hardware}; {result.versions}.",
        (
            f"A pipeline of {len(STAGES)} stages got **{result.share:.1%}** of the best plain throughput, "
            f"{result.steady_share:.1%} of it in its middle: {whole:,.0f} and {steady:,.0f} of "
            f"{result.best:,.0f} {unit}. The same prompts in a plain closed loop gave {result.ceiling:,.0f}; "
            f"of that the middle is {result.steady_by_ceiling:.1%}."
        ),
        (
            f"{run.rows:,} rows, {run.accepted:,} accepted, {run.calls:,} calls in {run.seconds:.0f} s, "
            f"{run.concurrency} in flight as recommended; {run.prompt_tokens_mean:.0f} tokens a prompt, "
            f"{run.output_tokens_mean:.0f} a reply."
        ),
        _table(result.levels),
        *(f"Warning: {words}." for words in result.warnings),
        "```sh\n" + "\n".join(result.commands) + "\n```",
    ]
    return "\n\n".join(lines)


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
