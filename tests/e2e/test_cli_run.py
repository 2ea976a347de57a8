"""``run`` as people run it: a process, files and pipes, a teacher on the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import COMMAND, ROWS, environment, sdg, write_project

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = pytest.mark.anyio

SECRET = "sk-canary-0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small pipeline and its input."""
    write_project(tmp_path)
    return tmp_path


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A teacher that answers at once."""
    async with serve(SimulatorSettings(latency="zero"), "127.0.0.1", 0) as server:
        yield server.url


async def test_rows_reach_the_file(folder: Path, url: str) -> None:
    """One row per input row, in input order; the account adds up; nothing on stdout."""
    done = await sdg(folder, "run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--endpoint-url", url)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [row["topic"] for row in rows] == ["tides", "winds", "rocks"]
    assert all(row["answer"] for row in rows)
    assert "roots     3 = 3 accepted + 0 filtered + 0 rejected + 0 pending" in done.stderr
    assert done.stdout == ""


async def test_pipes_carry_rows_and_nothing_else(folder: Path, url: str) -> None:
    """With - for both, rows come in and go out by pipe, and all words go to stderr."""
    done = await sdg(
        folder, "run", "ask.yaml", "--input", "-", "--output", "-", "--endpoint-url", url, stdin=ROWS
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [1, 2, 3]
    assert "finished" in done.stderr


def test_a_reader_that_leaves_is_not_scolded(folder: Path) -> None:
    """Piped into something that reads nothing, the command ends without a word about it."""
    command = [*COMMAND, "run", "ask.yaml", "-i", "in.jsonl", "-o", "-", "--simulate"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        words = process.stderr.read()
    assert process.returncode == 5
    assert "Error" not in words
    assert "Traceback" not in words


async def test_settings_file_and_environment(folder: Path, url: str) -> None:
    """A run can be written down in a file, and the environment fills in the rest."""
    (folder / "run.yaml").write_text("pipeline: ask.yaml\ninput: in.jsonl\nlimit: 2\nprovenance: true\n")
    done = await sdg(
        folder, "run", "--settings", "run.yaml", SDG_STREAM_OUTPUT="out.jsonl", SDG_STREAM_ENDPOINT_URL=url
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all("provenance" in row for row in rows)


async def test_empty_input_is_loud_and_fine(folder: Path, url: str) -> None:
    """Nothing in, nothing out, exit 0, and a warning that cannot be missed."""
    done = await sdg(folder, "run", "ask.yaml", "-i", "-", "-o", "out.jsonl", "--endpoint-url", url)
    assert done.returncode == 0
    assert "WARNING: the input holds no rows" in done.stderr


async def test_nothing_accepted_is_3_with_an_example(folder: Path) -> None:
    """When no reply can be parsed: exit 3, where, why, and what the teacher said, made harmless and cut."""
    write_project(folder, start="[Answer]", end="[End]")
    reply = "no tags \x1b]0;owned\x07here\x1b[31m " + "x" * 1000
    async with serve(SimulatorSettings(latency="zero", reply=reply), "127.0.0.1", 0) as server:
        done = await sdg(
            folder, "run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--endpoint-url", server.url
        )
    assert done.returncode == 3
    assert "No row was accepted." in done.stderr
    assert 'the teacher said: "no tags here xxx' in done.stderr
    assert "\x1b" not in done.stderr
    assert "x" * 400 not in done.stderr
    assert (folder / "out.jsonl.run/rejects.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize(("rate", "code"), [("0.3", 3), ("0.4", 0)])
async def test_too_many_rejects_are_3(folder: Path, rate: str, code: int) -> None:
    """One root of three has rejects: fine up to that rate, exit 3 with the count beyond it."""
    async with serve(SimulatorSettings(latency="zero", poison="winds"), "127.0.0.1", 0) as server:
        arguments = ("-i", "in.jsonl", "-o", "out.jsonl", "--endpoint-url", server.url)
        done = await sdg(folder, "run", "ask.yaml", *arguments, "--max-reject-rate", rate)
    assert done.returncode == code
    assert "rejects   1, in 1 root (33%)" in done.stderr
    assert ("1 of 3 roots (33%) have rejects" in done.stderr) == (code == 3)


async def test_mistakes_cost_no_call(folder: Path) -> None:
    """A missing pipeline, a missing column, an input that is not there: exit 2, and what is wrong."""
    (folder / "other.jsonl").write_text('{"a": 1}\n')
    async with serve(SimulatorSettings(latency="zero"), "127.0.0.1", 0) as server:
        ends = ("-o", "out.jsonl", "--endpoint-url", server.url)
        for arguments, words in (
            (("asc.yaml", "-i", "in.jsonl"), "there is no pipeline 'asc.yaml'"),
            (("ask.yaml", "-i", "other.jsonl"), "needs the column 'topic'"),
            (("ask.yaml", "-i", "none.jsonl"), "none.jsonl"),
        ):
            done = await sdg(folder, "run", *arguments, *ends)
            assert done.returncode == 2, done.stderr
            assert words in done.stderr
            assert "Traceback" not in done.stderr


async def test_no_teacher_is_4(folder: Path) -> None:
    """Nobody at the address: exit 4, the address, and a way to go on."""
    arguments = ("-i", "in.jsonl", "-o", "out.jsonl", "--endpoint-url", "http://127.0.0.1:9/v1")
    done = await sdg(folder, "run", "ask.yaml", *arguments, "--wait-ready", "0")
    assert done.returncode == 4
    assert "http://127.0.0.1:9/v1" in done.stderr
    assert "--simulate" in done.stderr


async def test_no_folder_is_5(folder: Path, url: str) -> None:
    """An output that cannot be made: exit 5 with its name."""
    done = await sdg(folder, "run", "ask.yaml", "-i", "in.jsonl", "-o", "no/out.jsonl", "--endpoint-url", url)
    assert done.returncode == 5
    assert "no/out.jsonl" in done.stderr


async def test_existing_output_is_6(folder: Path, url: str) -> None:
    """Rows that are there are not replaced unless asked."""
    (folder / "out.jsonl").write_text("{}\n")
    arguments = ("run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--endpoint-url", url)
    done = await sdg(folder, *arguments)
    assert done.returncode == 6
    assert "--overwrite" in done.stderr
    assert (folder / "out.jsonl").read_text() == "{}\n"
    assert (await sdg(folder, *arguments, "--overwrite")).returncode == 0
    assert (folder / "out.jsonl").read_text().count("\n") == 3


async def test_a_bug_in_a_block_is_1(folder: Path) -> None:
    """A block that fails: traceback, which block and which root, what is saved, and where to go with it."""
    (folder / "buggy.py").write_text(
        "from sdg_stream import RowBlock\n\n\nclass Buggy(RowBlock):\n"
        "    def apply(self, columns):\n        return [{'x': 1 / (columns['number'] - 2)}]\n"
    )
    (folder / "bug.yaml").write_text(
        'version: "1.0"\nblocks:\n  - {name: boom, type: "buggy:Buggy", config: {}}\n'
    )
    done = await sdg(folder, "run", "bug.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--plugins", ".")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "in block 'boom' (buggy:Buggy), root 1" in done.stderr
    assert done.stderr.endswith("Please report it with the lines above.\n")


async def test_no_key_anywhere(folder: Path) -> None:
    """A key is in no output and in no file, however it came and whatever went wrong."""
    settings = SimulatorSettings(latency="zero", api_key="another")
    async with serve(settings, "127.0.0.1", 0) as server:
        arguments = ("run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--log-level", "debug")
        for more, variables in (
            (("--api-key", SECRET), {}),
            ((), {"OPENAI_API_KEY": SECRET}),
            (("--progress", "json"), {"SDG_STREAM_API_KEY": SECRET}),
            (("--api-key-env", SECRET), {}),
        ):
            done = await sdg(folder, *arguments, "--endpoint-url", server.url, *more, **variables)
            assert done.returncode in (2, 4), done.stderr
            assert SECRET not in done.stdout + done.stderr
    right = SimulatorSettings(
        latency="zero", api_key=SECRET, faults=(FaultRule(fault=Fault(status=500), match=3),)
    )
    async with serve(right, "127.0.0.1", 0) as server:
        done = await sdg(
            folder, *arguments, "--endpoint-url", server.url, "--provenance", OPENAI_API_KEY=SECRET
        )
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    assert not [file for file in folder.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


async def test_json_progress(folder: Path, url: str) -> None:
    """Each line on stderr is an event; the last of the run holds the whole account."""
    arguments = ("-i", "in.jsonl", "-o", "out.jsonl", "--endpoint-url", url, "--progress", "json")
    done = await sdg(folder, "run", "ask.yaml", *arguments)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 0
    assert "run_started" in [event["event"] for event in events]
    assert events[-1]["event"] == "run_finished"
    assert events[-1]["report"]["rows"] == 3


async def test_demo(tmp_path: Path) -> None:
    """Without arguments: rows from a simulated teacher, said so at both ends, and what to type next."""
    output = tmp_path / "sdg_stream_demo/rows.jsonl"
    output.parent.mkdir()
    output.write_text("an older demo\n")
    done = await sdg(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    assert all(json.loads(line)["question"] for line in output.read_text().splitlines())
    assert done.stderr.count("SIMULATED") == 2
    assert "sdg_stream_demo/rows.jsonl" in done.stderr
    assert " run full/knowledge --endpoint-url" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_panel_and_gets_it_off_again(folder: Path) -> None:
    """On a terminal the panel is drawn, taken off, and the cursor shown again; the account stays."""
    import pty

    command = [*COMMAND, "run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate"]
    leader, follower = pty.openpty()
    with subprocess.Popen(command, cwd=folder, env=environment(TERM="xterm"), stderr=follower):
        os.close(follower)
        shown = b""
        with suppress(OSError):  # how a pseudo-terminal says that its other end is closed
            while chunk := os.read(leader, 4096):
                shown += chunk
    os.close(leader)
    text = shown.decode()
    assert "in.jsonl → out.jsonl" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "3 accepted" in text[text.rindex("\x1b[?25h") :]
