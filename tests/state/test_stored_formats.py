"""Row 65: run directories that earlier versions left are read, gone on with, edited and retried.

They were made on another machine, in a folder that is not here. What a released version wrote stays readable,
or is refused in words; nobody finds out with a run of a week.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import sdg
from raw_teacher import raw_teacher
from small_runs import drive
from stored_runs import StoredRuns, StoredTeacher, rows_in, run_folder

from sdg_stream.events import RunReport
from sdg_stream.state import generations
from sdg_stream.state.reading import directory_of, read_run

NOBODY = "http://127.0.0.1:9/v1"  # the port of a service that no machine offers any more
FORMATS = (1,)


@pytest.fixture(params=FORMATS)
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> StoredRuns:
    """A copy of each format's runs."""
    return StoredRuns(request.param, tmp_path / "copied" / "here")


def session(
    runs: StoredRuns, output: Path, replies: Mapping[str, str | None] | None = None, **keep: Any
) -> tuple[RunReport, list[str]]:
    """One session of an output, and what was asked and answered in it; without replies nothing may be."""
    teacher = StoredTeacher(replies or {})
    report = drive(runs.pipeline().run, runs.input, output, teacher, **keep)
    return report, teacher.asked


def answers(output: Path) -> int:
    """How many answers are kept."""
    [(count,)] = rows_in(output, "select count(*) from calls")
    return int(count)


def begun_anew(runs: StoredRuns, replies: Mapping[str, str | None]) -> list[bytes]:
    """The rows of a run that knows nothing of earlier ones."""
    output = runs.folder / "anew.jsonl"
    session(runs, output, replies)
    return output.read_bytes().splitlines()


def test_row_65_the_stored_runs_are_what_they_are_said_to_be(runs: StoredRuns) -> None:
    """Half-way means: a torn line, rows that only the journal has, answers of roots that are not settled."""
    assert run_folder(runs.killed).joinpath("state.db-wal").stat().st_size
    golden, text = runs.finished.read_bytes(), runs.killed.read_bytes()
    assert golden.startswith(text)
    assert not text.endswith(b"\n")
    [(end, settled)] = rows_in(runs.killed, "select max(rows_end), max(below) from batches")
    assert golden[:end].count(b"\n") > text.count(b"\n") + 1
    [(kept,)] = rows_in(runs.killed, f"select count(*) from calls where place >= {settled}")
    assert kept
    assert (run_folder(runs.killed) / "rejects.jsonl").read_bytes().count(b"\n") > 2
    size = sum(file.stat().st_size for file in runs.folder.rglob("*") if file.is_file())
    assert size < 200_000


def test_row_65_a_stored_run_that_had_finished_is_finished(runs: StoredRuns) -> None:
    """It says so, asks nobody, and leaves its rows as they are."""
    before = runs.finished.read_bytes()
    report, _ = session(runs, runs.finished)
    assert (report.stopped, report.roots, report.rows) == ("finished before", 40, 15)
    assert runs.finished.read_bytes() == before


@pytest.mark.parametrize("boot", ["another", "the same", ""])
def test_row_65_a_stored_run_that_was_killed_goes_on(
    runs: StoredRuns, boot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to what the other one came to, and asks just what is not kept, on whatever machine."""
    if boot != "another":
        [(stored,)] = rows_in(runs.killed, "select value from meta where key = 'boot'")
        monkeypatch.setattr(generations, "boot_id", lambda: stored if boot else "")
    missing = answers(runs.finished) - answers(runs.killed)
    report, asked = session(runs, runs.killed, runs.replies)
    assert runs.killed.read_bytes() == runs.finished.read_bytes()
    rejects = [run_folder(output) / "rejects.jsonl" for output in (runs.killed, runs.finished)]
    assert rejects[0].read_bytes() == rejects[1].read_bytes()
    assert len(asked) == len(set(asked)) == missing
    finished, _ = session(runs, runs.finished)
    assert (report.roots, report.accepted, report.filtered, report.rejected, report.rejects) == (
        finished.roots,
        finished.accepted,
        finished.filtered,
        finished.rejected,
        finished.rejects,
    )
    assert session(runs, runs.killed)[0].stopped == "finished before"


def test_row_65_stored_runs_are_told(runs: StoredRuns) -> None:
    """Their sessions and accounts; whether one of another machine goes on nobody knows."""
    finished = read_run(directory_of(runs.finished))
    assert (finished.state, finished.settled_below) == ("finished", 40)
    assert finished.account is not None
    assert (finished.account.accepted, finished.account.rejects) == (15, 11)
    killed = read_run(directory_of(runs.killed))
    assert [one.ended for one in killed.sessions] == ["finished", "killed or running"]
    assert killed.used_by.startswith("process 4242 on some-other-machine")
    assert killed.account is not None
    assert 0 < killed.account.rows < finished.account.rows
    assert killed.cache.answers == answers(runs.killed)


def test_row_65_rejects_of_a_stored_run_are_retried(runs: StoredRuns) -> None:
    """Just what was rejected is asked again, and what follows from it; the rows are those of a run anew."""
    fine = {asked: reply or "[S]3[/S]" for asked, reply in runs.replies.items()}
    mended = {asked: "[Q]1000?[/Q]" if reply == "nothing to ask" else reply for asked, reply in fine.items()}
    mended["Question 1000"] = "[S]1[/S]"
    before = runs.finished.read_bytes()
    report, asked = session(runs, runs.finished, mended, retry_rejected=True)
    assert {one for one in asked if runs.replies.get(one) not in (None, "nothing to ask")} == set()
    assert (report.roots, report.rejects, report.pending) == (40, 0, 0)
    assert runs.finished.read_bytes().startswith(before)
    assert sorted(runs.finished.read_bytes().splitlines()) == sorted(begun_anew(runs, mended))
    assert (run_folder(runs.finished) / "rejects-1.jsonl").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "again"),
    [
        ("pipeline.yaml", "filter_value: 0", "filter_value: 2", None),
        ("prompts/judge.yaml", "Question {{", "Question now {{", "Question"),
    ],
    ids=["filter", "prompt"],
)
def test_row_65_a_stored_run_is_edited(
    runs: StoredRuns, file: str, old: str, new: str, again: str | None
) -> None:
    """What the edit does not reach is found among the answers; the rows are those of a run anew."""
    runs.edit(file, old, new)
    anew = begun_anew(runs, runs.replies)
    _, asked = session(runs, runs.finished, runs.replies, edited=True)
    assert {one.split()[0] for one in asked} == ({again} if again else set())
    assert runs.finished.read_bytes().splitlines() == anew
    assert not list(run_folder(runs.finished).glob("edited*"))


@pytest.mark.anyio
async def test_row_65_stored_runs_on_the_command_line(runs: StoredRuns) -> None:
    """``run`` leaves the finished one alone and goes on with the killed one; ``report`` tells of both."""
    folder = runs.folder
    command = ("run", "pipeline.yaml", "-i", "in.jsonl", "--endpoint-url")
    done = await sdg(folder, *command, NOBODY, "-o", "finished.jsonl")
    assert (done.returncode, done.stderr.count("This run is finished: 15 rows")) == (0, 1), done.stderr
    told = await sdg(folder, "report", "finished.jsonl")
    assert told.stdout.startswith("finished.jsonl: finished\n"), told.stderr
    told = await sdg(folder, "report", "killed.jsonl")
    assert told.stdout.startswith("killed.jsonl: killed or running (process 4242 on some-other-machine, ")

    missing = answers(runs.finished) - answers(runs.killed)
    teacher = StoredTeacher(runs.replies)
    async with raw_teacher(teacher.answer_post) as url:
        done = await sdg(folder, *command, url, "-o", "killed.jsonl")
    assert done.returncode == 0, done.stderr
    assert runs.killed.read_bytes() == runs.finished.read_bytes()
    assert len(teacher.asked) == missing
    told = await sdg(folder, "report", "killed.jsonl", "--json")
    found = json.loads(told.stdout)["run"]
    assert [one["ended"] for one in found["sessions"]] == ["finished", "killed", "finished"]
    assert (found["state"], found["output"], found["input"]) == ("finished", "killed.jsonl", "in.jsonl")
