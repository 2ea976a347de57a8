"""The table of the budgets: what holds, and why something does not."""

from __future__ import annotations

from typing import Any

import budgets
import pytest
from budget_list import BUDGETS, Lines, growth, kept_busy


@pytest.mark.parametrize(("per_s", "holds"), [(199_999, False), (200_000, True)])
def test_what_does_not_hold_says_why(per_s: int, holds: bool) -> None:
    """By the median, whatever the spread; below the table, and only then."""
    line = {"case": "row_fusion", "per_s": per_s, "spread_per_s": [150_000, 250_000]}
    found = budgets.measured("row_blocks", quick=True, run=lambda _: [line])
    assert found["holds"] is holds
    told = budgets.table([found], 0.25, quick=True)
    assert f"| {per_s:,} (150,000 to 250,000) | {'yes' if holds else '**no**'} |" in told
    assert (f"- **{found['what']}**: {BUDGETS['row_blocks'].why}." in told) is not holds
    assert ("What does not hold" in told) is not holds


def test_a_benchmark_that_failed_gives_no_reasons() -> None:
    """Nothing was measured, so nothing is explained."""

    def fails(_: str) -> Lines:
        raise RuntimeError("the benchmark failed with exit code 2")

    told = budgets.table([budgets.measured("row_blocks", quick=False, run=fails)], 0.0, quick=False)
    assert "nothing; the benchmark failed with exit code 2" in told
    assert BUDGETS["row_blocks"].why not in told


def test_a_benchmark_that_broke_off_leaves_its_row_empty() -> None:
    """The other budgets are measured all the same, and the command names those that the table has."""
    found = budgets.measured("input_order", quick=False, run=lambda _: [{"case": "chain", "order": "none"}])
    told = budgets.table([found], 0.0, quick=False)
    assert "nothing; the benchmark broke off: it printed no line with" in told
    assert "Made by `python bench/budgets.py --only input_order --write`" in told


def test_every_command_is_there() -> None:
    """Each budget names scripts that exist, in both sizes."""
    for budget in BUDGETS.values():
        for command in (budget.command, budget.quick):
            assert (budgets.HERE / command.split()[0]).is_file()


def test_a_job_is_beside_one_leaf_node_at_a_time() -> None:
    """Where that was run, too."""
    together: dict[str, Any] = {"how": "together", "busy": 0.96}
    assert kept_busy([together]).beside == ""
    lines: Lines = [
        together,
        {"how": "by_leaf", "busy": 0.25},
        {"case": "busy", "by_leaf_over_together": 3.49},
    ]
    assert kept_busy(lines) == (0.96, 0.96, 0.96, "leaf by leaf: 0.25, and 3.5 times as long")


def test_growth_says_how_large_the_largest_was() -> None:
    """Quick runs have smaller ones."""
    lines: Lines = [
        {"case": "rows", "input_rows": 1000, "peak_mb": 38.0},
        {"case": "rows", "input_rows": 100_000, "peak_mb": 40.0},
        {"case": "rows", "largest_over_smallest": 1.053},
        {"case": "calls", "largest_over_smallest": 9.0},
    ]
    assert growth("rows")(lines) == (1.053, 1.053, 1.053, "40.0 MB at 100,000")
