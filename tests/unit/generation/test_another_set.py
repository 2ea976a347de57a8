"""Another set of files: what a job that is left as it is means to ``choose``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdg_stream.events import RunReport
from sdg_stream.generation.job_file import Job, JobFile, choose
from sdg_stream.generation.report import GenerationReport
from sdg_stream.state.keep import Keep

FACTS: dict[str, Any] = {"training files": {"seed": 42}, "teacher": {"model": "m", "api": "chat"}}
OTHER: dict[str, Any] = {**FACTS, "training files": {"seed": 43}}


def begun(folder: Path, suffix: str, facts: dict[str, Any], *, finished: bool = False) -> Path:
    """A job that is there; its ``job.json``."""
    job = Job(folder, suffix)
    job.open().release()
    run = RunReport(pipeline="generate simple")
    report = GenerationReport(date_suffix=suffix, output_dir=str(folder), leaves=(), run=run)
    job.save(JobFile(facts=facts, report=report if finished else None))
    return job.folder / "job.json"


def test_a_finished_job_is_left(tmp_path: Path) -> None:
    """Though the same is wanted, a new one begins, under another name."""
    begun(tmp_path, "2024-07-25T15_52_10", FACTS, finished=True)
    job = choose(tmp_path, None, FACTS, Keep(), another=True)
    assert job.before is None
    assert job.suffix != "2024-07-25T15_52_10"


def test_an_unfinished_job_of_the_same_is_gone_on_with(tmp_path: Path) -> None:
    """Also where others, finished or not, were worked on since."""
    begun(tmp_path, "2024-07-25T15_52_10", FACTS)
    begun(tmp_path, "2024-07-25T15_52_11", FACTS, finished=True)
    begun(tmp_path, "2024-07-25T15_52_12", OTHER)
    job = choose(tmp_path, None, FACTS, Keep(), another=True)
    assert job.suffix == "2024-07-25T15_52_10"
    assert job.before is not None


def test_an_unfinished_job_of_something_else_is_left(tmp_path: Path) -> None:
    """Nobody is asked what to do with it."""
    begun(tmp_path, "2024-07-25T15_52_10", OTHER)
    assert choose(tmp_path, None, FACTS, Keep(), another=True).before is None


def test_a_damaged_job_is_left(tmp_path: Path) -> None:
    """It hinders no other one."""
    begun(tmp_path, "2024-07-25T15_52_10", FACTS)
    begun(tmp_path, "2024-07-25T15_52_11", FACTS).write_text("{")
    job = choose(tmp_path, None, FACTS, Keep(), another=True)
    assert job.suffix == "2024-07-25T15_52_10"


def test_a_suffix_that_is_given_decides(tmp_path: Path) -> None:
    """It names the job, finished or not."""
    begun(tmp_path, "mine", FACTS, finished=True)
    job = choose(tmp_path, "mine", FACTS, Keep(), another=True)
    assert job.before is not None
    assert job.before.finished
