"""The short version of ``kill_generate.py``: a job killed once in each of four steps."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from canary import CANARY
from jobs import JOBS
from kill_generate import job_bench, kill_job, undisturbed_job

GRACE = 0.3  # seconds: machines that run tests may have other things to do; the script allows 50 ms
SECONDS = 0.02  # a call
STEPS = ("fetching", "cutting", "generation", "mixing")


@pytest.mark.timeout(180)
def test_killed_jobs_end_as_undisturbed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are the same, byte for byte; nothing is left behind, and no more asked than was under way."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with job_bench(tmp_path, JOBS["short"], grace=GRACE, seconds=SECONDS) as bench:
        whole = undisturbed_job(bench)
        trial = kill_job(bench, whole, random.Random(7), STEPS)
    assert trial.wrong == []
    assert trial.unexplained == 0
    assert trial.repeats <= trial.bound
    assert trial.kills
