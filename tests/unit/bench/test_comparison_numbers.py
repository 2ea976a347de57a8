"""The arithmetic of the comparison with other tools: bounds, ratios, spread, and what is kept of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparison.bounds import Call, best_makespan
from comparison.records import Record, Records, Spread, spread_of, words_of
from comparison.report import Facts, ahead, render, times_worse
from comparison.work import ASK, ask_rows, chain_rows, chain_stages, expected
from driving import Stage, Tag, filled, variables

from sdg_stream.simulator.settings import SimulatorSettings

SETTINGS = SimulatorSettings(latency="fixed", latency_seconds=0.5, slots=4, reply="Yes.")


def test_calls_take_the_first_free_slot() -> None:
    """Independent calls are scheduled in their order, each as soon as a slot is free."""
    calls = [Call(seconds) for seconds in (3.0, 1.0, 1.0, 2.0)]
    assert best_makespan(calls, 1) == 7.0
    assert best_makespan(calls, 2) == 4.0  # 3 beside 1, 1 and 2
    assert best_makespan(calls, 9) == 3.0
    assert best_makespan([], 2) == 0.0


def test_a_call_waits_for_the_one_it_needs() -> None:
    """A chain takes the sum of its calls, however many slots there are; deeper calls go before new ones."""
    chain = [Call(1.0), Call(1.0, 1, 0), Call(1.0, 2, 1)]
    assert best_makespan(chain, 8) == 3.0
    assert best_makespan([*chain, Call(1.0)], 1) == 4.0
    deep_first = [Call(1.0), Call(5.0), Call(4.0, 1, 0)]
    assert best_makespan(deep_first, 1) == 10.0


def test_the_work_is_known_beforehand() -> None:
    """One stage makes a call and a row a record; the chain fans out and drops some."""
    asked = expected(ASK, ask_rows(10), SETTINGS)
    assert asked == (1.5, 10, 10)  # three rounds of four slots
    chain = expected(chain_stages(), chain_rows(3), SimulatorSettings(latency="fixed", slots=64))
    assert 3 * 11 < chain.calls <= 3 * 31  # a seed: one call, ten judgements, at most twenty more
    assert 0 < chain.rows < 30


@pytest.mark.parametrize(
    ("value", "ours", "more", "worse"),
    [(2.0, 1.0, False, 2.0), (0.5, 1.0, False, 0.5), (50.0, 100.0, True, 2.0), (1.0, 0.0, False, None)],
)
def test_times_worse(value: float, ours: float, more: bool, worse: float | None) -> None:
    """Above one is worse than ours, whichever direction is better; nothing is divided by zero."""
    assert times_worse(value, ours, more_is_better=more) == worse


def test_who_is_ahead() -> None:
    """Only who is better by more than two in a hundred is ahead."""
    assert ahead({"sdg_stream": 1.0, "a": 0.99, "b": 0.9, "c": 1.5}, more_is_better=False) == ["b"]
    assert ahead({"sdg_stream": 1.0, "a": 1.01, "b": 0.9, "c": 1.5}, more_is_better=True) == ["c"]
    assert ahead({"sdg_stream": 5.0, "a": 0.0}, more_is_better=False) == ["a"]


def test_why_something_is_ahead_is_told_where_it_is(tmp_path: Path) -> None:
    """The verdict of a case ends with the reason if a client or a tool is above us, else without."""
    records = Records(tmp_path)
    records.add("memory", Record("sdg_stream", 0, {"mb_1000": 50.0}))
    records.add("memory", Record("curator", 0, {"mb_1000": 320.0}))
    facts = Facts(machine="", command="", versions={})
    assert "Why: " not in render(records, facts)
    records.add("memory", Record("aiohttp", 0, {"mb_1000": 40.0}))
    told = render(records, facts)
    assert "Ceilings above it: aiohttp 40 against 50 (MB at 1,000 rows). Why: it holds an HTTP client" in told
    records.add("memory", Record("curator", 0, {"mb_1000": 30.0}))
    assert "**sdg_stream does not lead everywhere here.** Better: curator 30 against 50" in render(
        records, facts
    )


def test_the_days_are_those_of_the_runs(tmp_path: Path) -> None:
    """Tables made anew of kept runs tell when these were made, not when the tables were."""
    records = Records(tmp_path)
    facts = Facts(machine="a machine", command="", versions={})
    records.add("memory", Record("curator", 0, {"mb_1000": 3.0}, date="2026-11-02T23:59:00+00:00"))
    assert "\n2026-11-02, a machine. " in render(records, facts)
    records.add("memory", Record("curator", 1, {"mb_1000": 3.0}, date="2026-11-04T00:01:00+00:00"))
    records.add("memory", Record("curator", 2, {"mb_1000": 3.0}, date="2026-11-03T00:01:00+00:00"))
    assert "\n2026-11-02 to 2026-11-04, a machine. " in render(records, facts)


def test_records_are_kept_by_tool_and_repeat(tmp_path: Path) -> None:
    """A later run takes the place of an earlier one; spread and reasons are of what is there then."""
    records = Records(tmp_path)
    for repeat, value in ((0, 9.0), (0, 1.0), (1, 3.0), (2, 2.0)):
        records.add("zero", Record("a", repeat, {"n": value}))
    records.add("zero", Record("b", 0, reason="did not end"))
    found = records.of_tool("zero", "a")
    assert spread_of(found, "n") == Spread(2.0, 1.0, 3.0, 3)
    assert spread_of(found, "other") is None
    assert words_of(records.of_tool("zero", "b"), "n") == "did not end"
    assert records.of("none") == {}


def test_a_stage_reads_replies_as_the_pipelines_do() -> None:
    """Texts between tags become records, one or many; a filter drops what is low or no number."""
    tags = [Tag("why", "[W]", "[/W]"), Tag("score", "[S]", "[/S]")]
    judge = Stage("judge", "{{a}}", tags, keep=("score", 1.0))
    assert judge.parse("[W] so [/W][S]1[/S]") == [{"why": "so", "score": "1"}]
    assert (
        judge.parse("[W]so[/W][S]0[/S]") == judge.parse("[W]so[/W][S]x[/S]") == judge.parse("no tags") == []
    )
    many = Stage("many", "", [Tag("q", "[Q]", "[/Q]")], many=True)
    assert many.parse("[Q]a[/Q] [Q]b[/Q]") == [{"q": "a"}, {"q": "b"}]
    assert Stage("all", "", [Tag("text", "", "")]).parse("  ") == []


def test_templates_without_jinja() -> None:
    """Plain variables are filled in, and named once each."""
    assert filled(" {{a}} and {{ b }} and {{a}} ", {"a": 1, "b": "x"}) == "1 and x and 1"
    assert variables("{{a}} and {{ b }} and {{a}}") == ["a", "b"]
