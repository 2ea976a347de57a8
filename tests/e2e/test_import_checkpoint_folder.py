"""``run --import-checkpoint`` as people run it: rows that upstream left, a kill, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from command_line import COMMAND, Lines, environment, sdg, write_project

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = pytest.mark.anyio

TOPICS = ("tides", "winds", "hanging", "rocks")
HANGING = FaultRule(fault=Fault(kind="hang"), match="about hanging")


def write_checkpoint(folder: Path) -> None:
    """What upstream left of two topics, in two files, as pandas writes it."""
    folder.mkdir()
    for number, topic in enumerate(("rocks", "tides")):
        rows = [
            {"topic": topic, "number": float(TOPICS.index(topic)), "answer": f"{topic}/{n}"} for n in (1, 2)
        ]
        text = "\n".join(json.dumps(row).replace("/", "\\/") for row in rows)
        (folder / f"data_checkpoint_{number:032x}.jsonl").write_text(text)


async def test_rows_are_taken_over_through_a_kill(tmp_path: Path) -> None:
    """Killed and gone on with: each row of the checkpoint is in the output once, in input order."""
    write_project(tmp_path)
    write_checkpoint(tmp_path / "left")
    rows = [{"topic": topic, "number": number} for number, topic in enumerate(TOPICS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--import-checkpoint", "left"]
    async with serve(SimulatorSettings(latency="zero", faults=(HANGING,)), "127.0.0.1", 0) as server:
        arguments = [*command, "--endpoint-url", server.url]
        with anyio.fail_after(30):
            async with await anyio.open_process(
                [*COMMAND, *arguments, "--progress", "json"], cwd=tmp_path, env=environment()
            ) as process:
                await Lines(process).until(lambda report: report["rows"] > 0)
                process.kill()
                await process.wait()
    async with serve(SimulatorSettings(latency="zero"), "127.0.0.1", 0) as server:
        refused = await sdg(tmp_path, *command[:-2], "--endpoint-url", server.url)
        done = await sdg(tmp_path, *command, "--endpoint-url", server.url)
        asked = server.stats.requests
    assert refused.returncode == 6
    assert 'imported checkpoint was "2 files, ' in refused.stderr
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["topic"] for row in found] == ["tides", "tides", "winds", "hanging", "rocks", "rocks"]
    assert [row["answer"] for row in found if row["topic"] in ("tides", "rocks")] == [
        "tides/1",
        "tides/2",
        "rocks/1",
        "rocks/2",
    ]
    assert asked <= 2
    assert "imported  2 roots came with their rows" in done.stderr
    assert "is not recorded: it is taken as made by these" in done.stderr


async def test_a_folder_that_is_none_is_told_before_the_teacher(tmp_path: Path) -> None:
    """Exit 2, with the folders that have such files; no teacher is needed to hear it."""
    write_project(tmp_path)
    write_checkpoint(tmp_path / "left")
    command = ["run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--import-checkpoint", "."]
    done = await sdg(tmp_path, *command, "--endpoint-url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "these folders in it have some: left" in done.stderr
    assert not (tmp_path / "out.jsonl.run").exists()
