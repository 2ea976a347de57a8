"""Rows 56, 70 and 71: kills; embedding programs that cancel, close their loop or fork; closed streams.

Ctrl-C and other signals (rows 54 and 55) are in ``e2e/test_cli_signals.py``, random kills in ``durability/``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import uvloop
from anyio.from_thread import start_blocking_portal
from command_line import COMMAND, environment, write_project

import sdg_stream as sdg
from sdg_stream.calls import Completion, Request
from sdg_stream.events import RunReport
from sdg_stream.simulator.call_log import CallLine
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.testing.scripted import ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

ROWS = 60


class Project:
    """A pipeline that asks once a row, and a teacher in a thread of its own, so that no task here is its."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.output = folder / "out.jsonl"
        self._folder = folder
        self._pipeline = sdg.Pipeline.load(folder / "ask.yaml", sdg.Settings(model_family="mixtral"))

    async def run(self, teacher: sdg.Teacher) -> RunReport:
        """Begin the run, or go on with it."""
        return await self._pipeline.run(self._folder / "in.jsonl", self.output, teacher)

    async def connect_and_run(self) -> RunReport:
        """The same with a connection of its own."""
        async with sdg.connect(self.url, concurrency=8) as teacher:
            return await self.run(teacher)

    def rows(self) -> list[int]:
        """The numbers of the rows that are there."""
        return [json.loads(line)["number"] for line in self.output.read_text().splitlines()]

    def asked(self) -> Counter[str]:
        """How often each record's request was made; looks at the teacher are left out."""
        lines = (self._folder / "calls.log").read_bytes().splitlines()
        calls = [msgspec.json.decode(line, type=CallLine).request for line in lines]
        return Counter(call for call in calls if call != calls[0])


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with a teacher that takes 3 ms a call."""
    write_project(tmp_path)
    rows = (f'{{"topic": "topic {number}", "number": {number}}}\n' for number in range(ROWS))
    (tmp_path / "in.jsonl").write_text("".join(rows))
    settings = SimulatorSettings(latency="fixed", latency_seconds=0.003)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(settings, log=tmp_path / "calls.log")) as server,
    ):
        yield Project(tmp_path, server.url)


# ---------------------------------------------------------------- row 70: embedded


Cancel = Callable[[Callable[[], Awaitable[RunReport]], int], Awaitable[RunReport | None]]


async def by_scope(work: Callable[[], Awaitable[RunReport]], turns: int) -> RunReport | None:
    """Cancel an anyio scope around some work after so many turns of the loop."""
    reports: list[RunReport] = []
    with anyio.CancelScope() as scope:

        async def turn() -> None:
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            reports.append(await work())
            tasks.cancel_scope.cancel()
    return reports[0] if reports else None


async def by_task(work: Callable[[], Awaitable[RunReport]], turns: int) -> RunReport | None:
    """Cancel a plain asyncio task."""
    task = asyncio.get_running_loop().create_task(_once(work))
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            return task.result()
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None


async def _once(work: Callable[[], Awaitable[RunReport]]) -> RunReport:
    return await work()


@asynccontextmanager
async def nothing_left_behind() -> AsyncIterator[None]:
    """No task more than before, and nothing that complains when it is collected (warnings are errors)."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= before
    gc.collect()


@pytest.mark.parametrize("cancel", [by_scope, by_task])
async def test_row_70_a_run_can_be_cancelled_anywhere(project: Project, cancel: Cancel) -> None:
    """After k turns of the loop, for many k: nothing stays behind, the next goes on, all is asked once."""
    report = None
    async with nothing_left_behind(), sdg.connect(project.url, concurrency=8) as teacher:
        for turns in range(0, 4000, 16):
            async with nothing_left_behind():
                report = await cancel(lambda: project.run(teacher), turns)
            if report is not None:
                break
    assert report is not None
    assert project.rows() == list(range(ROWS))
    assert set(project.asked().values()) == {1}
    assert len(project.asked()) == ROWS


@pytest.mark.parametrize("cancel", [by_scope, by_task])
async def test_row_70_connecting_can_be_cancelled_too(project: Project, cancel: Cancel) -> None:
    """The same around connection and run: sessions are closed, whenever it was."""
    for turns in range(0, 400, 40):
        async with nothing_left_behind():
            await cancel(project.connect_and_run, turns)
    async with nothing_left_behind():
        await project.connect_and_run()
    assert project.rows() == list(range(ROWS))


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # tasks of anyio that had not begun
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])  # noqa: TID251 - as programs do
def test_row_70_a_loop_that_is_closed_is_like_a_kill(project: Project, run: Callable[[Any], None]) -> None:
    """The program ends over a run in the background: nothing crashes, the next run goes on, rows are once."""
    finished: list[RunReport] = []

    async def program(turns: int) -> None:
        task = asyncio.get_running_loop().create_task(project.connect_and_run())
        for _ in range(turns):
            await asyncio.sleep(0)
            if task.done():
                finished.append(task.result())
                return

    for turns in range(0, 2000, 25):
        run(program(turns))
        gc.collect()
        if finished:
            break
    else:
        run(project.connect_and_run())
    assert project.rows() == list(range(ROWS))


FORKING = """\
import os, time
from sdg_stream import RowBlock


class Forking(RowBlock):
    def apply(self, columns):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        with open("child", "w") as file:
            file.write(str(child))
        time.sleep(60)
"""


async def test_row_70_a_forked_process_does_not_hold_the_run(tmp_path: Path) -> None:
    """A block has forked a process that outlives the killed run: the next run does not wait for it."""
    (tmp_path / "forking.py").write_text(FORKING)
    (tmp_path / "p.yaml").write_text(
        'version: "1.0"\nblocks:\n  - {name: fork, type: "forking:Forking", config: {}}\n'
    )
    (tmp_path / "in.jsonl").write_text('{"number": 1}\n')
    command = [*COMMAND, "run", "p.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--plugins", "."]
    child = tmp_path / "child"
    with anyio.fail_after(30):
        async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
            while not (child.exists() and child.read_text()):
                await anyio.lowlevel.checkpoint()
            process.kill()
        (tmp_path / "forking.py").write_text(
            FORKING[: FORKING.index("        child")] + "        return [columns]\n"
        )
        done = await anyio.run_process(command, cwd=tmp_path, env=environment(), check=False)
    os.kill(int(child.read_text()), signal.SIGKILL)
    assert done.returncode == 0, done.stderr.decode()


# ---------------------------------------------------------------- row 56: killed


BARRIER = """\
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [answer]}
    drop_duplicates: [topic]
  - name: even_out
    type: SetToMajorityValueBlock
    config: {col_name: answer}
"""


class Held(ScriptedTeacher):
    """Answers a root only when what it waits for has been answered; cancels a scope when all is quiet."""

    def __init__(self, waits: dict[int, int | None]) -> None:
        super().__init__(lambda request: f"about {prompt_text(request)[-20:]}")
        self.scope = anyio.CancelScope()
        self._waits = waits
        self._answered = {root: anyio.Event() for root in (*waits, *waits.values()) if root is not None}

    async def complete(self, request: Request) -> Completion:
        """Answer, when it is time."""
        if request.root in self._waits:
            before = self._waits[request.root]
            if before is None:
                for _ in range(50):  # let all others come as far as they can
                    await anyio.lowlevel.checkpoint()
                self.scope.cancel()
                await anyio.sleep_forever()
            else:
                await self._answered[before].wait()
        completion = await super().complete(request)
        if request.root in self._answered:
            self._answered[request.root].set()
        return completion


async def test_row_56_of_two_duplicates_one_is_kept_whatever_was_settled_before(tmp_path: Path) -> None:
    """The second of two equal rows came first to a barrier, the first was settled as its duplicate.

    In the next session both come again, the first one first; the row must not be lost.
    """
    write_project(tmp_path)
    (tmp_path / "barrier.yaml").write_text(BARRIER)
    topics = ("tides", "tides", "rocks")
    (tmp_path / "in.jsonl").write_text("".join(f'{{"topic": "{topic}"}}\n' for topic in topics))
    pipeline = sdg.Pipeline.load(tmp_path / "barrier.yaml", sdg.Settings(model_family="mixtral"))
    ends = (tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    held = Held({0: 1, 2: None})
    with held.scope:
        await pipeline.run(*ends, held, order="none")
    assert held.scope.cancelled_caught
    report = await pipeline.run(*ends, Held({}), order="none")
    rows = [json.loads(line)["topic"] for line in ends[1].read_text().splitlines()]
    assert sorted(rows) == ["rocks", "tides"]
    assert (report.roots, report.accepted, report.filtered, report.pending) == (3, 2, 1, 0)


# ---------------------------------------------------------------- row 71: streams that are closed


@pytest.mark.parametrize(
    "streams", ["| head -c 1", "2>&1 | head -c 1", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"]
)
@pytest.mark.parametrize("progress", ["auto", "rich", "json"])
def test_row_71_a_run_outlives_its_streams(project: Project, streams: str, progress: str) -> None:
    """Closed early or from the start, pipe or not: all rows are there, and nothing else is in the file."""
    folder = project.output.parent
    run = ["run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--progress", progress]
    words = " ".join([*COMMAND, *run, "--endpoint-url", project.url])
    script = f"({words} {streams.partition('|')[0]}; echo $? > code) {'|' if '|' in streams else ''} "
    script += streams.partition("|")[2]
    subprocess.run(["sh", "-c", script], cwd=folder, env=environment(), check=False, timeout=30)
    assert (folder / "code").read_text() == "0\n"
    assert project.rows() == list(range(ROWS))


def test_row_71_rows_for_a_closed_standard_output_are_not_bought(project: Project) -> None:
    """With nowhere to write to nothing is asked: exit code 5, and what to do."""
    words = " ".join(
        [*COMMAND, "run", "ask.yaml", "-i", "in.jsonl", "-o", "-", "--endpoint-url", project.url]
    )
    done = subprocess.run(
        ["sh", "-c", f"{words} >&-"],
        cwd=project.output.parent,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 5
    assert "standard output is closed" in done.stderr
    assert not (project.output.parent / "calls.log").read_bytes()
