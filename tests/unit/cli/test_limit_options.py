"""Options that end a run early, and the exit code that tells of it."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from sdg_stream.cli import job as job_module
from sdg_stream.cli.app import app
from sdg_stream.cli.job import Job, verdict
from sdg_stream.engine.limits import BUDGETS, COST_BUDGET, TARGET_REACHED, TOKENS_BUDGET, Limits
from sdg_stream.events import RunReport

ARGUMENTS = ("run", "p.yaml", "--input", "in.jsonl", "--output", "out.jsonl")


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that the command came to perform, none of which was."""
    jobs: list[Job] = []

    def perform(job: Job, _key: str | None) -> int:
        jobs.append(job)
        return 0

    monkeypatch.setattr(job_module, "perform", perform)
    return jobs


def invoke(*arguments: str, **more: Any) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, [*ARGUMENTS, *arguments], **more)


def test_there_are_no_limits_by_default(performed: list[Job]) -> None:
    """Without these options all of the input is read."""
    assert invoke().exit_code == 0
    assert not performed[0].limits


def test_all_limits_arrive(performed: list[Job]) -> None:
    """Each option has its field."""
    options = {
        "--target": "5",
        "--max-candidates": "50",
        "--max-tokens-total": "5000",
        "--max-cost": "2.5",
        "--price-in": "0.5",
        "--price-out": "1.5",
        "--max-time": "60",
    }
    assert invoke(*(part for pair in options.items() for part in pair)).exit_code == 0
    assert performed[0].limits == Limits(
        target=5,
        max_candidates=50,
        max_tokens_total=5000,
        max_cost=2.5,
        price_in=0.5,
        price_out=1.5,
        max_time=60.0,
    )


def test_limits_come_from_the_environment_too(performed: list[Job]) -> None:
    """As every option does."""
    assert invoke(env={"SDG_STREAM_TARGET": "7"}).exit_code == 0
    assert performed[0].limits.target == 7


@pytest.mark.parametrize(
    "arguments", [("--target", "0"), ("--max-time", "0"), ("--max-cost", "-1"), ("--price-in", "-1")]
)
def test_limits_out_of_range(performed: list[Job], arguments: tuple[str, str]) -> None:
    """A limit of nothing is a mistake of the command line."""
    assert invoke(*arguments).exit_code == 2
    assert not performed


def test_a_cost_limit_without_prices_is_a_mistake(performed: list[Job]) -> None:
    """There is no built-in list of prices."""
    result = invoke("--max-cost", "5")
    assert result.exit_code == 2
    assert "price_out" in result.stderr
    assert not performed


def report(rows: int, stopped: str = "", with_rejects: int = 0) -> RunReport:
    """The account of a run of ten roots."""
    return RunReport(
        pipeline="p", roots=10, accepted=rows, rows=rows, stopped=stopped, roots_with_rejects=with_rejects
    )


@pytest.mark.parametrize("budget", sorted(BUDGETS))
def test_a_budget_is_exit_code_7(budget: str) -> None:
    """Whatever else is wrong with the rows: the run is not finished, and the words say what ended it."""
    code, words = verdict(report(0, budget, with_rejects=10), 0.5)
    assert code == 7
    assert budget in words


def test_the_missing_rows_are_told() -> None:
    """With a target, it is said how far the run came; missing it for want of input is no error."""
    code, words = verdict(report(8, TOKENS_BUDGET), 0.5, 20)
    assert code == 7
    assert words.endswith(
        "the token budget ended the run before its input, with 8 rows of the 20 that were wanted."
    )
    assert verdict(report(8), 0.5, 20) == (0, "The input ended before the target: 8 of 20 rows.")
    assert verdict(report(1, COST_BUDGET), 0.5)[1].endswith("with 1 row.")


def test_a_target_that_is_reached_is_success() -> None:
    """Unless too many roots have rejects, as ever."""
    assert verdict(report(20, TARGET_REACHED), 0.5, 20) == (0, "")
    assert verdict(report(20, TARGET_REACHED, with_rejects=6), 0.5, 20)[0] == 3
