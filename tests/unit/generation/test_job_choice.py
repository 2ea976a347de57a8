"""Which job of an output folder is gone on with: new, unfinished, finished, changed, damaged."""

from __future__ import annotations

import json
import os
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from sdg_stream.errors import ConfigError, OutputError, RunStateError
from sdg_stream.events import RunReport
from sdg_stream.generation.job_file import Job, JobFile, choose
from sdg_stream.generation.report import GenerationReport, LeafReport
from sdg_stream.state.keep import Keep

FACTS: dict[str, Any] = {
    "leaf nodes": {"haiku": {"kind": "freeform_skill", "task_description": "Write a haiku."}},
    "training files": {"seed": 42},
    "teacher": {"model": "small", "api": "completions"},
}
CHANGED = {**FACTS, "training files": {"seed": 43}}
SUFFIX = "2024-07-25T15_52_10"
LATER = "2024-07-26T09_00_00"


def report(*, error: str = "") -> GenerationReport:
    """The account of a job with one leaf node."""
    leaf = LeafReport(name="haiku", kind="freeform_skill", rows=3, error=error)
    return GenerationReport(
        date_suffix=SUFFIX, output_dir="out", leaves=(leaf,), run=RunReport(pipeline="generate simple")
    )


def begun(folder: Path, suffix: str = SUFFIX, *, at: float | None = None, **content: Any) -> Path:
    """A job that is there; its ``job.json``."""
    job = Job(folder, suffix)
    job.open().release()
    job.save(JobFile(**{"facts": FACTS, **content}))
    file = job.folder / "job.json"
    if at is not None:
        os.utime(file, (at, at))
    return file


def test_nothing_there_is_a_new_job(tmp_path: Path) -> None:
    """Its suffix is the time, or the one that is given."""
    job = choose(tmp_path / "out", None, FACTS, Keep())
    assert job.before is None
    assert len(job.suffix) == len(SUFFIX)
    assert ":" not in job.suffix
    assert choose(tmp_path / "out", "mine", FACTS, Keep()) == Job(tmp_path / "out", "mine")
    assert not (tmp_path / "out").exists()


def test_an_unfinished_job_is_gone_on_with(tmp_path: Path) -> None:
    """When the same is wanted; also if the teacher is not known yet."""
    begun(tmp_path, commits={"tides": "abc"})
    for facts in (FACTS, {**FACTS, "teacher": {}}):
        job = choose(tmp_path, None, facts, Keep())
        assert job.suffix == SUFFIX
        assert job.before is not None
        assert job.before.commits == {"tides": "abc"}
        assert not job.before.finished
        assert job.changed == ()
    assert choose(tmp_path, None, FACTS, Keep(resume="require")).suffix == SUFFIX


@pytest.mark.parametrize("suffix", [None, SUFFIX])
def test_g5_an_unfinished_job_of_something_else_is_refused(tmp_path: Path, suffix: str | None) -> None:
    """The differences are shown, and what to do."""
    begun(tmp_path)
    with pytest.raises(RunStateError) as told:
        choose(tmp_path, suffix, {**CHANGED, "teacher": {"model": "large", "api": "completions"}}, Keep())
    words = str(told.value)
    assert f"generate_{SUFFIX}.run is not finished, and was begun with something else:" in words
    assert "training files: seed was 42, is 43" in words
    assert "model was small, is large" in words
    assert "--edited" in words
    assert "--resume never" in words


def test_edited_accepts_what_changed(tmp_path: Path) -> None:
    """And knows it; of an unfinished job as of a finished one."""
    for account in (None, report()):
        begun(tmp_path, report=account)
        job = choose(tmp_path, None, CHANGED, Keep(edited=True))
        assert job.suffix == SUFFIX
        assert job.changed == ("training files: seed was 42, is 43",)


def test_a_finished_job_is_found_again(tmp_path: Path) -> None:
    """Nothing has changed: it is that job, with its account."""
    begun(tmp_path, report=report())
    job = choose(tmp_path, None, FACTS, Keep())
    assert job.before is not None
    assert job.before.finished
    assert job.before.report == report()
    assert job.changed == ()


def test_a_job_with_a_failed_leaf_node_is_not_finished(tmp_path: Path) -> None:
    """So it is gone on with, and something else is refused."""
    begun(tmp_path, report=report(error="the document is broken"))
    job = choose(tmp_path, None, FACTS, Keep())
    assert job.before is not None
    assert not job.before.finished
    with pytest.raises(RunStateError, match="is not finished"):
        choose(tmp_path, None, CHANGED, Keep())


def test_something_else_behind_a_finished_job_is_a_new_one(tmp_path: Path) -> None:
    """Unless its suffix was asked for: that one is taken."""
    begun(tmp_path, report=report())
    job = choose(tmp_path, None, CHANGED, Keep())
    assert job.before is None
    assert job.suffix != SUFFIX
    with pytest.raises(RunStateError, match=r"is finished and was begun with something else"):
        choose(tmp_path, SUFFIX, CHANGED, Keep())


def test_resume_never_makes_a_new_one(tmp_path: Path) -> None:
    """Under another name; a name that is taken is refused."""
    begun(tmp_path)
    job = choose(tmp_path, None, FACTS, Keep(resume="never"))
    assert job.before is None
    assert job.suffix != SUFFIX
    assert choose(tmp_path, "mine", FACTS, Keep(resume="never")).before is None
    with pytest.raises(RunStateError, match="exists; name another date suffix"):
        choose(tmp_path, SUFFIX, FACTS, Keep(resume="never"))


def test_another_set_leaves_everything_as_it_is(tmp_path: Path) -> None:
    """Except what it began itself and did not finish: that is gone on with, behind whatever else there is."""
    begun(tmp_path, at=1000, report=report())
    begun(tmp_path, LATER, at=2000)
    begun(tmp_path, "changed", at=3000, facts=CHANGED)
    begun(tmp_path, "damaged", at=4000).write_text("{")
    assert choose(tmp_path, None, FACTS, Keep(), another=True).suffix == LATER
    begun(tmp_path, LATER, report=report())
    job = choose(tmp_path, None, FACTS, Keep(), another=True)
    assert job.before is None
    assert not job.folder.exists()


@pytest.mark.parametrize("suffix", [None, "mine"])
def test_resume_require_wants_one(tmp_path: Path, suffix: str | None) -> None:
    """A job that is there by the name that is asked for."""
    if suffix is not None:
        begun(tmp_path)
    with pytest.raises(RunStateError, match="there is nothing to go on with"):
        choose(tmp_path, suffix, FACTS, Keep(resume="require"))


def test_the_latest_job_is_gone_on_with(tmp_path: Path) -> None:
    """That which was worked on last, whatever the jobs are called; a folder without a job.json is none."""
    begun(tmp_path, "mine", at=1000, report=report())
    begun(tmp_path, LATER, at=2000)
    begun(tmp_path, SUFFIX, at=1500, report=report())
    (tmp_path / "generate_z.run").mkdir()
    assert choose(tmp_path, None, FACTS, Keep()).suffix == LATER
    assert choose(tmp_path, "mine", FACTS, Keep()).suffix == "mine"


def test_two_jobs_of_one_second_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new job never takes what another one has made."""

    class Stopped(datetime):
        """A clock that stands still."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            """Always the same."""
            return cls(2024, 7, 25, 15, 59, 59, tzinfo=tz)

    monkeypatch.setattr("sdg_stream.generation.dated_suffix.datetime", Stopped)
    first = choose(tmp_path, None, FACTS, Keep())
    begun(tmp_path, first.suffix, report=report())
    second = choose(tmp_path, None, CHANGED, Keep())
    begun(tmp_path, second.suffix, report=report(), facts=CHANGED)
    third = choose(tmp_path, None, FACTS, Keep(resume="never"))
    assert [job.before for job in (first, second, third)] == [None] * 3
    assert [job.suffix for job in (first, second, third)] == [
        "2024-07-25T15_59_59", "2024-07-25T16_00_00", "2024-07-25T16_00_01",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "job.json is damaged: .*--resume never"),
        ('{"facts": 5}', "job.json is damaged: .*facts"),
        ('{"format": 7, "version": "9.9", "facts": {}}', "has format 7, written by version 9.9"),
    ],
)
def test_a_damaged_or_foreign_job_is_refused(tmp_path: Path, content: str, words: str) -> None:
    """And --resume never begins beside it."""
    begun(tmp_path).write_text(content)
    with pytest.raises(RunStateError, match=words):
        choose(tmp_path, None, FACTS, Keep())
    assert choose(tmp_path, None, FACTS, Keep(resume="never")).suffix != SUFFIX


@pytest.mark.parametrize("suffix", ["", "a/b", "..", "a\nb"])
def test_a_suffix_that_names_no_file_is_refused(tmp_path: Path, suffix: str) -> None:
    """Before anything is made."""
    with pytest.raises(ConfigError, match="date suffix"):
        choose(tmp_path, suffix, FACTS, Keep())


def test_a_job_has_one_owner(tmp_path: Path) -> None:
    """Another start of it is told who has it."""
    job = Job(tmp_path, SUFFIX)
    lock = job.open()
    with pytest.raises(RunStateError, match=f"in use by process {os.getpid()}"):
        Job(tmp_path, SUFFIX).open()
    lock.release()
    job.open().release()


def test_folders_that_cannot_be_made_are_told(tmp_path: Path) -> None:
    """As an output error."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot make the folder"):
        Job(tmp_path / "out", SUFFIX).open()


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    """Facts, commits, command and account; people can read it."""
    content = JobFile(facts=FACTS, commits={"a": "b"}, command="sdg-stream generate", report=report())
    job = Job(tmp_path, SUFFIX)
    job.open().release()
    job.save(content)
    assert choose(tmp_path, None, FACTS, Keep()).before == content
    text = (job.folder / "job.json").read_text()
    assert json.loads(text) == json.loads(msgspec.json.encode(content))
    assert '\n  "command": "sdg-stream generate"' in text
