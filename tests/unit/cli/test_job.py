"""The exit code of a finished run."""

from __future__ import annotations

import pytest

from sdg_stream.cli.job import verdict
from sdg_stream.events import RunReport


def report(roots: int, rows: int, with_rejects: int = 0) -> RunReport:
    """An account with as much in it as the verdict looks at."""
    return RunReport(pipeline="p", roots=roots, rows=rows, roots_with_rejects=with_rejects)


@pytest.mark.parametrize(
    ("account", "rate", "code"),
    [
        (report(10, 10), 0.5, 0),
        (report(0, 0), 0.5, 0),
        (report(10, 0), 0.5, 3),
        (report(10, 5, 5), 0.5, 0),
        (report(10, 5, 6), 0.5, 3),
        (report(10, 9, 1), 0.0, 3),
        (report(10, 9, 0), 0.0, 0),
        (report(10, 10, 10), 1.0, 0),
    ],
)
def test_verdict(account: RunReport, rate: float, code: int) -> None:
    """Nothing accepted of something, or rejects in more roots than allowed, is 3, and told why."""
    got, words = verdict(account, rate)
    assert got == code
    assert bool(words) == bool(code)


def test_verdict_counts() -> None:
    """The count and the limit are in the words."""
    _, words = verdict(report(10, 5, 6), 0.5)
    assert words == ("Exit code 3: 6 of 10 roots (60%) have rejects, more than --max-reject-rate 0.5 allows.")
