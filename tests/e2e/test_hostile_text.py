"""Row 83: what servers, models and files say reaches no terminal and no log line as anything but words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio.to_thread
import pytest
from command_line import COMMAND, environment, sdg, write_project

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = pytest.mark.anyio

HOSTILE = (
    "\x1b]0;pwned\x07\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\\x1b[31mred\x1b[2J\x1b[1;1Hhome\x1bPdcs\x1b\\"
    "\x1b]52;c;cHduZWQ=\x07\x9b31mc1\x9d0;title\x9c\u202efdp.exe\u2066iso\rreturn\x08\x7fdel\x85next\u2028sep"
    "\x1b[?1049h\x1bc\x07bell\x0e\x1b]unfinished"
)
RAW = (
    "\x1b]", "\x1bP", "\x1bc", "\x1b[31mred", "\x1b[2J", "\x1b[1;1H", "\x1b[?1049h", "\x9b", "\x9c", "\x9d",
    "\x85", "\u202e", "\u2066", "\u2028", "\rreturn", "\x08", "\x7f", "\x07", "\x0e",
)  # fmt: skip
"""What must not come through; the panel's own sequences are others."""


def harmless(text: str) -> bool:
    """Whether a terminal would find nothing to act on; colours and cursor moves of the panel are fine."""
    return not [raw for raw in RAW if raw in text]


@asynccontextmanager
async def teacher(status: int) -> AsyncIterator[str]:
    """A hostile teacher: refusing (400), forbidding (403), failing (500)."""
    rule = FaultRule(fault=Fault(message=HOSTILE, status=status), match="winds")
    settings = SimulatorSettings(latency="zero", reply=f"[Answer] {HOSTILE} [End]", faults=(rule,))
    async with serve(settings) as server:
        yield server.url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline whose block has a hostile name, and rows with a hostile column."""
    write_project(tmp_path)
    text = (tmp_path / "ask.yaml").read_text()
    (tmp_path / "ask.yaml").write_text(text.replace("name: ask", f"name: {json.dumps(f'ask {HOSTILE}')}"))
    rows = [json.loads(line) for line in (tmp_path / "in.jsonl").read_text().splitlines()]
    name = f"in{HOSTILE.replace('/', '')}.jsonl".encode("utf-8", "replace").decode()[:60]
    (tmp_path / name).write_text("".join(json.dumps({**row, HOSTILE: HOSTILE}) + "\n" for row in rows))
    (tmp_path / "in.jsonl").rename(tmp_path / "plain.jsonl")
    return tmp_path


def odd_input(folder: Path) -> str:
    """The input with the hostile name."""
    return next(path.name for path in folder.glob("in*"))


ARGUMENTS = {
    "plain": ("--progress", "plain"),
    "none": ("--progress", "none"),
    "debug": ("--progress", "plain", "--log-level", "debug"),
    "json": ("--progress", "json"),
    "log json": ("--progress", "plain", "--log-json", "--log-level", "debug"),
}


@pytest.mark.parametrize(
    ("status", "how"), [*((400, how) for how in ARGUMENTS), (403, "plain"), (500, "json")]
)
async def test_row_83_lines_are_only_words(folder: Path, status: int, how: str) -> None:
    """Server words, replies, names of blocks, columns, files: progress, log, account and errors are clean."""
    files = ("-i", odd_input(folder), "-o", f"out{odd_input(folder)[2:20]}.jsonl")
    limits = ("--max-attempts", "1", "--max-outage", "1")
    async with teacher(status) as url:
        done = await sdg(folder, "run", "ask.yaml", *files, "--endpoint-url", url, *limits, *ARGUMENTS[how])
    if how in {"json", "log json"}:
        lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
        assert lines
        assert all(line.isascii() and line.isprintable() for line in lines)
    else:
        assert harmless(done.stderr), done.stderr
        assert "\x1b" not in done.stderr
    assert harmless(done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("status", [400, 403])
async def test_row_83_a_terminal_gets_nothing_but_our_own_sequences(folder: Path, status: int) -> None:
    """The live panel, the log above it and the account below."""
    arguments = ["run", "ask.yaml", "-i", odd_input(folder), "-o", "out.jsonl"]
    limits = ["--max-attempts", "1", "--max-outage", "1", "--progress", "rich", "--log-level", "debug"]
    async with teacher(status) as url:
        command = [*COMMAND, *arguments, *limits, "--endpoint-url", url]
        shown = await anyio.to_thread.run_sync(_on_a_terminal, command, folder)
    assert "ask" in shown
    assert harmless(shown.replace("\r\n", "\n")), [raw for raw in RAW if raw in shown]


def _on_a_terminal(command: list[str], folder: Path) -> str:
    """What a command writes to its terminal."""
    import pty

    leader, follower = pty.openpty()
    with subprocess.Popen(
        command, cwd=folder, env=environment(TERM="xterm"), stdout=follower, stderr=follower
    ):
        os.close(follower)
        shown = b""
        with suppress(OSError):  # how a pseudo-terminal says that its other end is closed
            while chunk := os.read(leader, 4096):
                shown += chunk
    os.close(leader)
    return shown.decode()


async def test_row_83_mistakes_in_files_are_told_in_words(folder: Path) -> None:
    """Missing columns, unknown keys and types, broken rows: check, run and plan."""
    odd = json.dumps(HOSTILE)
    block = f"{{name: {odd}, type: {odd}, config: {{}}}}"
    (folder / "bad.yaml").write_text(f'version: "1.0"\n{odd}: 1\nblocks:\n  - {block}\n')
    (folder / "rows.jsonl").write_text(json.dumps({HOSTILE: 1}) + "\n" + HOSTILE.replace("\n", "") + "\n")
    (folder / "settings.yaml").write_text(f"{odd}: 1\nprogress: {odd}\n")
    (folder / "odd\x1b]0;pwned\x07.yaml").write_text((folder / "ask.yaml").read_text())
    for arguments in (
        ("check", "bad.yaml"),
        ("check", "bad.yaml", "--json"),
        ("check", "ask.yaml"),
        ("check", "ask.yaml", "--json"),
        ("check", "odd\x1b]0;pwned\x07.yaml"),
        ("check", "ask.yaml", "--input", "rows.jsonl"),
        ("check", "ask.yaml", "--input", "rows.jsonl", "--json"),
        ("plan", "ask.yaml"),
        ("pipelines", "show", "ask.yaml"),
        ("pipelines", "show", HOSTILE),
        ("run", "ask.yaml", "-i", "rows.jsonl", "-o", "out.jsonl", "--simulate"),
        ("run", "--settings", "settings.yaml"),
        ("run", "ask.yaml", "-i", HOSTILE, "-o", "out.jsonl", "--simulate"),
        ("run", "ask.yaml", "-i", "plain.jsonl", "-o", f"none/{HOSTILE}", "--simulate"),
        ("run", HOSTILE),
        (HOSTILE,),
        ("run", f"--{HOSTILE}"),
        ("run", "--progress", HOSTILE),
        ("run", "--plugins", HOSTILE),
        ("simulate", "--faults", HOSTILE),
    ):
        done = await sdg(folder, *arguments)
        said = done.stdout + done.stderr
        assert said, arguments
        assert harmless(said), (arguments, said)
        assert "\x1b" not in said, (arguments, said)


async def test_row_83_variables_are_told_in_words(folder: Path) -> None:
    """What an option in the environment says is no better than what a file says."""
    done = await sdg(folder, "run", "ask.yaml", SDG_STREAM_PROGRESS=HOSTILE, SDG_STREAM_LIMIT=HOSTILE)
    assert done.returncode == 2
    assert harmless(done.stderr), done.stderr


async def test_row_83_a_servers_own_account_is_only_words(tmp_path: Path) -> None:
    """``check --endpoint-url`` shows models, headers and errors."""
    hostile = SimulatorSettings(latency="zero", model=f"model {HOSTILE}")
    async with serve(hostile) as server:
        for more in ((), ("--json",), ("--model-id", "another")):
            done = await sdg(tmp_path, "check", "--endpoint-url", server.url, *more)
            assert "model" in done.stdout
            assert harmless(done.stdout + done.stderr), done.stdout
