"""``report`` beside real runs: one that is under way, one that was killed, one that was gone on with."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import anyio
import pytest
from command_line import COMMAND, ROWS, Lines, environment, sdg, write_project

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = pytest.mark.anyio

HANGING = FaultRule(fault=Fault(kind="hang"), match="about hanging")


async def test_a_run_is_followed_through_a_kill(tmp_path: Path) -> None:
    """Running, killed, gone on with by the command that the report names, finished: each is told."""
    write_project(tmp_path)
    (tmp_path / "in.jsonl").write_text(ROWS + '{"topic": "hanging", "number": 4}\n')
    command = ["run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--progress", "json"]
    async with serve(SimulatorSettings(latency="zero", faults=(HANGING,)), "127.0.0.1", 0) as server:
        command += ["--endpoint-url", server.url]
        with anyio.fail_after(30):
            async with await anyio.open_process(
                [*COMMAND, *command, "--overwrite"], cwd=tmp_path, env=environment()
            ) as process:
                await Lines(process).until(lambda report: report["rows"] > 0)
                running = await sdg(tmp_path, "report", "out.jsonl")
                busy = await sdg(tmp_path, "report", "out.jsonl", "--prune-cache")
                process.kill()
                await process.wait()
        killed = await sdg(tmp_path, "report", "out.jsonl")
    assert running.stdout.startswith(f"out.jsonl: running (process {process.pid} on ")
    assert running.stdout.count("\n") > 10
    assert busy.returncode == 6
    assert f"is in use by process {process.pid} on " in busy.stderr
    lines = killed.stdout.splitlines()
    assert lines[0] == "out.jsonl: killed, or it could not write any more"
    assert "pending   input row 4 and all behind it" in lines
    assert lines[-2] == "This goes on from there:"
    words = shlex.split(lines[-1])
    assert words == [sys.executable, "-m", "sdg_stream", *command]
    async with serve(SimulatorSettings(latency="zero"), "127.0.0.1", 0) as server:
        # the model is the same, so another address is no other teacher
        done = await sdg(tmp_path, *words[3:-1], server.url)
    assert done.returncode == 0, done.stderr
    found = json.loads((await sdg(tmp_path, "report", "out.jsonl", "--json")).stdout)["run"]
    assert [session["ended"] for session in found["sessions"]] == ["killed", "finished"]
    assert (found["state"], found["account"]["accepted"]) == ("finished", 4)
