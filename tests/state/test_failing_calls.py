"""Rows 58 and 59: the nth call to the operating system fails, once or from then on, for every n."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlite_calls
from disk_calls import Call, Part, disk_calls
from disk_images import Disk, Image, put
from small_runs import ALL, Project, Result, counts, deterministic, some

from sdg_stream.errors import OutputError

pytestmark = [
    pytest.mark.skipif(not sqlite_calls.available(), reason="SQLite is built into the interpreter"),
    pytest.mark.timeout(3600 if ALL else 120),
]


NEVER = 1_000_000
ROWS = ("out.jsonl", "out.jsonl.run/rejects.jsonl")


class Failing:
    """Decides on calls: the ``number``th ``among`` those that count fails, with ``ever`` all from then on.

    ``half``: of the chosen write the first half happens.

    Attributes:
        calls: all of them.
        chosen: the place of the first failing one among them.
    """

    def __init__(
        self,
        number: int,
        error: int,
        *,
        ever: bool = False,
        half: bool = False,
        among: Callable[[Call], bool] = lambda _: True,
    ) -> None:
        self.calls: list[Call] = []
        self.chosen: int | None = None
        self._left = number
        self._error = error
        self._ever = ever
        self._half = half
        self._among = among

    def __call__(self, call: Call) -> int | Part:
        self.calls.append(call)
        if self.chosen is not None and self._ever:
            return self._error
        if self.chosen is None and self._among(call):
            self._left -= 1
            if self._left < 0:
                self.chosen = len(self.calls) - 1
                return Part(len(call.data) // 2) if self._half else self._error
        return -1 if call.what == "sync" else 0


class Golden(NamedTuple):
    """What a run comes to, and the calls that it makes."""

    project: Project
    result: Result
    text: bytes
    rejects: bytes
    calls: list[Call]

    def torn(self) -> Image:
        """What a kill in the middle leaves, with a torn row."""
        put(self.project.data, {})
        disk = Disk(self.project.data)
        with disk.recording():
            self.project.run()
        writes = [number for number, call in enumerate(disk.calls) if call[:2] == ("write", "out.jsonl")]
        return disk.killed(writes[len(writes) // 2], 0.5)

    def session(self, failing: Failing | None = None) -> OutputError | None:
        """One session; the error that it ended with. Without one it came to what it must."""
        if failing is None:
            found = self.project.run()
        else:
            try:
                with disk_calls(self.project.data, failing):
                    found = self.project.run()
            except OutputError as error:
                return error
        assert self.project.text() == self.text
        assert self.project.rejects.read_bytes() == self.rejects
        assert counts(found.report) == counts(self.result.report)
        return None


@pytest.fixture(params=[False, True], ids=["fan-out", "barrier"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Golden]:
    """A run without faults, of each kind of pipeline."""
    project = Project(tmp_path, barrier=request.param)
    never = Failing(NEVER, 0)
    with deterministic():
        with disk_calls(project.data, never):
            result = project.run()
        yield Golden(project, result, project.text(), project.rejects.read_bytes(), never.calls)


@pytest.mark.parametrize("ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_row_58_a_call_that_fails_ends_the_run_and_nothing_is_lost(
    golden: Golden, error: int, *, ever: bool
) -> None:
    """The run ends with OutputError, or had written all that counts; the next one completes the output."""
    for number in some(range(len(golden.calls)), 8):
        put(golden.project.data, {})
        failing = Failing(number, error, ever=ever)
        raised = golden.session(failing)
        assert raised is None or "out.jsonl" in str(raised)
        assert golden.text.startswith(golden.project.text()), f"call {number}"
        golden.session()


@pytest.mark.parametrize("ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_row_58_a_call_that_fails_while_a_killed_run_is_mended_loses_nothing(
    golden: Golden, error: int, *, ever: bool
) -> None:
    """Recovery may fail anywhere, and is done again by the next session."""
    image = golden.torn()
    put(golden.project.data, image)
    never = Failing(NEVER, 0)
    golden.session(never)
    for number in some(range(len(never.calls)), 8):
        put(golden.project.data, image)
        golden.session(Failing(number, error, ever=ever))
        assert golden.text.startswith(golden.project.text()), f"call {number}"
        golden.session()


def rows_written(call: Call) -> bool:
    """Whether a call writes to the output or to the rejects."""
    return call.what == "write" and call.path in ROWS


@pytest.mark.parametrize("error", [0, errno.ENOSPC], ids=["goes on", "then full"])
def test_row_58_a_write_that_takes_a_part_is_gone_on_with(golden: Golden, error: int) -> None:
    """A short write is completed; where the disk is full behind it, the torn row is completed by the next."""
    for number in range(len([call for call in golden.calls if rows_written(call)])):
        put(golden.project.data, {})
        raised = golden.session(Failing(number, error, ever=error != 0, half=True, among=rows_written))
        assert (raised is None) == (error == 0)
        assert golden.text.startswith(golden.project.text())
        golden.session()


def test_row_59_a_failed_sync_ends_the_run_at_once(golden: Golden) -> None:
    """No row is synced or written after it. The next session writes what was not synced once more.

    What a disk has refused once, it may say to have taken the next time, and may show while it is in memory.
    """

    def syncs_rows(call: Call) -> bool:
        return call.what == "sync" and call.path in ROWS

    for number in range(len([call for call in golden.calls if syncs_rows(call)])):
        put(golden.project.data, {})
        failing = Failing(number, errno.EIO, among=syncs_rows)
        raised = golden.session(failing)
        assert failing.chosen is not None
        assert "cannot be brought to the disk" in str(raised)
        assert not [call for call in failing.calls[failing.chosen + 1 :] if call.path in ROWS]
        before = [call for call in failing.calls[: failing.chosen] if call.path == "out.jsonl"]
        again = Failing(NEVER, 0)
        golden.session(again)
        first = next(call for call in again.calls if call.path == "out.jsonl" and call.what == "write")
        assert first.offset == _end(before[: _last_sync(before)])


def _last_sync(calls: list[Call]) -> int:
    return max((number for number, call in enumerate(calls) if call.what == "sync"), default=0)


def _end(calls: list[Call]) -> int:
    return max((call.offset + len(call.data) for call in calls if call.what == "write"), default=0)


def test_row_59_a_failed_sync_of_the_journal_ends_the_run_at_once(golden: Golden) -> None:
    """The same for the syncs that SQLite makes: no row is written to a file after one of them failed."""

    def syncs_state(call: Call) -> bool:
        return call.what == "sync" and call.path.startswith("out.jsonl.run/state.db")

    for number in range(len([call for call in golden.calls if syncs_state(call)])):
        put(golden.project.data, {})
        failing = Failing(number, errno.EIO, among=syncs_state)
        golden.session(failing)
        assert failing.chosen is not None
        assert not [call for call in failing.calls[failing.chosen + 1 :] if rows_written(call)]
        golden.session()
