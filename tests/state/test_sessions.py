"""Runs of several sessions: edited, killed, gone back on, retried; and journals that are not whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlite_calls
from disk_images import Disk, put
from small_runs import ALL, Project, SmallTeacher, counts, deterministic, some

from sdg_stream.errors import RunStateError
from sdg_stream.state import generations

pytestmark = [
    pytest.mark.skipif(not sqlite_calls.available(), reason="SQLite is built into the interpreter"),
    pytest.mark.timeout(3600 if ALL else 120),
]

EDITED = "Question now {{question}}"
EDITED_FILE = "out.jsonl.run/edited.jsonl"


@pytest.fixture(params=[False, True], ids=["fan-out", "barrier"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """A project of each kind of pipeline."""
    with deterministic():
        yield Project(tmp_path, barrier=request.param)


def recorded(project: Project, **keep: Any) -> Disk:
    """A session, write by write."""
    disk = Disk(project.data)
    with disk.recording():
        project.run(**keep)
    return disk


def rows_of(disk: Disk, path: str = "out.jsonl") -> list[int]:
    """The numbers of the calls that wrote rows."""
    return [number for number, call in enumerate(disk.calls) if call[:2] == ("write", path)]


def test_row_56_an_edited_run_is_killed_anywhere_and_ends_in_the_place_of_the_output(
    project: Project,
) -> None:
    """Until it is finished the output stays as it was; then it is what the edited pipeline makes at once."""
    project.run()
    before = project.text()
    project.write_pipeline(EDITED)
    disk = recorded(project, edited=True)
    wanted, rejects = project.text(), project.rejects.read_bytes()
    assert wanted != before
    for count in some(range(len(disk.calls) + 1), 24):
        image = disk.killed(count)
        assert image["out.jsonl"] in (before, wanted)
        put(project.data, image)
        project.run(edited=True)
        assert project.text() == wanted, f"call {count}"
        assert project.rejects.read_bytes() == rejects
        assert not list(project.run_folder.glob("edited*"))


def test_row_56_the_last_calls_of_an_edited_run(project: Project) -> None:
    """A kill between the end of an edited run and its taking the output's place: that is made good for."""
    project.run()
    project.write_pipeline(EDITED)
    disk = recorded(project, edited=True)
    wanted = project.text()
    first = next(number for number, call in enumerate(disk.calls) if call[:2] == ("move", EDITED_FILE))
    for count in range(first - 30, len(disk.calls)):
        put(project.data, disk.killed(count))
        project.run(edited=True)
        assert project.text() == wanted, f"call {count}"


def test_row_56_a_torn_output_is_mended_also_when_the_next_session_is_an_edited_one(project: Project) -> None:
    """The edit is given up: the run goes on from where the kill left it."""
    disk = recorded(project)
    golden = project.text()
    rows = rows_of(disk)
    put(project.data, disk.killed(rows[len(rows) // 2], 0.4))
    assert not project.text().endswith(b"\n")
    project.write_pipeline(EDITED)
    edited = recorded(project, edited=True)
    put(project.data, edited.killed(rows_of(edited, EDITED_FILE)[1]))
    assert project.text().endswith(b"\n")
    project.write_pipeline()
    project.run()
    assert project.text() == golden


@pytest.mark.parametrize("lost", ["state.db-wal", "state.db"])
def test_row_66_rows_without_a_journal_are_never_added_to(project: Project, lost: str) -> None:
    """The journal is lost before it was folded into the database: the run is refused, not begun anew."""
    disk = recorded(project)
    image = disk.killed(rows_of(disk)[1] + 1)
    name = f"out.jsonl.run/{lost}"
    for left in ({**image, name: b""}, {other: data for other, data in image.items() if other != name}):
        put(project.data, left)
        with pytest.raises(RunStateError, match="no journal of how they came there"):
            project.run()
        assert project.text() == image["out.jsonl"]
        project.run(overwrite=True)


def test_row_57_rows_of_the_first_second_are_put_aside_where_power_was_lost(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal had not come to the disk, the rows had: they are kept in a file of their own."""
    with monkeypatch.context() as patch:
        patch.setattr(generations, "boot_id", lambda: "one")
        disk = recorded(project)
    golden = project.text()
    first = rows_of(disk)[0]
    image = disk.synced(first + 1) | {"out.jsonl": disk.killed(first + 1)["out.jsonl"]}
    assert image["out.jsonl"]
    put(project.data, image)
    monkeypatch.setattr(generations, "boot_id", lambda: "the next one")
    project.run()
    assert project.text() == golden
    [kept] = project.run_folder.glob("*.cut-*")
    assert kept.read_bytes() == image["out.jsonl"]


def test_rejects_that_are_retried_time_and_again_give_each_row_once(project: Project) -> None:
    """Rows that a root has in the output stay its only ones, whatever is retried how often."""
    first = project.run()
    assert first.report.roots_with_rejects > 2
    rows = project.text()
    for _ in range(3):
        again = project.run(retry_rejected=True)
        assert project.text() == rows
        assert counts(again.report) == counts(first.report)
    put_away = sorted(file.name for file in project.run_folder.glob("rejects-*.jsonl"))
    assert put_away == ["rejects-1.jsonl", "rejects-2.jsonl", "rejects-3.jsonl"]
    mended = project.run(SmallTeacher(mended=True), retry_rejected=True)
    found = sorted(project.text().splitlines())
    put(project.data, {})
    wanted = project.run(SmallTeacher(mended=True))
    assert found == sorted(project.text().splitlines())
    assert counts(mended.report) == counts(wanted.report)


def test_row_56_a_retry_is_killed_anywhere(project: Project) -> None:
    """Each row comes once; what a killed retry has not run is run by the next session, unasked."""
    project.run()
    before = taken_rows(project)
    disk = Disk(project.data)
    with disk.recording():
        project.run(SmallTeacher(mended=True), retry_rejected=True)
    wanted = taken_rows(project)
    begun = next(n for n, call in enumerate(disk.calls) if call.what == "move" and "rejects" in call.path)
    for count in some(range(len(disk.calls) + 1), 20):
        put(project.data, disk.killed(count))
        result = project.run(SmallTeacher(mended=True))
        if count > begun:
            assert taken_rows(project) == wanted, f"call {count}"
            assert result.report.roots_with_rejects == 0
        else:
            assert taken_rows(project) in (before, wanted), f"call {count}"
        project.run(SmallTeacher(mended=True), retry_rejected=True)
        assert taken_rows(project) == wanted, f"call {count}"


def taken_rows(project: Project) -> list[bytes]:
    """The output's rows, sorted."""
    return sorted(project.text().splitlines())
