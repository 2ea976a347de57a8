"""Connections as they go wrong in life, with the whole client, and with whole processes."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import orjson
import pytest
import trustme
from aiohttp import web
from aiohttp.web_request import BaseRequest
from anyio.abc import SocketAttribute, SocketStream
from command_line import COMMAND, ROWS, environment, sdg, write_project

from sdg_stream.abc import CallShape, Request
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings
from sdg_stream.teacher.connect import connect
from sdg_stream.testing.backend import completion_reply, json_reply

pytestmark = pytest.mark.anyio

RUN = ("run", "ask.yaml", "-i", "in.jsonl", "--endpoint-url")
MODELS = json_reply({"data": [{"id": "m"}]}).body
REPLY = completion_reply("a", "b").body


@asynccontextmanager
async def hasty_server() -> AsyncIterator[str]:
    """Answers the first request on a connection, and closes it on the second without a word."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            asked = await stream.receive()
            body = MODELS if asked.startswith(b"GET /v1/models") else REPLY
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            with suppress(anyio.EndOfStream):
                await stream.receive()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/v1"
        tasks.cancel_scope.cancel()


async def test_row_04_stale_connections_cost_no_failure() -> None:
    """Each second request finds its connection closed; it is sent again at once, and nothing is counted."""
    async with hasty_server() as url, connect(url, max_attempts=1) as teacher:
        shape = CallShape.make("completions", {"model": "m", "n": 2})
        with anyio.fail_after(10):
            for _ in range(10):
                completion = await teacher.complete(Request(shape, "x"))
                assert [choice.text for choice in completion.choices] == ["a", "b"]
        assert teacher.report().failures == {}


@pytest.mark.parametrize("transport", ["lean", "aiohttp"])
async def test_row_09_a_teacher_behind_tls(tmp_path: Path, transport: str) -> None:
    """Of an own authority: refused without --ca-file, which is named, and used with it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def handle(request: BaseRequest) -> web.Response:
        if request.path.endswith("/models"):
            return web.Response(body=MODELS)
        if request.path.endswith("/completions"):
            return web.Response(body=REPLY)
        return web.Response(status=404)

    runner = web.ServerRunner(web.Server(handle), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/v1"
    write_project(tmp_path)
    try:
        run = (*RUN, url, "-o", "out.jsonl", "--transport", transport)
        refused = await sdg(tmp_path, *run)
        checked = await sdg(tmp_path, "check", "--endpoint-url", url, "--ca-file", "ca.pem")
        done = await sdg(tmp_path, *run, "--ca-file", "ca.pem")
    finally:
        await runner.cleanup()
    assert refused.returncode == 4
    assert "--ca-file" in refused.stderr
    assert checked.returncode == 0, checked.stdout
    assert "TLSv1.3, certificate valid until" in checked.stdout
    assert done.returncode == 0, done.stderr


async def test_streamed_replies_give_the_same_rows(tmp_path: Path) -> None:
    """With --stream-replies the output is the same, byte for byte, a cut-off stream being asked for again."""
    write_project(tmp_path)
    cut = FaultRule(fault=Fault(kind="truncated"), match="about winds", attempts=1)
    settings = SimulatorSettings(latency="zero", faults=(cut,))
    async with serve(settings) as server:
        plain = await sdg(tmp_path, *RUN, server.url, "-o", "plain.jsonl")
        server.reset()
        streamed = await sdg(tmp_path, *RUN, server.url, "-o", "streamed.jsonl", "--stream-replies")
        assert server.stats.requests == len(ROWS.splitlines()) + 2  # preflight, and the one that was cut off
    assert (plain.returncode, streamed.returncode) == (0, 0), streamed.stderr
    assert (tmp_path / "plain.jsonl").read_bytes() == (tmp_path / "streamed.jsonl").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
async def test_row_34_few_files(tmp_path: Path) -> None:
    """With 64 files and no more, 64 calls in flight are refused with the number that fits, which works."""
    write_project(tmp_path)
    async with serve(SimulatorSettings(latency="zero")) as server:

        async def run(concurrency: str) -> tuple[int, str]:
            command = [*COMMAND, *RUN, server.url, "-o", f"{concurrency}.jsonl", "--concurrency", concurrency]
            with anyio.fail_after(30):
                done = await anyio.run_process(
                    ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *command],
                    check=False,
                    cwd=tmp_path,
                    env=environment(),
                )
            return done.returncode, done.stderr.decode()

        code, words = await run("64")
        assert code == 2
        assert "64 calls in flight need as many connections" in words
        fits = words.partition("use --concurrency ")[2].partition(",")[0]
        code, words = await run(fits)
        assert code == 0, words
    rows = [orjson.loads(line) for line in (tmp_path / f"{fits}.jsonl").read_bytes().splitlines()]
    assert [row["number"] for row in rows] == [1, 2, 3]
