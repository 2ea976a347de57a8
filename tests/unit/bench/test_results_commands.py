"""``bench/results.py``: what it runs, and how it waits for a quiet machine."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
from results import HERE, commands, wait_until_quiet

PLAIN = Namespace(quick=False, again=False, venvs=None, results_dir=None)


def test_options_are_passed_through_to_whom_they_concern() -> None:
    """The GPU only where there is one."""
    assert list(commands(PLAIN, has_gpu=False)) == [["budgets.py", "--write"], ["compare.py"]]
    full = Namespace(quick=True, again=True, venvs=Path("v"), results_dir=Path("r"))
    found = list(commands(full, has_gpu=True))
    assert found == [
        ["budgets.py", "--quick", "--write"],
        ["compare.py", "--quick", "--again", "--venvs", "v", "--results-dir", "r"],
        ["gpu.py", "--install", "--write", "--venvs", "v"],
    ]
    assert all((HERE / script).is_file() for script, *_ in found)


@pytest.mark.parametrize(
    ("loads", "slept", "words"),
    [
        ([0.2], 0, ""),
        ([1.2, 0.9, 0.4], 2, "The load average is 1.2; waiting until it is below 0.5.\n"),
        ([1.2] * 31, 30, "It is still 1.2: going on"),
    ],
)
def test_it_waits_for_a_quiet_machine_but_not_for_ever(
    loads: list[float], slept: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five minutes at most; and it says that it waits."""
    seen = iter(loads)
    sleeps: list[float] = []
    wait_until_quiet(lambda: next(seen), sleeps.append)
    assert sleeps == [10] * slept
    said = capsys.readouterr().out
    assert words in said
    assert bool(said) is bool(slept)
