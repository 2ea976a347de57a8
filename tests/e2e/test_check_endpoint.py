"""``check --endpoint-url``: whether a teacher can be used, and what is to be done if not."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from aiohttp.web_request import BaseRequest
from anyio.streams.text import TextReceiveStream
from command_line import COMMAND, environment, sdg, write_project

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.anyio

SECRET = "sk-canary-4711"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A simulated teacher that wants a key."""
    async with serve(SimulatorSettings(latency="zero", api_key=SECRET)) as server:
        yield server.url


async def test_one_screen_when_all_is_well(tmp_path: Path, url: str) -> None:
    """Each fact on a line of its own, exit 0, no pipeline needed."""
    done = await sdg(tmp_path, "check", "--endpoint-url", url, OPENAI_API_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == url
    facts = {line.split()[1]: line for line in lines[1:]}
    assert "simulated teacher, round trip" in facts["reachable"]
    assert "simulated-teacher, 32,768 tokens of context" in facts["model"]
    assert "completions and chat; completions is used" in facts["API"]
    assert "/metrics" in facts["load"]
    assert all(line.startswith("  ok") for line in lines[1:])
    assert SECRET not in done.stdout + done.stderr


async def test_with_a_pipeline_both_are_checked(tmp_path: Path, url: str) -> None:
    """The pipeline's plan, then the endpoint; mistakes in files are 2 even if the teacher is fine."""
    write_project(tmp_path)
    done = await sdg(tmp_path, "check", "ask.yaml", "--endpoint-url", url, OPENAI_API_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OK: ask.yaml\n")
    assert url in done.stdout
    (tmp_path / "prompt.yaml").unlink()
    done = await sdg(tmp_path, "check", "ask.yaml", "--endpoint-url", url, OPENAI_API_KEY=SECRET)
    assert done.returncode == 2
    assert url in done.stdout


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        (("--model-id", "simulated"), SECRET, "Did you mean 'simulated-teacher'?"),
        ((), "wrong", "--api-key-env"),
        (("--proxy", "http://127.0.0.1:9"), SECRET, "cannot connect to the proxy 127.0.0.1:9"),
    ],
)
async def test_rows_19_and_20_what_is_wrong_and_what_to_do(
    tmp_path: Path, url: str, more: tuple[str, ...], key: str, words: str
) -> None:
    """Exit 4 with the problem and the way out on one screen; the key is nowhere."""
    done = await sdg(tmp_path, "check", "--endpoint-url", url, *more, OPENAI_API_KEY=key)
    assert done.returncode == 4
    assert words in next(line for line in done.stdout.splitlines() if line.startswith("  problem"))
    assert done.stderr == "Error: unusable teacher\n"
    assert key not in done.stdout + done.stderr


async def test_json_for_machines(tmp_path: Path, url: str) -> None:
    """The same as data; several endpoints, one of which is not there."""
    urls = ("--endpoint-url", url, "--endpoint-url", "http://127.0.0.1:9/v1")
    done = await sdg(tmp_path, "check", "--json", *urls, OPENAI_API_KEY=SECRET)
    assert done.returncode == 4
    result = json.loads(done.stdout)
    assert (result["ok"], result["teacher"]["usable"], result["pipeline"]) == (False, False, None)
    first, second = result["teacher"]["endpoints"]
    assert (first["problem"], first["apis"]) == ("", ["completions", "chat"])
    assert "no teacher at http://127.0.0.1:9/v1: cannot connect" in second["problem"]


async def test_row_01_a_server_that_starts_is_waited_for(tmp_path: Path) -> None:
    """With --wait-ready, words while nobody is there, and success as soon as somebody is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*COMMAND, "check", "--endpoint-url", f"http://127.0.0.1:{port}/v1", "--wait-ready", "25"]
    with anyio.fail_after(30):
        async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
            assert process.stderr is not None
            said = await TextReceiveStream(process.stderr).receive()
            assert "Connection refused (0 of 25 s)" in said
            async with serve(SimulatorSettings(latency="zero"), "127.0.0.1", port):
                assert await process.wait() == 0


async def test_row_31_a_redirect_names_the_other_host(tmp_path: Path) -> None:
    """A redirect is not followed, and the host that it leads to is told."""

    async def elsewhere(request: BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": "https://login.example/sign-in"})

    runner = web.ServerRunner(web.Server(elsewhere), handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        done = await sdg(tmp_path, "check", "--endpoint-url", url)
    finally:
        await runner.cleanup()
    assert done.returncode == 4
    assert "a redirect to the host login.example." in done.stdout


async def test_row_32_a_proxy_of_the_environment_is_told_but_not_used(tmp_path: Path, url: str) -> None:
    """The environment's proxy is dead, and nobody minds."""
    variables = {"OPENAI_API_KEY": SECRET, "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    done = await sdg(tmp_path, "check", "--endpoint-url", url, **variables)
    assert done.returncode == 0, done.stderr
    assert "--proxy auto uses it" in done.stdout


async def test_nothing_to_check_is_a_mistake(tmp_path: Path) -> None:
    """Neither a pipeline nor an endpoint: usage."""
    done = await sdg(tmp_path, "check")
    assert done.returncode == 2
    assert "--endpoint-url" in done.stderr
