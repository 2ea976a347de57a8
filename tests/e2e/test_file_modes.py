"""Row 85: who may read what a run writes. The output is as open as the user's umask; all else is its owner's.

The run directory holds replies, prompts and rejected rows: more than the output was meant to show.
"""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from command_line import COMMAND, ROWS, environment, write_project

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no such modes there"),
]

UMASKS = (0o000, 0o022, 0o077)


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder: Path) -> dict[str, int]:
    """Those of a folder and everything in it."""
    return {".": mode(folder), **{path.name: mode(path) for path in folder.rglob("*")}}


def private(found: dict[str, int]) -> bool:
    """Whether only the owner can look into any of it."""
    return found.pop(".") == 0o700 and set(found.values()) == {0o600}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline and its rows: three, one on which a teacher may hang, and two that end as rejects."""
    write_project(tmp_path)
    (tmp_path / "in.jsonl").write_text(ROWS + '{"topic": "hanging", "number": 4}\n{"number": 5}\nno row\n')
    return tmp_path


def command(*arguments: str) -> list[str]:
    """A run."""
    return [*COMMAND, "run", "ask.yaml", "-i", "in.jsonl", *arguments, "--progress", "none"]


async def run(folder: Path, umask: int, *arguments: str) -> None:
    """A run to its end."""
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(
            command(*arguments),
            cwd=folder,
            env=environment(),
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
async def test_row_85_a_run_that_is_killed_and_gone_on_with(folder: Path, umask: int) -> None:
    """At every time: while it runs, with the journal's own files, after SIGKILL, and at the end."""
    hangs = SimulatorSettings(
        latency="zero", faults=(FaultRule(fault=Fault(kind="hang"), match="about hanging"),)
    )
    output, kept = folder / "out.jsonl", folder / "out.jsonl.run"
    async with serve(hangs) as server:
        arguments = command("-o", "out.jsonl", "--endpoint-url", server.url)
        running = await anyio.to_thread.run_sync(_until_killed, arguments, folder, umask)
    assert {"state.db", "lock"} <= set(running)
    assert private(running)
    assert mode(output) == 0o666 & ~umask
    async with serve(SimulatorSettings(latency="zero")) as server:
        await run(folder, umask, "-o", "out.jsonl", "--endpoint-url", server.url)
    ended = modes(kept)
    assert {"state.db", "lock", "run.json", "rejects.jsonl"} <= set(ended)
    assert private(ended)
    assert mode(output) == 0o666 & ~umask


def _until_killed(arguments: list[str], folder: Path, umask: int) -> dict[str, int]:
    """Let a run write three rows, look at its files, and kill it."""
    output = folder / "out.jsonl"
    with subprocess.Popen(
        arguments, cwd=folder, env=environment(), umask=umask, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 20
        while (not output.exists() or output.read_bytes().count(b"\n") < 3) and time.monotonic() < until:
            time.sleep(0.02)
        found = modes(folder / "out.jsonl.run")
        process.send_signal(signal.SIGKILL)
    return found


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
async def test_row_85_every_other_file(folder: Path, umask: int) -> None:
    """A packed output, a shared cache, a server's log, an edited run."""
    await run(folder, umask, "-o", "out.jsonl.gz", "--simulate", "--cache-dir", "cache")
    text = (folder / "prompt.yaml").read_text()
    (folder / "prompt.yaml").write_text(text.replace("You are brief", "You are very brief"))
    await run(folder, umask, "-o", "out.jsonl.gz", "--simulate", "--cache-dir", "cache", "--edited")
    assert mode(folder / "out.jsonl.gz") == 0o666 & ~umask
    assert private(modes(folder / "out.jsonl.gz.run"))
    cache = modes(folder / "cache")
    assert cache.pop(".") & 0o077 & umask == 0
    assert set(cache.values()) == {0o600}


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
async def test_row_85_the_log_of_a_server(folder: Path, umask: int, unused_port: int) -> None:
    """It is there before the run directory is used for anything else."""
    server = f"{' '.join(COMMAND)} simulate --port {unused_port} --latency zero"
    url = f"http://127.0.0.1:{unused_port}/v1"
    await run(folder, umask, "-o", "out.jsonl", "--endpoint-url", url, "--serve", server)
    found = modes(folder / "out.jsonl.run")
    assert "server.log" in found
    assert private(found)


@pytest.fixture
def unused_port() -> int:
    """A port where nobody listens."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_row_85_an_output_that_is_there_keeps_its_mode(folder: Path) -> None:
    """What its owner made of it is not undone by going on or by starting again."""
    await run(folder, 0o022, "-o", "out.jsonl", "--simulate", "--limit", "2")
    (folder / "out.jsonl").chmod(0o640)
    await run(folder, 0o000, "-o", "out.jsonl", "--simulate", "--limit", "3")
    assert mode(folder / "out.jsonl") == 0o640
    await run(folder, 0o000, "-o", "out.jsonl", "--simulate", "--overwrite", "--limit", "3")
    assert mode(folder / "out.jsonl") == 0o640
