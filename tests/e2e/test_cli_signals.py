"""Stopping processes: ``run`` saves what is settled, ``simulate`` just ends."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import anyio
import pytest
from command_line import COMMAND, ROWS, Lines, environment, write_project

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_what_is_settled_is_saved(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """A run in which a call hangs is stopped: settled rows are whole in the file, the rest is pending."""
    write_project(tmp_path)
    (tmp_path / "in.jsonl").write_text(ROWS + '{"topic": "hanging", "number": 4}\n')
    settings = SimulatorSettings(
        latency="zero", faults=(FaultRule(fault=Fault(kind="hang"), match="about hanging"),)
    )
    command = [*COMMAND, "run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--progress", "json"]
    async with serve(settings, "127.0.0.1", 0) as server:
        with anyio.fail_after(30):
            async with await anyio.open_process(
                [*command, "--endpoint-url", server.url], cwd=tmp_path, env=environment()
            ) as process:
                lines = Lines(process)
                await lines.until_rows(3)
                process.send_signal(number)
                words = await lines.rest()
                assert await process.wait() == code
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["number"] for row in rows] == [1, 2, 3]
    final = next(json.loads(line) for line in words.splitlines() if '"run_finished"' in line)["report"]
    assert (final["roots"], final["accepted"], final["pending"], final["rows"]) == (4, 3, 1, 3)
    assert f"Stopped by {number.name}. 3 rows of settled roots saved in out.jsonl." in words


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
