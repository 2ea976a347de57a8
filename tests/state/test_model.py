"""A run that everything happens to, in any order, held against a model of what its output may be.

What the rules do is undone by nothing but the next session: sessions are recorded write by write and taken
back to where a kill or a power loss ended them.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
import sqlite_calls
from disk_images import Disk, put
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from small_runs import ALL, Project, SmallTeacher, counts, deterministic, drive

from sdg_stream.abc import Completion, Request
from sdg_stream.errors import RunStateError

FIRST, MOST = 3, 15  # input rows
EDITIONS = ("Question {{question}}", "Question now {{question}}")

anywhere = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
near_the_end = st.integers(960, 1000).map(lambda thousandths: thousandths / 1000)
fractions = anywhere | near_the_end


class Leaving(SmallTeacher):
    """Has the run cancelled when it has answered so many calls."""

    def __init__(self, calls: int, scope: anyio.CancelScope, *, mended: bool) -> None:
        super().__init__(mended=mended)
        self._calls = calls
        self._scope = scope

    async def complete(self, request: Request) -> Completion:
        """Answer, and leave perhaps."""
        completion = await super().complete(request)
        if self.answered >= self._calls:
            self._scope.cancel()
        return completion


class Golden:
    """What runs come to that nothing happens to; each is made once."""

    def __init__(self, folder: Path, *, barrier: bool) -> None:
        self._folder = folder
        self._barrier = barrier
        self._made: dict[tuple[int, int, bool], tuple[bytes, dict[str, Any]]] = {}

    def of(self, roots: int, edition: int, *, mended: bool) -> tuple[bytes, dict[str, Any]]:
        """The output, and what its report counts."""
        key = (roots, edition, mended)
        if key not in self._made:
            project = Project(self._folder / "-".join(map(str, key)), roots=roots, barrier=self._barrier)
            project.write_pipeline(EDITIONS[edition])
            report = project.run(SmallTeacher(mended=mended)).report
            self._made[key] = project.text(), counts(report)
            shutil.rmtree(project.folder)
        return self._made[key]


class Run(RuleBasedStateMachine):
    """One output, and everything that can happen to it."""

    barrier: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(deterministic())
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        self.golden = Golden(folder / "golden", barrier=self.barrier)
        self.project = Project(folder / "run", roots=FIRST, barrier=self.barrier)
        self.mended = False  # the teacher answers what it refused
        self.settled_unmended = False  # so there may be rejects that a retry is to run again
        self.edition = 0  # of the pipeline
        self.shown = 0  # of the output
        self.clean = True  # the last session ended by itself
        self.boots = 0
        self.answered = 0  # calls, all told
        self.lost = 0  # answers that did not come to the disk
        self._boot()

    def teardown(self) -> None:
        """Remove everything."""
        self.stack.close()

    # ------------------------------------------------------------ sessions

    def _boot(self) -> None:
        self.boots += 1
        name = f"boot {self.boots}"
        self.patch.setattr("sdg_stream.state.generations.boot_id", lambda: name)

    def _session(self, teacher: SmallTeacher | None = None, **keep: Any) -> dict[str, Any]:
        """One that comes to its end: what its report counts."""
        teacher = teacher or SmallTeacher(mended=self.mended)
        found = self.project.run(teacher, edited=self.edition != self.shown, **keep)
        self._ended(teacher.answered)
        self._kept()
        assert self.shown == self.edition
        self.clean = True
        return counts(found.report)

    def _ended(self, answered: int) -> None:
        self.answered += answered
        self.settled_unmended |= not self.mended

    def _killed(self, where: float, part: float, *, power: bool, **keep: Any) -> None:
        """A session, taken back to where it was killed."""
        teacher = SmallTeacher(mended=self.mended)
        disk = Disk(self.project.data)
        with disk.recording(lambda: teacher.answered):
            self.project.run(teacher, edited=self.edition != self.shown, **keep)
        count = round(where * len(disk.calls))
        if power:
            image = disk.power_lost(count, random.Random(part))
            self._boot()
        else:
            image = disk.killed(count, part)
        put(self.project.data, image)
        self._ended(disk.marks[count])
        self.lost = self.answered - self._kept()
        self.clean = count == len(disk.calls)

    def _kept(self) -> int:
        """Answers on the disk, seen in a copy, since looking repairs. Notes whose rows the output has."""
        copy = self.project.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.project.data, copy)
        folder = copy / self.project.run_folder.name
        if not (folder / "state.db").exists():
            return 0
        with closing(sqlite3.connect(folder / "state.db")) as database:
            try:
                answers = database.execute("select place, key from calls").fetchall()
                [swapped] = database.execute("select max(value) from meta where key = 'swap'").fetchone()
                found = database.execute("select id, facts, beside from generations").fetchall()
            except sqlite3.OperationalError:  # no such table
                return 0
        for id_, facts, beside in found:
            if not beside or (id_ == swapped and not (folder / "edited.jsonl").exists()):
                self.shown = int(EDITIONS[1] in facts)
        assert len(answers) == len(set(answers)), "an answer was bought twice"
        return len(answers)

    def _began(self) -> bool:
        """Whether there is a run to retry rejects of; killed at once, it may not have begun."""
        return bool(self._kept())

    # ------------------------------------------------------------ rules

    @rule()
    def run(self) -> None:
        """Run to the end of the input."""
        found = self._session()
        if not self.settled_unmended or not self.mended:
            assert found == self.golden.of(self.project.roots, self.edition, mended=self.mended)[1]
        assert self.answered == self._kept() + self.lost
        self._check_whole()

    @rule(limit=st.integers(1, MOST))
    def run_some(self, limit: int) -> None:
        """Run to a limit, which may be higher or lower than that of the last session."""
        if self.edition == self.shown:
            found = self._session(limit=limit)
            assert found["roots"] >= min(limit, self.project.roots)

    @rule(mend=st.booleans())
    def retry(self, mend: bool) -> None:
        """Run the roots with rejects again; with a teacher that was mended none is left."""
        self.mended |= mend
        if self.edition != self.shown or not self._began():
            return
        self._session(retry_rejected=True)
        if self.mended:
            self._session()
            self.settled_unmended = False
            self.run()

    @rule(where=fractions, part=st.sampled_from([0.0, 0.3, 0.9]))
    def kill(self, where: float, part: float) -> None:
        """A session is killed at one of its writes."""
        self._killed(where, part, power=False)

    @rule(where=fractions, part=st.sampled_from([0.0, 0.3, 0.9]))
    def kill_retry(self, where: float, part: float) -> None:
        """The same while rejects are run again."""
        if self.edition == self.shown and self._began():
            self._killed(where, part, power=False, retry_rejected=True)

    @rule(where=fractions, seed=st.integers(0, 2**32).map(float))
    def lose_power(self, where: float, seed: float) -> None:
        """The machine goes down in a session."""
        self._killed(where, seed, power=True)

    @rule(calls=st.integers(1, 12))
    def cancel(self, calls: int) -> None:
        """A session is cancelled by the program around it."""
        project = self.project

        async def cancelled() -> int:
            with anyio.CancelScope() as scope:
                teacher = Leaving(calls, scope, mended=self.mended)
                edited = self.edition != self.shown
                await project.pipeline.run(project.input, project.output, teacher, edited=edited)
            return teacher.answered

        self._ended(drive(cancelled))
        self._kept()
        self.clean = True

    @rule(more=st.integers(1, 4))
    def add_input(self, more: int) -> None:
        """More rows are added to the input."""
        self.project.write_input(min(MOST, self.project.roots + more))

    @rule()
    def edit(self) -> None:
        """The last prompt is edited, or the edit is taken back."""
        self.edition = 1 - self.edition
        self.project.write_pipeline(EDITIONS[self.edition])

    @precondition(lambda self: self.clean and self.edition == self.shown)
    @rule(way=st.sampled_from(["drop", "change", "sort", "append", "cut"]), where=fractions)
    def tamper(self, way: str, where: float) -> None:
        """Somebody edits the output: it is refused, with the line, until it is brought back."""
        before = self.project.output.read_bytes() if self.project.output.exists() else b""
        lines = before.splitlines(keepends=True)
        number = min(len(lines) - 1, int(where * len(lines)))
        if way == "drop" and lines:
            del lines[number]
        elif way == "change" and lines:
            lines[number] = lines[number].replace(b'"question":"', b'"question":"not ')
        elif way == "sort":
            lines.sort(reverse=True)
        elif way == "append" and lines:
            lines.append(lines[number])
        elif way == "cut" and lines:
            lines[-1] = lines[-1][:-1]
        after = b"".join(lines)
        if after == before:
            return
        self.project.output.write_bytes(after)
        with pytest.raises(RunStateError, match=r"out\.jsonl(:\d+:| was edited: .*line \d+)"):
            self.project.run(SmallTeacher(mended=self.mended))
        assert self.project.output.read_bytes() == after
        self.project.output.write_bytes(before)

    # ------------------------------------------------------------ what always holds

    @invariant()
    def rows_are_golden_and_come_once(self) -> None:
        """Whole lines and at most one torn tail; no row twice; none that is not the golden output's."""
        text = self.project.text()
        if not self.mended and not text.endswith(b"\n" if text else b""):
            assert not self.clean
        rows = text.splitlines(keepends=True)
        if rows and not rows[-1].endswith(b"\n"):
            assert not self.clean
            rows.pop()
        assert len(rows) == len(set(rows))
        golden = self.golden.of(MOST, self.shown, mended=self.mended)[0]
        assert set(rows) <= set(golden.splitlines(keepends=True))
        if not self.mended:
            assert golden.startswith(text)

    def _check_whole(self) -> None:
        """The output is the golden one: byte by byte, unless rejects were retried."""
        wanted = self.golden.of(self.project.roots, self.edition, mended=self.mended)[0]
        text = self.project.text()
        if not self.mended:
            assert text == wanted
        elif not self.settled_unmended:
            assert sorted(text.splitlines()) == sorted(wanted.splitlines())


class RunWithBarrier(Run):
    """The same with a barrier, which all records have to come to in each session."""

    barrier = True


CHOSEN = settings(
    max_examples=400 if ALL else 12,
    stateful_step_count=20,
    deadline=None,
    derandomize=not ALL,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
marks = [
    pytest.mark.skipif(not sqlite_calls.available(), reason="SQLite is built into the interpreter"),
    pytest.mark.timeout(3600 if ALL else 120),
]

TestRun: Any = Run.TestCase
TestRunWithBarrier: Any = RunWithBarrier.TestCase
for case in (TestRun, TestRunWithBarrier):
    case.settings = CHOSEN
    case.pytestmark = marks
del case  # or it would be collected as a third
