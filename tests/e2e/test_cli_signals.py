"""Stopping processes: ``run`` saves what was paid for and goes on later, ``simulate`` just ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from command_line import COMMAND, ROWS, Lines, environment, sdg, write_project

from sdg_stream.simulator.call_log import CallLine
from sdg_stream.simulator.server import SimulatorServer, serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pseudo-terminals"),
]

SLOTS = 4
HANGING = FaultRule(fault=Fault(kind="hang"), match="about hanging")
ENDINGS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@asynccontextmanager
async def slow_teacher(folder: Path, rows: int, **settings: Any) -> AsyncIterator[SimulatorServer]:
    """So many input rows, and a teacher that takes 0.7 s for each."""
    write_project(folder)
    numbers = range(rows)
    (folder / "in.jsonl").write_text("".join(f'{{"topic": "t{n}", "number": {n}}}\n' for n in numbers))
    chosen = SimulatorSettings(**{"latency": "fixed", "latency_seconds": 0.7, **settings})
    async with serve(chosen, log=folder / "calls.log") as server:
        yield server


def command_for(server: SimulatorServer) -> list[str]:
    """A run of the project."""
    ends = ("-i", "in.jsonl", "-o", "out.jsonl")
    return ["run", "ask.yaml", *ends, "--endpoint-url", server.url, "--concurrency", str(SLOTS)]


def numbers_in(file: Path) -> list[int]:
    """The numbers of the rows in a file."""
    return [json.loads(line)["number"] for line in file.read_text().splitlines()]


def asked_again(log: Path) -> list[int]:
    """How often those calls were made that were made more than once; looks at the teacher are left out."""
    calls = [msgspec.json.decode(line, type=CallLine) for line in log.read_bytes().splitlines()]
    probe = calls[0].request
    counts = Counter(call.request for call in calls if call.request != probe)
    return [count for count in counts.values() if count > 1]


async def going_on(folder: Path, words: str) -> str:
    """Do what the last line of a stopped run says; gives the words of that."""
    line = words.rstrip().splitlines()[-1]
    with anyio.fail_after(30):
        done = await anyio.run_process(shlex.split(line), cwd=folder, env=environment(), check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


# ---------------------------------------------------------------- run


@pytest.mark.parametrize(("number", "code"), ENDINGS)
async def test_rows_54_and_55_calls_under_way_are_answered_and_kept(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Nothing more is asked, what was asked is in the output, and the command that is told goes on."""
    async with slow_teacher(tmp_path, rows=3 * SLOTS) as server:
        command = [*COMMAND, *command_for(server)]
        with anyio.fail_after(30):
            async with await anyio.open_process(
                [*command, "--progress", "json"], cwd=tmp_path, env=environment()
            ) as process:
                lines = Lines(process)
                await lines.until(lambda report: report["teacher"]["in_flight"] == SLOTS)
                asked, began = server.stats.requests, time.monotonic()
                process.send_signal(number)
                words = await lines.rest()
                assert await process.wait() == code
        assert time.monotonic() - began < 5
        assert server.stats.requests == asked
        said = [json.loads(line).get("text", "") for line in words.splitlines()]
        assert f"{number.name}: stopping; a second one leaves at once" in said
        rows = numbers_in(tmp_path / "out.jsonl")
        assert rows == list(range(asked - 1))  # one request looked what the teacher can do
        assert f"Stopped by {number.name}. {len(rows)} rows of settled roots saved in out.jsonl." in said[-1]
        await going_on(tmp_path, said[-1])
    assert numbers_in(tmp_path / "out.jsonl") == list(range(3 * SLOTS))
    assert asked_again(tmp_path / "calls.log") == []


async def test_row_55_calls_that_take_too_long_are_given_up(tmp_path: Path) -> None:
    """A run in which a call hangs is stopped: after 10 s settled rows are in the file, the rest waits."""
    write_project(tmp_path)
    (tmp_path / "in.jsonl").write_text(ROWS + '{"topic": "hanging", "number": 4}\n')
    async with serve(SimulatorSettings(latency="zero", faults=(HANGING,))) as server:
        command = [*COMMAND, *command_for(server), "--progress", "json"]
        with anyio.fail_after(30):
            async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
                lines = Lines(process)
                await lines.until(lambda report: report["rows"] == 3)
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                words = await lines.rest()
                assert await process.wait() == 143
    assert 9.5 < time.monotonic() - began < 13
    assert numbers_in(tmp_path / "out.jsonl") == [1, 2, 3]
    final = next(json.loads(line) for line in words.splitlines() if '"run_finished"' in line)["report"]
    assert (final["roots"], final["accepted"], final["pending"], final["rows"]) == (4, 3, 1, 3)
    assert "Stopped by SIGTERM. 3 rows of settled roots saved in out.jsonl." in words


async def test_row_54_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    """With calls under way it does not wait for them, and the run goes on all the same."""
    async with slow_teacher(
        tmp_path, rows=6, faults=(FaultRule(match="about t5", fault=HANGING.fault),)
    ) as server:
        command = command_for(server)
        with anyio.fail_after(30):
            async with await anyio.open_process(
                [*COMMAND, *command, "--progress", "json"], cwd=tmp_path, env=environment()
            ) as process:
                lines = Lines(process)
                await lines.until(lambda report: report["rows"] == 5)
                process.send_signal(signal.SIGINT)
                await lines.until_word("stopping")
                began = time.monotonic()
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
        assert time.monotonic() - began < 3
    assert numbers_in(tmp_path / "out.jsonl") == list(range(5))
    (tmp_path / "calls.log").unlink()
    async with serve(SimulatorSettings(latency="zero"), log=tmp_path / "calls.log") as server:
        assert (await sdg(tmp_path, *command_for(server))).returncode == 0
        assert server.stats.requests == 2  # a look at the teacher, and the row that was left
    assert numbers_in(tmp_path / "out.jsonl") == list(range(6))


async def test_row_55_a_terminal_that_goes_away_twice_stops_a_run_once(tmp_path: Path) -> None:
    """System and shell may both send SIGHUP: the second one does not cut the grace short."""
    async with slow_teacher(tmp_path, rows=SLOTS) as server:
        command = [*COMMAND, *command_for(server), "--progress", "json"]
        with anyio.fail_after(30):
            async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
                lines = Lines(process)
                await lines.until(lambda report: report["teacher"]["in_flight"] == SLOTS)
                process.send_signal(signal.SIGHUP)
                await lines.until_word("stopping")
                process.send_signal(signal.SIGHUP)
                await lines.rest()
                assert await process.wait() == 129
    assert numbers_in(tmp_path / "out.jsonl") == list(range(SLOTS))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_row_55_what_is_ignored_stays_ignored(tmp_path: Path, number: signal.Signals) -> None:
    """Under ``nohup``, or in the background of a script, a run comes to its end."""
    async with slow_teacher(tmp_path, rows=SLOTS) as server:
        command = shlex.join([*COMMAND, *command_for(server), "--progress", "json"])
        script = f"trap '' {number.name.removeprefix('SIG')}; exec {command}"
        with anyio.fail_after(30):
            async with await anyio.open_process(
                ["sh", "-c", script], cwd=tmp_path, env=environment()
            ) as process:
                lines = Lines(process)
                await lines.until(lambda report: report["teacher"]["in_flight"] == SLOTS)
                process.send_signal(number)
                assert "stopping" not in await lines.rest()
                assert await process.wait() == 0
    assert numbers_in(tmp_path / "out.jsonl") == list(range(SLOTS))


# ---------------------------------------------------------------- on a terminal


class Terminal:
    """The leading end of a pseudo-terminal."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.shown = ""

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.leader, keys)

    def read(self, until: Callable[[str], bool] = lambda _: False) -> str:
        """Everything that is shown until a condition holds, or to the end."""
        while not until(self.shown):
            try:
                chunk = os.read(self.leader, 65536)
            except OSError:  # how a pseudo-terminal says that its other end is closed
                break
            self.shown += chunk.decode(errors="replace")
        return self.shown


@contextmanager
def on_a_terminal(folder: Path, command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """Run a command on a terminal of its own, which is its controlling one."""
    leader, follower = os.openpty()

    def take_terminal() -> None:
        os.login_tty(follower)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which the tests ignore if they run under nohup

    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(TERM="xterm"),
        start_new_session=True,
        preexec_fn=take_terminal,  # noqa: PLW1509 - it only calls the system
    )
    os.close(follower)
    terminal = Terminal(leader)
    with process:
        try:
            yield process, terminal
        finally:
            process.kill()
            if terminal.leader >= 0:
                os.close(leader)


async def test_row_54_ctrl_c_on_a_terminal_with_a_panel(tmp_path: Path) -> None:
    """The panel goes, the cursor comes back, words and command stay; the command goes on."""
    async with slow_teacher(tmp_path, rows=3 * SLOTS) as server:

        def stop() -> tuple[str, int]:
            with on_a_terminal(tmp_path, [*COMMAND, *command_for(server)]) as (process, terminal):
                terminal.read(until=lambda shown: f"{SLOTS}/{SLOTS} in flight" in shown)
                terminal.type(b"\x03")
                return terminal.read(), process.wait()

        with anyio.fail_after(30):
            shown, code = await anyio.to_thread.run_sync(stop)
        assert code == 130, shown
        after = shown[shown.rindex("\x1b[?25h") :]
        assert "\x1b[?25l" not in after
        assert "SIGINT: stopping; a second one leaves at once" in after
        assert "Stopped by SIGINT." in after
        assert "Traceback" not in shown
        await going_on(tmp_path, after)
    assert numbers_in(tmp_path / "out.jsonl") == list(range(3 * SLOTS))
    assert asked_again(tmp_path / "calls.log") == []


async def test_row_55_a_terminal_that_is_closed(tmp_path: Path) -> None:
    """The window is closed over a run with a panel: what was asked is answered and saved."""
    async with slow_teacher(tmp_path, rows=8 * SLOTS) as server:

        def close() -> int:
            with on_a_terminal(tmp_path, [*COMMAND, *command_for(server)]) as (process, terminal):
                terminal.read(until=lambda shown: f"{SLOTS}/{SLOTS} in flight" in shown)
                leader, terminal.leader = terminal.leader, -1
                os.close(leader)
                return process.wait()

        with anyio.fail_after(30):
            assert await anyio.to_thread.run_sync(close) == 129
        saved = numbers_in(tmp_path / "out.jsonl")
        assert saved == list(range(server.stats.requests - 1)) != []
        assert (await sdg(tmp_path, *command_for(server))).returncode == 0
    assert numbers_in(tmp_path / "out.jsonl") == list(range(8 * SLOTS))
    assert asked_again(tmp_path / "calls.log") == []


# ---------------------------------------------------------------- simulate


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_simulate_serves_until_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """The simulated teacher says what it is and where, answers, and ends with 0 when stopped."""
    command = [*COMMAND, "simulate", "--port", "0", "--model", "m", "--latency", "zero", "--api", "chat"]
    with anyio.fail_after(30):
        async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
            lines = Lines(process)
            first = await lines.next()
            assert first.startswith("SIMULATED teacher m at http://127.0.0.1:")
            port = int(first.split(":")[2].split("/")[0])
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert b"200" in await stream.receive()
            process.send_signal(number)
            assert await process.wait() == 0


async def test_simulate_refuses_bad_faults(tmp_path: Path) -> None:
    """A mistake in a fault file is told with its line."""
    (tmp_path / "faults.yaml").write_text("- {rate: 0.5, fault: explode}\n")
    command = [*COMMAND, "simulate", "--port", "0", "--faults", "faults.yaml"]
    with anyio.fail_after(30):
        done = await anyio.run_process(command, cwd=tmp_path, env=environment(), check=False)
    assert done.returncode == 2
    assert b"faults.yaml:1" in done.stderr
