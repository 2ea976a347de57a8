"""Rows 56 and 66: each file of a run is cut, filled with zeros or changed at each of its bytes.

What a kill or a power loss can have left is mended without a word. All else is refused, with file and line,
and nothing is touched; rows are never lost, repeated or changed in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlite_calls
from disk_images import Disk, Image, put
from small_runs import ALL, Project, Result, counts, deterministic, some

from sdg_stream.errors import RunStateError
from sdg_stream.state import generations

pytestmark = [
    pytest.mark.skipif(not sqlite_calls.available(), reason="SQLite is built into the interpreter"),
    pytest.mark.timeout(4 * 3600 if ALL else 120),
]

OUTPUT = "out.jsonl"
REJECTS = "out.jsonl.run/rejects.jsonl"
STATE = "out.jsonl.run/state.db"
WAL = "out.jsonl.run/state.db-wal"

Damage = Callable[[bytes, int], bytes]


def cut(data: bytes, offset: int) -> bytes:
    """Without everything from there on."""
    return data[:offset]


def zeros(data: bytes, offset: int) -> bytes:
    """With zeros from there on, as some file systems leave what was not written in time."""
    return data[:offset] + bytes(len(data) - offset)


def flipped(data: bytes, offset: int) -> bytes:
    """With one byte turned around."""
    return data[:offset] + bytes([data[offset] ^ 0xFF]) + data[offset + 1 :]


def one_bit(data: bytes, offset: int) -> bytes:
    """With one bit turned around: text stays text, and numbers stay numbers."""
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


class Scene(NamedTuple):
    """A run as it was left, and what it must come to."""

    project: Project
    image: Image
    synced: Image
    result: Result
    text: bytes
    rejects: bytes

    def outcome(self, path: str, damaged: bytes) -> str:
        """The refusal of a run with one file damaged; empty if it came to what it must all the same."""
        put(self.project.data, {**self.image, path: damaged})
        try:
            found = self.project.run()
        except RunStateError as error:
            now = self.project.output.read_bytes()
            if path == OUTPUT:
                assert now == damaged
            else:
                assert self.text.startswith(now)
                assert now.startswith(self.image[OUTPUT])
            return str(error)
        assert self.project.text() == self.text
        assert self.project.rejects.read_bytes() == self.rejects
        assert counts(found.report) == counts(self.result.report)
        return ""

    def line(self, path: str, offset: int) -> int:
        """The number of the line that a byte belongs to."""
        return self.image[path].count(b"\n", 0, offset) + 1


@pytest.fixture(params=["finished", "killed", "killed again"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A finished run; one that was killed with a torn row; one that was killed in its second session."""
    monkeypatch.setattr(generations, "boot_id", lambda: "one")
    project = Project(tmp_path)
    with deterministic():
        if request.param == "killed again":
            project.run(limit=6)
        disk = Disk(project.data)
        with disk.recording():
            result = project.run()
        count = len(disk.calls)
        if request.param != "finished":
            rows = [number for number, call in enumerate(disk.calls) if call[:2] == ("write", OUTPUT)]
            count = rows[-2]
        yield Scene(
            project,
            disk.killed(count, 0.4),
            disk.synced(count),
            result,
            project.text(),
            project.rejects.read_bytes(),
        )


@pytest.mark.parametrize("path", [OUTPUT, REJECTS])
def test_rows_56_and_66_a_file_of_rows_is_cut_anywhere(scene: Scene, path: str) -> None:
    """What was not synced is appended again; what was is missed, and the line is named."""
    data = scene.image[path]
    for offset in some(range(len(data)), 20):
        words = scene.outcome(path, cut(data, offset))
        assert bool(words) == (offset < len(scene.synced[path])), f"byte {offset}: {words}"
        if words:
            assert f"{path} was edited: it ends in line {scene.line(path, offset)}" in words


@pytest.mark.parametrize("damage", [zeros, flipped])
@pytest.mark.parametrize("path", [OUTPUT, REJECTS])
def test_row_66_a_file_of_rows_is_changed_anywhere(scene: Scene, path: str, damage: Damage) -> None:
    """No kill does that: it is refused, with the line, and the file stays as it is."""
    data = scene.image[path]
    for offset in some(range(len(data)), 20):
        words = scene.outcome(path, damage(data, offset))
        line = scene.line(path, offset)
        assert f"{path}:{line}: the file was edited" in words or f"ends in line {line}," in words, offset


@pytest.mark.parametrize("damage", [cut, zeros, flipped])
@pytest.mark.parametrize("path", [OUTPUT, REJECTS])
def test_row_66_a_file_of_rows_is_damaged_anywhere_and_power_was_lost(
    scene: Scene, path: str, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage behind what was synced is mended, and what was there is kept aside; before it, it is refused."""
    monkeypatch.setattr(generations, "boot_id", lambda: "the next one")
    data = scene.image[path]
    for offset in some(range(len(data)), 20):
        damaged = damage(data, offset)
        words = scene.outcome(path, damaged)
        assert bool(words) == (offset < len(scene.synced[path])), f"byte {offset}: {words}"
        if words or damage is cut:
            continue
        aside = [file.read_bytes() for file in scene.project.run_folder.glob("*.cut-*")]
        assert any(damaged.endswith(kept) for kept in aside)


@pytest.mark.parametrize("damage", [cut, zeros, flipped, one_bit])
def test_row_66_the_database_is_damaged_anywhere(scene: Scene, damage: Damage) -> None:
    """It is refused in words, unless nothing that counts was damaged: then the run comes to what it must."""
    data = scene.image[STATE]
    outcomes = set()
    for offset in some(range(0, len(data), 3), 40):
        damaged = damage(data, offset)
        if damaged != data:
            outcomes.add(scene.outcome(STATE, damaged)[:40])
    assert "" in outcomes or damage is cut


@pytest.mark.parametrize("power_lost", [False, True], ids=["", "power lost"])
@pytest.mark.parametrize("damage", [cut, zeros, flipped])
def test_rows_56_and_66_the_wal_is_damaged_anywhere(
    scene: Scene, damage: Damage, monkeypatch: pytest.MonkeyPatch, *, power_lost: bool
) -> None:
    """Frames behind the damage are gone, and with them the newest of the journal.

    Where power was lost and they had not been synced, their roots are run again. Else rows are in the output
    that nothing is known of: it is refused.
    """
    data = scene.image.get(WAL, b"")
    if power_lost:
        monkeypatch.setattr(generations, "boot_id", lambda: "the next one")
    for offset in some(range(0, len(data), 5), 20):
        words = scene.outcome(WAL, damage(data, offset))
        if power_lost and offset >= len(scene.synced[WAL]):
            assert not words, f"byte {offset}"
