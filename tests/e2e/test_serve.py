"""``--serve``: a server for the time of the run, which is stopped in every way that a run can end."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from canary import CANARY, Watch
from command_line import COMMAND, ROWS, environment, sdg, write_project

from sdg_stream.cli.serve import serving
from sdg_stream.errors import ConfigError, OutputError, TeacherUnusable
from sdg_stream.events import Event, Notice

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no process groups there"),
]

STUBBORN = """\
import http.server, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def url_of(port: int) -> str:
    """The endpoint at a port."""
    return f"http://127.0.0.1:{port}/v1"


def simulated(port: int, *more: str) -> str:
    """A command that serves the simulated teacher."""
    return " ".join([*COMMAND, "simulate", "--port", str(port), *more])


def with_pid(command: str, file: Path) -> str:
    """A command that writes the number of its process to a file first."""
    return f"sh -c 'echo $$ > {file}; exec {command}'"


def arguments(port: int, command: str) -> tuple[str, ...]:
    """Of a run with a server of its own."""
    return (
        *("run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl"),
        *("--endpoint-url", url_of(port), "--serve", command),
    )


def listens(port: int) -> bool:
    """Whether anything listens on the port."""
    with socket.socket() as look:
        return look.connect_ex(("127.0.0.1", port)) == 0


async def until_gone(port: int) -> None:
    """Wait until nothing listens."""
    with anyio.fail_after(20):
        while listens(port):  # noqa: ASYNC110 (another process, which does not tell)
            await anyio.sleep(0.05)


async def until_there(file: Path, words: str) -> str:
    """Wait until a file holds some words; its text."""
    with anyio.fail_after(20):
        while not file.exists() or words not in file.read_text():  # noqa: ASYNC110
            await anyio.sleep(0.05)
    return file.read_text()


@asynccontextmanager
async def hanging_run(folder: Path, port: int) -> AsyncIterator[tuple[Process, int]]:
    """A run with three rows written and a call that hangs; its process, and the number of its server."""
    write_project(folder)
    (folder / "in.jsonl").write_text(ROWS + '{"topic": "hanging", "number": 4}\n')
    (folder / "faults.yaml").write_text("- {fault: hang, match: about hanging}\n")
    server = simulated(port, "--latency", "zero", "--faults", "faults.yaml")
    with (folder / "stderr").open("wb") as log:
        process = await anyio.open_process(
            [*COMMAND, *arguments(port, with_pid(server, folder / "pid"))],
            cwd=folder,
            env=environment(),
            stdout=None,
            stderr=log,
        )
    try:
        async with process:
            await until_there(folder / "out.jsonl", '"rocks"')
            yield process, int((folder / "pid").read_text())
    finally:
        await until_gone(port)


async def test_a_run_with_a_server_of_its_own(tmp_path: Path, port: int) -> None:
    """The server is started, waited for, asked, logged and stopped."""
    write_project(tmp_path)
    done = await sdg(tmp_path, *arguments(port, simulated(port, "--latency", "zero")))
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    assert f"answers at {url_of(port)}" in done.stderr
    assert "SIMULATED teacher" in (tmp_path / "out.jsonl.run" / "server.log").read_text()
    assert not listens(port)


async def test_a_server_that_dies_while_it_is_waited_for(tmp_path: Path, port: int) -> None:
    """Exit 4 at once, with what the server said last."""
    write_project(tmp_path)
    command = f"{sys.executable} -c \"import sys; print('out of memory'); sys.exit(3)\""
    done = await sdg(tmp_path, *arguments(port, command))
    assert done.returncode == 4
    assert "has ended, with exit code 3" in done.stderr
    assert "\n  out of memory\n" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_server_that_dies_during_the_run(tmp_path: Path, port: int) -> None:
    """Nobody will start it again, so the run ends at once with 4, and what is settled is saved."""
    async with hanging_run(tmp_path, port) as (process, pid):
        os.kill(pid, signal.SIGKILL)
        with anyio.fail_after(20):
            assert await process.wait() == 4
    said = (tmp_path / "stderr").read_text()
    assert "has ended, with exit code 137" in said
    assert "3 rows of settled roots saved" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
async def test_the_server_ends_with_the_run(
    tmp_path: Path, port: int, number: signal.Signals, code: int
) -> None:
    """However the run ends, SIGKILL included, the server ends with it."""
    async with hanging_run(tmp_path, port) as (process, _):
        process.send_signal(number)
        with anyio.fail_after(30):
            assert await process.wait() == code


async def test_what_does_not_end_is_killed(tmp_path: Path, port: int) -> None:
    """A server that ignores SIGTERM, and the children of a server, are gone after the grace."""
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    command = f"sh -c '{sys.executable} {script} {port} & wait'"
    events: list[Event] = []
    log = tmp_path / "run" / "server.log"
    async with serving(command, url_of(port), log, wait_ready=20, grace=0.3, hook=events.append):
        assert listens(port)
    assert not listens(port)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert notices[0] == f"starting sh, which will answer at {url_of(port)}; its log is {log}"
    assert notices[-1] == f"sh answers at {url_of(port)}"


async def test_a_server_that_is_not_ready_in_time(tmp_path: Path, port: int) -> None:
    """It is stopped, and what it said last is shown, without secrets."""
    command = "sh -c 'echo my key is sk-9; sleep 100'"
    with pytest.raises(TeacherUnusable, match=r"no teacher at .* after 0\.3 s") as caught:
        async with serving(
            command, url_of(port), tmp_path / "log", wait_ready=0.3, grace=0.2, secrets=["sk-9"]
        ):
            raise AssertionError
    (note,) = caught.value.__notes__
    assert note == f"The last lines of {tmp_path / 'log'}:\n  my key is [redacted]"


async def test_row_72_the_log_of_a_server_holds_no_key(tmp_path: Path, port: int, canary: Watch) -> None:
    """Neither the run's key nor one of the command, also where it comes in pieces; the rest comes at once."""
    other = CANARY.replace("/", "-", 1)
    parts = (CANARY[:9], CANARY[9:20], CANARY[20:], ",")
    pieces = "".join(f"printf %s {part}; sleep 0.02; " for part in parts)
    ends = f"echo key {CANARY} and {CANARY}; printf sk-G6; printf sk-; sleep 100"
    script = f"echo args: $0 $2; {pieces} {ends}"
    command, log = f"sh -c '{script}' vllm --api-key {other}", tmp_path / "log"
    with pytest.raises(TeacherUnusable) as caught:
        async with serving(command, url_of(port), log, wait_ready=1, grace=0.2, secrets=[CANARY]):
            raise AssertionError
    assert log.read_text() == "args: vllm [redacted]\n[redacted],key [redacted] and [redacted]\nsk-G6sk-"
    assert "key [redacted] and [redacted]" in caught.value.__notes__[0]
    assert canary is not None


async def test_a_server_that_says_much_is_not_held_up(tmp_path: Path, port: int) -> None:
    """Ten megabytes in a moment, with a key to look for: all of it is in the log."""
    lines = "print('x' * 99999); [print('y' * 9999) for _ in range(1000)]"
    script = f'{sys.executable} -c "{lines}"'
    with pytest.raises(TeacherUnusable, match="has ended, with exit code 0"):
        async with serving(script, url_of(port), tmp_path / "log", wait_ready=20, secrets=[CANARY]):
            raise AssertionError
    assert (tmp_path / "log").stat().st_size == 100_000 + 1000 * 10_000


async def test_an_error_inside_comes_out_as_it_is(tmp_path: Path, port: int) -> None:
    """What goes wrong while the server runs is not wrapped, and the server is stopped."""
    command = simulated(port, "--latency", "zero")
    with pytest.raises(ZeroDivisionError):
        async with serving(command, url_of(port), tmp_path / "log", wait_ready=20):
            raise ZeroDivisionError
    assert not listens(port)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "needs a command"),
        ("vllm 'serve", "No closing quotation"),
        ("no-such-program --port 1", "no program 'no-such-program'"),
        ("CUDA_VISIBLE_DEVICES=0 vllm serve", "put env before"),
    ],
)
async def test_commands_that_are_none(tmp_path: Path, port: int, command: str, words: str) -> None:
    """Mistakes in the command are told before anything is started."""
    with pytest.raises(ConfigError, match=words):
        async with serving(command, url_of(port), tmp_path / "log"):
            raise AssertionError


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    """What answers already would be taken for the new server, so it is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"answers at .* already"):
            async with serving("sleep 100", url_of(taken.getsockname()[1]), tmp_path / "log"):
                raise AssertionError


async def test_a_log_that_cannot_be_written(tmp_path: Path, port: int) -> None:
    """Before the server is started."""
    with pytest.raises(OutputError, match="cannot write the server's log"):
        async with serving("sleep 100", url_of(port), tmp_path / "no" / "run" / "log"):
            raise AssertionError


async def test_serve_and_simulate_exclude_each_other(tmp_path: Path) -> None:
    """Two teachers are one too many."""
    write_project(tmp_path)
    ends: tuple[Any, ...] = ("run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate")
    done = await sdg(tmp_path, *ends, "--serve", "sleep 100")
    assert done.returncode == 2
    assert "exclude each other" in done.stderr
