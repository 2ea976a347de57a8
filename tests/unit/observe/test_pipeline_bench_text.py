"""A pipeline's numbers as text, as a page, and beside those of another run."""

from __future__ import annotations

from typing import Any

import msgspec
from sample_bench import report
from sample_pipeline import NUMBERS

from sdg_stream.loadtest.compare import compared
from sdg_stream.loadtest.files import as_json
from sdg_stream.loadtest.levels import Level
from sdg_stream.loadtest.pipeline_results import Ceiling, Durability, PipelineNumbers
from sdg_stream.loadtest.results import BenchReport
from sdg_stream.observe.bench_page import bench_page
from sdg_stream.observe.bench_text import bench_text, comparison_text
from sdg_stream.observe.pipeline_bench_text import pipeline_text


def with_run(found: PipelineNumbers | None) -> BenchReport:
    """A load test without levels, and with a run of a pipeline."""
    return report(levels=(), pipeline=found)


def text(**more: Any) -> str:
    """The lines for the sample numbers, with changes."""
    return "\n".join(pipeline_text(msgspec.structs.replace(NUMBERS, **more)))


def test_all_numbers_are_told() -> None:
    """The headline, waste, idle slots with their reasons, tail, ceiling, funnel, tokens, projection."""
    told = text()
    assert "100 = 80 accepted + 15 filtered + 5 rejected + 0 pending, in 50.0 s" in told
    assert "160: 3.2 a second, 5,760 a GPU-hour (2 GPUs)" in told
    assert "5,000, of which 1,200 in replies" in told
    assert "25.0% of all" in told
    assert "98.0% (± 2.0%) while all slots were taken, 3,920 of 4,000; 96.0% with start and tail" in told
    assert "7.0% of its slot time: drain tail 5.0%, no ready records 2.0%" in told
    assert "2.0 s, 4.0% of the run; replies take 0.50 s (p50) to 2.00 s (p99)" in told
    assert "900 calls, 100 more (10.0%) saved" in told
    assert "had 60%, about 364,800 prompt tokens" in told
    lines = [line.split() for line in told.splitlines()]
    assert ["accepted", "rows", "1,600", "1,500", "1,700"] in lines
    assert ["hours", "0.14", "0.13", "0.15"] in lines
    assert ["gen", "100", "80,000", "20,000", "20.0%"] in lines
    assert "warning: odd" in told


def test_what_is_not_known_is_left_out() -> None:
    """No rows, no ceiling, no projection, no /metrics, nothing saved."""
    told = text(
        tokens_per_row=None, ceiling=None, projection=None, prefix_hits=None, saved_calls=0, warnings=()
    )
    assert "tokens per row" not in told
    assert "ceiling" not in told
    assert "prefix cache" not in told
    assert "for 1,000 input rows" not in told
    assert "none of them identical" in told
    assert "warning" not in told


def test_a_run_that_was_never_steady_says_so() -> None:
    """The whole run is compared all the same."""
    level = Level(concurrency=8, requests_in_flight=8, seconds=1, completed=9, output_tokens_per_s=4000.0)
    never = Ceiling(
        plain=level,
        steady_seconds=0,
        steady_output_tokens_per_s=0,
        ratio=None,
        noise=0.0,
        whole_ratio=0.5,
        kept_prompts=3,
        times=2,
    )
    assert "never steady; 50.0% with start and tail" in text(ceiling=never)


def test_what_the_run_directory_costs_is_told_if_it_was_measured() -> None:
    """In tokens and in CPU time."""
    found = Durability(
        seconds_on=10,
        seconds_off=9,
        output_tokens_per_s_on=99.0,
        output_tokens_per_s_off=100.0,
        rows_per_s_on=1,
        rows_per_s_off=1,
        cpu_per_1000_on=0.9,
        cpu_per_1000_off=0.8,
        cost=0.01,
    )
    told = text(durability=found)
    assert "costs +1.0% of output tokens/s (99.0 against 100.0); CPU for 1,000 calls 0.90 s" in told


def test_table_page_and_json_have_it() -> None:
    """And the JSON comes back as it was; names from files are harmless on the page."""
    hostile = msgspec.structs.replace(NUMBERS, pipeline="<script>x</script>")
    found = with_run(hostile)
    assert "teacher idle" in bench_text(found)
    page = bench_page(found)
    assert "The pipeline itself" in page
    assert "drain tail 5.0%" in page
    assert "<script>x" not in page
    assert msgspec.json.decode(as_json(found), type=BenchReport) == found
    assert "The pipeline itself" not in bench_page(with_run(None))


def test_two_runs_are_compared_number_by_number() -> None:
    """Ratios where both know a number, and what differs between the runs before them."""
    faster = msgspec.structs.replace(
        NUMBERS, rows_per_s=2 * NUMBERS.rows_per_s, concurrency=16, prefix_hits=None
    )
    told = comparison_text(compared(with_run(NUMBERS), with_run(faster)))
    assert "run: concurrency  8  ->  16" in told
    lines = {line.split("  ")[0]: line.split() for line in told.splitlines()}
    assert lines["accepted rows/s"][-3:] == ["3.2", "6.4", "2.000"]
    assert lines["prefix hits, share"][-3:] == ["0.6", "-", "-"]
    assert "the pipeline itself" in comparison_text(compared(with_run(NUMBERS), with_run(None)))
    assert "the pipeline itself" not in comparison_text(compared(with_run(None), with_run(None)))
