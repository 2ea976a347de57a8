"""Rows 56 and 57: a session, recorded write by write, ends at each of them by a kill or a power loss."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlite_calls
from disk_images import Disk, Image, put
from small_runs import ALL, Project, Result, SmallTeacher, counts, deterministic, some

from sdg_stream.state import generations

pytestmark = [
    pytest.mark.skipif(not sqlite_calls.available(), reason="SQLite is built into the interpreter"),
    pytest.mark.timeout(3600 if ALL else 120),
]

KINDS: dict[str, dict[str, Any]] = {
    "fan-out": {},
    "barrier": {"barrier": True},
    "packed": {"suffix": ".gz"},
    "none": {"order": "none"},
    "always": {"fsync": "always"},
}


class Golden(NamedTuple):
    """A session that nothing happened to, and what it came to."""

    project: Project
    keep: dict[str, Any]
    disk: Disk
    result: Result
    text: bytes
    rejects: bytes

    def resume(self, image: Image) -> int:
        """Go on from what is on the disk, and see that it comes to the same; how many answers there were."""
        put(self.project.folder / "copy" / "data", image)
        kept = self._kept()
        put(self.project.data, image)
        found = self.project.run(**self.keep)
        if self.keep.get("order") == "none":  # which of two roots had a question first is left to chance
            assert questions(self.project.text()) == questions(self.text)
            assert (found.report.roots, found.report.pending) == (self.project.roots, 0)
        else:
            assert self.project.text() == self.text
            assert self.project.rejects.read_bytes() == self.rejects
            assert counts(found.report) == counts(self.result.report)
        assert found.calls == self.result.calls - kept
        return kept

    def _kept(self) -> int:
        """Answers that survived, found in a copy, since looking repairs."""
        copy = self.project.folder / "copy" / "data" / self.project.run_folder.name
        if not (copy / "state.db").exists():
            return 0
        return answers_in(copy)


def questions(text: bytes) -> list[str]:
    """The questions in an output, sorted."""
    return sorted(json.loads(line)["question"] for line in text.splitlines())


def answers_in(folder: Path) -> int:
    """How many answers a run directory keeps; looking repairs it."""
    database = sqlite3.connect(folder / "state.db")
    try:
        return int(database.execute("select count(*) from calls").fetchone()[0])
    except sqlite3.OperationalError:  # no such table
        return 0
    finally:
        database.close()


@pytest.fixture(params=KINDS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Golden]:
    """A recorded session of each kind."""
    options = dict(KINDS[request.param])
    keep: dict[str, Any] = {name: options.pop(name) for name in ("order", "fsync") if name in options}
    project = Project(tmp_path, **options)
    teacher = SmallTeacher()
    with deterministic():
        disk = Disk(project.data)
        with disk.recording(lambda: teacher.answered):
            result = project.run(teacher, **keep)
        yield Golden(project, keep, disk, result, project.text(), project.rejects.read_bytes())


def test_row_56_a_kill_at_any_write_loses_and_repeats_nothing(golden: Golden) -> None:
    """Whatever of a write was done: the output is a beginning of the golden one, and resuming completes it.

    Just those calls are made that are not in the journal, and ever more of them are.
    """
    disk, project, kept = golden.disk, golden.project, 0
    for count in some(range(len(disk.calls) + 1), 30):
        for part in disk.parts(count):
            image = disk.killed(count, part)
            put(project.data, image)
            if not golden.keep.get("order"):
                assert golden.text.startswith(project.text())
            now = golden.resume(image)
            assert now >= kept
            kept = now
    assert kept == golden.result.calls


def test_row_57_a_power_loss_at_any_write_costs_what_was_not_synced(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever came to the disk of what was not synced: resuming completes the output, from what is kept.

    No answer is bought again that had been synced.
    """
    disk, project = golden.disk, golden.project
    monkeypatch.setattr(generations, "boot_id", lambda: "the next one")
    for seed in range(2000 if ALL else 25):
        chance = random.Random(seed)
        count = chance.randrange(len(disk.calls) + 1)
        put(project.folder / "copy" / "data", disk.synced(count))
        surely = golden._kept()
        assert golden.resume(disk.power_lost(count, chance)) >= surely, f"seed {seed}"


def test_row_57_what_a_killed_session_left_is_synced_by_the_next(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill, and a power loss while the next session runs: bytes of the first one may still be in memory."""
    disk, project = golden.disk, golden.project
    for seed in range(1000 if ALL else 12):
        chance = random.Random(seed)
        killed = chance.randrange(len(disk.calls) + 1)
        put(project.data, disk.killed(killed))
        second = Disk(project.data, (disk, killed))
        monkeypatch.setattr(generations, "boot_id", lambda: "one")
        with second.recording():
            project.run(**golden.keep)
        monkeypatch.setattr(generations, "boot_id", lambda: "the next one")
        golden.resume(second.power_lost(chance.randrange(len(second.calls) + 1), chance))
