"""``bench`` as a user types it, against simulated teachers in processes of their own."""

from __future__ import annotations

import csv
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.text import TextReceiveStream
from canary import CANARY
from command_line import COMMAND, Lines, environment, sdg, write_project

pytestmark = pytest.mark.anyio

QUICK = ("--duration", "0.4", "--warmup", "0.1", "--prompt-tokens", "32", "--output-tokens", "8")
FIXED = ("--latency", "fixed", "--latency-seconds", "0.1")


@asynccontextmanager
async def teacher(folder: Path, *options: str) -> AsyncIterator[str]:
    """A simulated teacher in a process of its own; gives its URL."""
    command = [*COMMAND, "simulate", "--port", "0", *options]
    async with await anyio.open_process(command, cwd=folder, env=environment()) as process:
        try:
            with anyio.fail_after(20):
                first = await Lines(process).next()
            yield first.split(" at ")[1].split(" ")[0]
        finally:
            process.terminate()


@asynccontextmanager
async def canned_server() -> AsyncIterator[str]:
    """A server that is faster than the client; gives its URL."""
    script = str(Path(__file__).with_name("canned_server.py"))
    async with await anyio.open_process([sys.executable, script]) as process:
        assert process.stdout is not None
        try:
            port = (await TextReceiveStream(process.stdout).receive()).strip()
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


async def test_a_sweep_finds_the_slots_and_writes_its_files(tmp_path: Path) -> None:
    """Eight slots: levels, files, the server's own numbers beside, and a recommendation near 8."""
    files = ("--json", "b.json", "--csv", "b.csv", "--html", "b.html", "--requests", "b.jsonl")
    async with teacher(tmp_path, "--slots", "8", *FIXED) as url:
        done = await sdg(tmp_path, "bench", "--endpoint-url", url, *QUICK, *files)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((tmp_path / "b.json").read_text())
    assert 7 <= report["recommended_concurrency"] <= 10
    assert f"Recommended: --concurrency {report['recommended_concurrency']}" in done.stdout
    levels = {level["concurrency"]: level for level in report["levels"]}
    assert {1, 2, 4, 8, 16} <= set(levels)
    assert levels[1]["requests_per_s"] == pytest.approx(10, rel=0.3)
    assert levels[8]["requests_per_s"] == pytest.approx(80, rel=0.3)
    assert levels[16]["latency"]["p50"] == pytest.approx(2 * levels[8]["latency"]["p50"], rel=0.3)
    assert levels[16]["server"]["waiting"] == pytest.approx(8, abs=2)
    assert levels[8]["first_token"]["p50"] > 0
    assert not any(level["errors"] for level in report["levels"])
    assert len(list(csv.DictReader((tmp_path / "b.csv").read_text().splitlines()))) == len(levels)
    assert len((tmp_path / "b.jsonl").read_text().splitlines()) > 100
    assert (tmp_path / "b.html").read_text().startswith("<!DOCTYPE html>")
    assert CANARY not in "".join(file.read_text() for file in tmp_path.iterdir())
    compared = await sdg(tmp_path, "bench", "compare", "b.json", "b.json")
    assert compared.stdout.startswith("The set-ups are the same.")


async def test_prompts_of_a_pipeline_and_of_a_file(tmp_path: Path) -> None:
    """Only the levels that are named; prompts are told, and that they came again and again."""
    write_project(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"prompt": "Name a river."}\n{"prompt": "Name a lake."}\n')
    async with teacher(tmp_path, "--slots", "4", *FIXED) as url:
        common = ("bench", "--endpoint-url", url, *QUICK, "--concurrency", "2", "--model-family", "mixtral")
        pipeline = await sdg(tmp_path, *common, "--pipeline", "ask.yaml", "--input", "in.jsonl", "--no-run")
        file = await sdg(tmp_path, *common, "--prompts", "p.jsonl", "--no-stream", "--api", "chat")
    assert pipeline.returncode == 0, pipeline.stderr
    assert "prompts: 3 of the first asking block of" in pipeline.stdout
    assert "each of the 3 prompts was sent about" in pipeline.stdout
    assert file.returncode == 0, file.stderr
    assert "chat API, not streamed" in file.stdout
    assert "TTFT" not in file.stdout


async def test_failures_are_counted_by_kind(tmp_path: Path) -> None:
    """They are in no rate, and asked once."""
    (tmp_path / "faults.yaml").write_text("[{rate: 0.3, fault: 500}]")
    async with teacher(tmp_path, "--slots", "4", *FIXED, "--faults", "faults.yaml") as url:
        done = await sdg(
            tmp_path, "bench", "--endpoint-url", url, *QUICK, "--concurrency", "4", "--json", "b.json"
        )
    assert done.returncode == 0, done.stderr
    [level] = json.loads((tmp_path / "b.json").read_text())["levels"]
    assert level["errors"]["server_error_500"] > 0
    assert "requests failed (server_error_500)" in done.stdout


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
async def test_a_client_that_is_the_limit_is_called_one(tmp_path: Path, stream: str) -> None:
    """Against a server that answers at once: said in words and in the JSON, and no further level is tried."""
    async with canned_server() as url:
        done = await sdg(
            tmp_path, "bench", "--endpoint-url", url, *QUICK, stream, "--json", "b.json", "--timeout", "5"
        )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "b.json").read_text())
    assert report["client_bound"]
    assert "CLIENT-BOUND" in done.stdout
    assert "the client, not the server, was the limit" in done.stdout


async def test_nobody_there_is_4(tmp_path: Path) -> None:
    """A wrong URL: the way out, and nothing measured."""
    done = await sdg(tmp_path, "bench", "--endpoint-url", "http://127.0.0.1:9/v1", "--wait-ready", "0")
    assert done.returncode == 4
    assert "no teacher at http://127.0.0.1:9/v1" in done.stderr
    assert done.stdout == ""


async def test_a_server_that_goes_away_leaves_what_was_measured(tmp_path: Path) -> None:
    """Exit 4, and the level before is shown and written."""
    async with teacher(tmp_path, "--slots", "4", *FIXED) as url:
        command = [
            *COMMAND,
            "bench",
            "--endpoint-url",
            url,
            *QUICK,
            "--concurrency",
            "2,3",
            "--json",
            "b.json",
        ]
        process = await anyio.open_process(command, cwd=tmp_path, env=environment())
        lines = Lines(process)
        await lines.until_word("3 in flight")
    async with process:
        with anyio.fail_after(30):
            code = await process.wait()
    assert code == 4
    report = json.loads((tmp_path / "b.json").read_text())
    assert [level["concurrency"] for level in report["levels"]] == [2]
    assert report["interrupted"]


async def test_ctrl_c_shows_what_was_measured(tmp_path: Path) -> None:
    """Exit 130; the levels before are shown and written, and the simulated teacher is gone, too."""
    command = [*COMMAND, "bench", "--simulate", *QUICK, "--concurrency", "2,64", "--json", "b.json"]
    command += ["--duration", "1"]
    async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
        lines = Lines(process)
        with anyio.fail_after(30):
            first = await lines.next()
            await lines.until_word("64 in flight")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
        assert process.stdout is not None
        table = await TextReceiveStream(process.stdout).receive()
    assert "Interrupted" in table
    assert [level["concurrency"] for level in json.loads((tmp_path / "b.json").read_text())["levels"]] == [2]
    port = int(first.split("127.0.0.1:")[1].split("/")[0])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
