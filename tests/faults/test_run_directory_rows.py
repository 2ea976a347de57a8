"""Rows 60, 61, 63 and 65 of the fault catalogue: what may be wrong with an output and its run directory."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from command_line import PROMPT, sdg

import sdg_stream
from sdg_stream.errors import OutputError, RunStateError
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio

ASK = """\
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [answer]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline that asks, and three input rows for it."""
    (tmp_path / "p.yaml").write_text(ASK)
    (tmp_path / "prompt.yaml").write_text(PROMPT)
    rows = [{"topic": f"topic {number}"} for number in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("missing/out.jsonl", "the folder missing does not exist"),
        ("in.jsonl/out.jsonl", "in.jsonl"),
        ("x" * 300, "cannot"),
    ],
)
async def test_row_60_an_output_that_cannot_be_is_told_before_the_first_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, output: str, words: str
) -> None:
    """No such folder, a file where a folder should be, a name too long: exit 5, and no token is bought."""
    monkeypatch.chdir(folder)
    teacher = ScriptedTeacher(lambda request: "[Answer] fine [End]")
    with pytest.raises(OutputError, match=words):
        await sdg_stream.Pipeline.load("p.yaml").run("in.jsonl", output, teacher)
    assert teacher.requests == []
    done = await sdg(folder, "run", "p.yaml", "-i", "in.jsonl", "-o", output, "--simulate")
    assert done.returncode == 5, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


async def test_row_61_a_second_run_is_told_who_has_the_output(folder: Path) -> None:
    """Another run in the same process: exit 6 with process, host and since when; the first one goes on."""
    pipeline, answered = sdg_stream.Pipeline.load(folder / "p.yaml"), anyio.Event()
    asked = anyio.Event()

    class Waiting(ScriptedTeacher):
        async def complete(self, request: sdg_stream.Request) -> sdg_stream.Completion:
            asked.set()
            await answered.wait()
            return await super().complete(request)

    teacher = Waiting(lambda request: "[Answer] fine [End]")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.run, folder / "in.jsonl", folder / "out.jsonl", teacher)
        with anyio.fail_after(10):
            await asked.wait()
        who = f"in use by process {os.getpid()} on {socket.gethostname()}, since "
        with pytest.raises(RunStateError, match=who):
            await pipeline.run(folder / "in.jsonl", folder / "out.jsonl", teacher)
        done = await sdg(folder, "run", "p.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate")
        assert done.returncode == 6
        assert who in done.stderr
        answered.set()
    assert len((folder / "out.jsonl").read_text().splitlines()) == 3


def test_row_61_a_dead_run_is_in_nobodys_way(folder: Path) -> None:
    """The process that had the output is killed with -9: the next one goes on at once."""
    command = [sys.executable, "-m", "sdg_stream", "run", "p.yaml", "-i", "in.jsonl", "-o", "out.jsonl"]
    hanging = [*command, "--endpoint-url", "http://127.0.0.1:9/v1", "--model-family", "mixtral"]
    lock = (
        "import time; from pathlib import Path\n"
        "from sdg_stream.state.directory import RunDirectory, RunLock\n"
        "directory = RunDirectory(Path('out.jsonl')); directory.make(); lock = RunLock(directory.folder)\n"
        "lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", lock], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            refused = subprocess.run(hanging, cwd=folder, capture_output=True, text=True, check=False)
            assert refused.returncode == 6, refused.stderr
            assert f"in use by process {holder.pid} on " in refused.stderr
        finally:
            holder.send_signal(signal.SIGKILL)
    began = time.monotonic()
    done = subprocess.run([*command, "--simulate"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("version", "words"), [(0, "an older version"), (99, "a newer version")])
async def test_row_65_state_of_another_format_is_refused(folder: Path, version: int, words: str) -> None:
    """A run directory that another version made is never guessed at: exit 6, and what to do."""
    pipeline = sdg_stream.Pipeline.load(folder / "p.yaml")
    teacher = ScriptedTeacher(lambda request: "[Answer] fine [End]")
    await pipeline.run(folder / "in.jsonl", folder / "out.jsonl", teacher)
    before = (folder / "out.jsonl").read_bytes()
    with closing(sqlite3.connect(folder / "out.jsonl.run" / "state.db")) as database:
        database.execute("update meta set value = ? where key = 'format'", (version,))
        database.commit()
    with pytest.raises(RunStateError, match=words) as caught:
        await pipeline.run(folder / "in.jsonl", folder / "out.jsonl", teacher)
    assert "--overwrite" in str(caught.value)
    assert caught.value.exit_code == 6
    assert (folder / "out.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda lines: lines[:1] + lines[2:], "out.jsonl:2: the file was"),
        (
            lambda lines: [lines[0], lines[1].replace(b"fine", b"good"), lines[2]],
            "out.jsonl:2: the file was",
        ),
        (lambda lines: lines[::-1], "out.jsonl:1: the file was"),
        (lambda lines: [*lines, b'{"mine": 1}\n'], r"from line 4 on it holds what this run did not write"),
        (lambda lines: lines[:2], r"ends in line 3"),
        (lambda lines: [], r"ends in line 1"),
    ],
    ids=["dropped", "changed", "sorted", "added", "shortened", "emptied"],
)
async def test_row_63_an_output_edited_between_runs_is_refused(
    folder: Path, edit: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    """Exit 6 naming the line, and nothing is touched; --edited makes it anew from answers that are kept."""
    pipeline, output = sdg_stream.Pipeline.load(folder / "p.yaml"), folder / "out.jsonl"
    teacher = ScriptedTeacher(lambda request: "[Answer] fine [End]")
    await pipeline.run(folder / "in.jsonl", output, teacher)
    written = output.read_bytes()
    output.write_bytes(b"".join(edit(written.splitlines(keepends=True))))
    edited = output.read_bytes()
    with (folder / "in.jsonl").open("a") as file:
        file.write('{"topic": "one more"}\n')
    with pytest.raises(RunStateError, match=words) as caught:
        await pipeline.run(folder / "in.jsonl", output, teacher)
    assert "--edited" in str(caught.value)
    assert output.read_bytes() == edited
    asked = len(teacher.requests)
    report = await pipeline.run(folder / "in.jsonl", output, teacher, edited=True)
    assert report.rows == 4
    assert output.read_bytes().startswith(written)
    assert len(teacher.requests) == asked + 1
