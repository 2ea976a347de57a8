"""What ``bench --pipeline`` found about a whole pipeline, as text.

:func:`facts` are label and words; a terminal and a page show the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..loadtest.pipeline_results import (
    Ceiling,
    Durability,
    Estimate,
    Idle,
    PipelineNumbers,
    Projection,
)
from .summary import funnel
from .text import aligned, count, one_line, plural

__all__ = ["facts", "pipeline_text", "projection_rows", "token_rows"]

_LABEL = 20  # width of the labels on the left
_WHY = {
    "start": "start",
    "no_ready_records": "no ready records",
    "barrier": "barriers",
    "held_back": "calls held back",
    "drain_tail": "drain tail",
    "end": "end",
}
_LEAST = 0.0005  # shares below that are not shown


def pipeline_text(found: PipelineNumbers) -> list[str]:
    """Lines for a terminal of about 100 columns."""
    lines = [f"{label:<{_LABEL}}{words}" for label, words in facts(found)]
    lines += ["", *funnel(found.funnel), "", *aligned(token_rows(found))]
    if found.projection is not None:
        lines += ["", *aligned(projection_rows(found.projection)), one_line(found.projection.method)]
    warnings = [f"warning: {one_line(words)}" for words in found.warnings]
    return [*lines, "", *warnings] if warnings else lines


def facts(found: PipelineNumbers) -> Iterator[tuple[str, str]]:
    """Label and words of each number."""
    yield (
        "pipeline",
        f"{one_line(found.pipeline)} over {one_line(found.input)}, {found.concurrency} in flight",
    )
    roots = (
        f"{count(found.roots)} = {count(found.accepted)} accepted + {count(found.filtered)} filtered"
        f" + {count(found.rejected)} rejected + {count(found.pending)} pending, in {found.seconds:.1f} s"
    )
    yield "roots", roots
    gpus = "" if found.gpus == 1 else f" ({found.gpus} GPUs)"
    rates = f"{_rate(found.rows_per_s)} a second, {_rate(found.rows_per_gpu_hour)} a GPU-hour{gpus}"
    yield "accepted rows", f"{count(found.rows)}: {rates}"
    if found.tokens_per_row is not None and found.output_tokens_per_row is not None:
        yield (
            "tokens per row",
            f"{_rate(found.tokens_per_row)}, of which {_rate(found.output_tokens_per_row)} in replies",
        )
    yield "wasted tokens", f"{found.wasted:.1%} of all: no accepted row descends from their calls"
    yield "output tokens/s", f"{_rate(found.output_tokens_per_s)} over the whole run"
    if found.ceiling is not None:
        yield "of the ceiling", _ceiling(found.ceiling)
    yield "teacher idle", _idle(found.idle)
    tail = found.drain_tail
    replies = f"replies take {tail.reply_p50:.2f} s (p50) to {tail.reply_p99:.2f} s (p99)"
    yield "drain tail", f"{tail.seconds:.1f} s, {tail.share:.1%} of the run; {replies}"
    yield "calls", f"{plural(found.calls, 'call')}, {_saved(found)}"
    if found.prefix_hits is not None:
        yield "prefix cache", _prefix(found)
    if found.durability is not None:
        yield "durability", _durability(found.durability)
    yield (
        "own CPU",
        f"{found.client.cpu_share:.0%} of a core, {found.client.cpu_per_1000:.2f} s for 1,000 calls",
    )


def token_rows(found: PipelineNumbers) -> list[list[str]]:
    """A table of what each block asked for, with its header."""
    rows = [["asking block", "calls", "prompt tokens", "output tokens", "wasted"]]
    for block in found.tokens:
        whole = block.prompt_tokens + block.output_tokens
        share = f"{block.wasted_tokens / whole:.1%}" if whole else "-"
        numbers = (block.calls, block.prompt_tokens, block.output_tokens)
        rows.append([one_line(block.name, 36), *map(count, numbers), share])
    return rows


def projection_rows(found: Projection) -> list[list[str]]:
    """A table of the projection, with its header."""
    rows = [[f"for {plural(found.input_rows, 'input row')}", "about", "from", "to"]]
    for name in ("rows", "calls", "prompt_tokens", "output_tokens"):
        label = "accepted rows" if name == "rows" else name.replace("_", " ")
        rows.append([label, *_estimate(getattr(found, name), "{:,.0f}")])
    return [*rows, ["hours", *_estimate(found.hours, "{:,.3g}")]]


def _estimate(found: Estimate, form: str) -> list[str]:
    ends = (found.value, found.low, found.high)
    return ["-" if value is None else form.format(value) for value in ends]


def _ceiling(found: Ceiling) -> str:
    plain = _rate(found.plain.output_tokens_per_s)
    if found.ratio is None:
        steady = "never steady"
    else:
        own = _rate(found.steady_output_tokens_per_s)
        steady = (
            f"{found.ratio:.1%} (± {1.96 * found.noise:.1%}) while all slots were taken, {own} of {plain}"
        )
    whole = "" if found.whole_ratio is None else f"; {found.whole_ratio:.1%} with start and tail"
    return f"{steady}{whole}"


def _idle(idle: Idle) -> str:
    reasons = sorted(((getattr(idle, name), words) for name, words in _WHY.items()), reverse=True)
    shown = [f"{words} {share:.1%}" for share, words in reasons if share >= _LEAST]
    return f"{idle.fraction:.1%} of its slot time" + (f": {', '.join(shown)}" if shown else "")


def _saved(found: PipelineNumbers) -> str:
    if not found.saved_calls:
        return "none of them identical greedy ones"
    return f"{count(found.saved_calls)} more ({found.saved_share:.1%}) saved as identical greedy ones"


def _prefix(found: PipelineNumbers) -> str:
    saved = f"{found.prefix_saved_tokens:,.0f} prompt tokens" if found.prefix_saved_tokens else "nothing"
    server = found.ceiling.plain.server if found.ceiling is not None else None
    plain = server.prefix_hits if server is not None else None
    beside = "" if plain is None else f"; {plain:.0%} in the plain loop"
    return f"had {found.prefix_hits:.0%}, about {saved}{beside}"


def _durability(found: Durability) -> str:
    share = "-" if found.cost is None else f"{found.cost:+.1%}"
    return (
        f"the run directory costs {share} of output tokens/s ({_rate(found.output_tokens_per_s_on)} against"
        f" {_rate(found.output_tokens_per_s_off)}); CPU for 1,000 calls {found.cpu_per_1000_on:.2f} s against"
        f" {found.cpu_per_1000_off:.2f} s"
    )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"
