"""The README's commands and code, as a stranger would use them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import ClientSession, web
from anyio import to_thread
from taxonomies import SKILL, skill, write_files

import sdg_stream as sdg
from sdg_stream.catalog import pipelines_dir
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.testing.run_blocks import run_blocks

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_with(words: str) -> str:
    """The Python code block of the README that has these words."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    [found] = [block for block in blocks if words in block]
    return found


@pytest.mark.timeout(600)
def test_the_first_command_ends_with_rows_on_disk(tmp_path: Path) -> None:
    """From a clean clone in a fresh environment: it installs, runs the demo and says where the rows are."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: there is nothing to clone from")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, capture_output=True)
    [command] = re.findall(r"^python3 -m venv .*sdg_stream run$", README, re.MULTILINE)
    command = command.replace("python3 -m venv", f"{sys.executable} -m venv", 1)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    shell = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = (clone / "sdg_stream_demo" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) > 10
    said = done.stdout + done.stderr
    assert "rows.jsonl" in said
    assert "simulated" in said.lower()
    assert "--endpoint-url" in said
    installed = subprocess.run(
        [clone / ".venv/bin/python", "-c", "import sdg_stream.catalog as c; print(c.pipelines_dir())"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "site-packages" in installed.stdout  # the wheel holds the pipelines, it does not need the clone


@pytest.mark.anyio
async def test_the_block_of_ones_own() -> None:
    """The README's block runs as it stands there."""
    names: dict[str, Any] = {"__name__": "word_count"}
    exec(compile(code_with("class WordCount("), "README.md", "exec"), names)
    block = names["WordCount"](names["WordCountConfig"](column="text"), sdg.Context("count", base_dir=Path()))
    outcome = await run_blocks([block], [{"text": "three small words"}])
    assert outcome.rows == [{"text": "three small words", "words": 3}]


@pytest.mark.anyio
async def test_the_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streaming and running as the README shows it, with the endpoint's address and model replaced."""
    monkeypatch.chdir(tmp_path)
    seeds = (pipelines_dir() / "examples" / "seeds" / "knowledge.jsonl").read_bytes()
    (tmp_path / "in.jsonl").write_bytes(seeds)
    async with serve(SimulatorSettings(latency="zero")) as server:
        code = code_with("pipeline.stream(rows, teacher) as results").replace(
            '"http://localhost:8000/v1", model="mixtral-8x7b"', repr(server.url)
        )
        body = "\n".join(f"    {line}" for line in code.splitlines())
        names: dict[str, Any] = {}
        exec(compile(f"async def example(rows):\n{body}\n    return report", "README.md", "exec"), names)
        report = await names["example"]([orjson.loads(line) for line in seeds.splitlines()])
    assert report.rows == len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) > 0


@pytest.mark.anyio
@pytest.mark.parametrize("words", ["sdg.Generation.load(", "sdg.generate_data("])
async def test_the_whole_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """As it is shown, and as programs of InstructLab's library call it, with the address replaced."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "taxonomy", {SKILL: skill()})
    if find_spec("openai") is None:  # the object is only read
        double = SimpleNamespace(OpenAI=SimpleNamespace)
        monkeypatch.setitem(sys.modules, "openai", double)
    async with serve(SimulatorSettings(latency="zero")) as server:
        code = code_with(words).replace("http://localhost:8000/v1", server.url)
        body = "\n".join(f"    {line}" for line in code.splitlines())
        names: dict[str, Any] = {}
        exec(compile(f"async def example():\n{body}", "README.md", "exec"), names)
        await to_thread.run_sync(anyio.run, names["example"])  # a call that blocks must not block the server
    [made] = (tmp_path / "datasets").glob("skills_train_msgs_*.jsonl")
    assert made.read_bytes().count(b"\n") > 0


def test_the_commands_beside_those_of_others_exist() -> None:
    """Each command and option in the right column of the table is one."""
    commands = re.findall(r"\| .*`python -m sdg_stream ([^`]*)`", README[README.index("## Coming from") :])
    assert len(commands) == 5
    for command in commands:
        options = re.findall(r"--[\w-]+", command)
        names = [word for word in command.split(" --")[0].split() if word.islower()]
        done = subprocess.run(
            [sys.executable, "-m", "sdg_stream", *names, "--help"], capture_output=True, text=True, check=True
        )
        assert all(option in done.stdout for option in options), command


@pytest.fixture
async def handler() -> AsyncIterator[tuple[str, Any]]:
    """The README's web handler behind a real server, and the simulated teacher that it asks."""
    names: dict[str, Any] = {"__name__": "handler"}
    exec(compile(code_with("async def generate(request"), "README.md", "exec"), names)
    settings = SimulatorSettings(latency="fixed", latency_seconds=0.02, slots=8)
    async with serve(settings) as simulator, sdg.connect(simulator.url, concurrency=8) as teacher:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app[names["TEACHER"]] = teacher
        app[names["PIPELINE"]] = sdg.Pipeline.load("full/knowledge")
        app.router.add_post("/generate", names["generate"])
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            yield f"http://127.0.0.1:{port}/generate", simulator
        finally:
            await runner.cleanup()


@pytest.mark.anyio
async def test_the_web_handler_streams_rows(handler: tuple[str, Any]) -> None:
    """Rows arrive as NDJSON while the run goes on."""
    url, _ = handler
    seeds = (pipelines_dir() / "examples" / "seeds" / "knowledge.jsonl").read_bytes()
    async with ClientSession() as session, session.post(url, data=seeds) as response:
        rows = [orjson.loads(line) async for line in response.content]
    assert len(rows) > 5
    assert all("question" in row for row in rows)


@pytest.mark.anyio
async def test_a_client_that_leaves_ends_the_run(handler: tuple[str, Any]) -> None:
    """After the reader has gone, no further call is made, though most of the input is still waiting."""
    url, simulator = handler
    seeds = (pipelines_dir() / "examples" / "seeds" / "knowledge.jsonl").read_bytes()
    async with ClientSession() as session, session.post(url, data=seeds * 30) as response:
        await response.content.readline()
    with anyio.fail_after(10):
        while simulator.stats.running:  # noqa: ASYNC110 - the server is not ours to be told by
            await anyio.sleep(0.02)
    made = simulator.stats.requests
    await anyio.sleep(0.3)
    assert simulator.stats.requests == made < 8 * 30 * 3
