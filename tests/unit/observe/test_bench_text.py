"""A load test on the screen."""

from __future__ import annotations

import msgspec
from sample_bench import LEVELS, SETUP, report

from sdg_stream.loadtest.compare import compared
from sdg_stream.loadtest.results import Spread
from sdg_stream.observe.bench_text import bench_text, comparison_text, level_line


def test_the_table_and_what_follows() -> None:
    """Set-up, a line for each level, the server's own numbers, then what to type."""
    lines = bench_text(report()).splitlines()
    assert lines[0] == "m at http://h/v1 (vLLM 1.0), completions API, streamed"
    chosen = next(line for line in lines if line.lstrip().startswith("8 *"))
    assert chosen.split()[2:5] == ["80.0", "800.0", "2,400"]
    assert "By the server's own /metrics:" in lines
    assert lines[-1].startswith("Recommended: --concurrency 8 (8 in flight give")
    assert max(map(len, lines[:-1])) <= 100


def test_without_streams_and_metrics_their_columns_are_not_there() -> None:
    """Nothing but what was measured."""
    bare = tuple(
        msgspec.structs.replace(level, first_token=None, inter_token=None, server=None) for level in LEVELS
    )
    text = bench_text(report(levels=bare))
    assert "TTFT" not in text
    assert "/metrics" not in text


def test_what_speaks_against_the_numbers_stands_before_the_recommendation() -> None:
    """Warnings, a client at its limit, an end before the end."""
    text = bench_text(report(warnings=("odd",), client_bound=True, interrupted=True))
    places = [text.index(words) for words in ("warning: odd", "CLIENT-BOUND", "Interrupted", "Recommended")]
    assert places == sorted(places)
    assert "Nothing succeeded" in bench_text(report(recommended_concurrency=None))


def test_replicas_show_their_spread() -> None:
    """Of the recommended level."""
    level = msgspec.structs.replace(
        LEVELS[1], spread={"output_tokens_per_s": Spread(low=790.0, high=810.0)}, replicas=(LEVELS[1],) * 3
    )
    assert "Spread of 3 replicas: 790.0 to 810.0." in bench_text(report(levels=(LEVELS[0], level)))


def test_what_a_server_says_is_harmless() -> None:
    """A model's name may hold escape sequences and line breaks."""
    text = bench_text(report(setup=msgspec.structs.replace(SETUP, model="a\x1b[2Jb\nc")))
    assert text.startswith("ab c at http://h/v1")
    assert "\x1b" not in text


def test_a_line_for_each_level() -> None:
    """While the others are still to come."""
    assert level_line(LEVELS[0]) == "4 in flight: 40.0 requests/s, 400.0 output tokens/s, median 0.100 s"
    failed = msgspec.structs.replace(LEVELS[0], errors={"timeout": 3}, output_tokens_per_s=0.0)
    assert level_line(failed) == "4 in flight: 40.0 requests/s, median 0.100 s, 3 failed"


def test_a_comparison_says_first_what_differs() -> None:
    """Then the ratio of each level, and the recommendations."""
    other = report(setup=msgspec.structs.replace(SETUP, model="n"), levels=LEVELS[:2])
    lines = comparison_text(compared(report(), other)).splitlines()
    assert lines[:2] == ["The set-ups differ:", "  model  m  ->  n"]
    assert "  1.000" in lines[4]
    assert "Only one of them has 16 in flight." in lines
    assert lines[-1] == "Best rate: B / A = 1.000. Recommended --concurrency: A 8, B 8."
    assert comparison_text(compared(report(), report())).startswith("The set-ups are the same.")
