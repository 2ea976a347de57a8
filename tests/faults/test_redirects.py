"""Row 73: nothing is asked but the endpoint. Redirects are not followed, and no URL in data is fetched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import anyio
import orjson
import pytest
from anyio.abc import SocketStream
from canary import Watch
from echoing_teacher import ANSWERS, echoing_teacher, reply
from raw_teacher import PIPELINE, PROMPT, run_rows

import sdg_stream as sdg
from sdg_stream.errors import RecordError, TeacherUnusable
from sdg_stream.teacher import lean
from sdg_stream.teacher.connect import Transport

pytestmark = pytest.mark.anyio

METADATA = "169.254.169.254"  # where clouds tell a machine its own keys
TARGETS = (
    f"http://{METADATA}/latest/meta-data/iam/security-credentials/",
    f"//{METADATA}/v1/completions",
    f"https://{METADATA}/",
    "http://[fd00:ec2::254]/latest/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "/v1/chat/completions",
)


@pytest.fixture(params=["lean", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Both transports."""
    found: Transport = request.param
    return found


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> set[tuple[Any, ...]]:
    """Addresses that either transport has tried to connect to: both do it through one function."""
    tried: set[tuple[Any, ...]] = set()
    start = aiohappyeyeballs.start_connection

    async def start_connection(addr_infos: Any, *args: Any, **more: Any) -> Any:
        tried.update(info[4][:2] for info in addr_infos)
        return await start(addr_infos, *args, **more)

    monkeypatch.setattr(lean, "start_connection", start_connection)
    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start_connection)
    return tried


def address(url: str) -> tuple[str, int]:
    """Host and port of an endpoint."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    return host, int(port)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"])
async def test_row_73_a_redirect_of_a_call_is_not_followed(
    tmp_path: Path, transport: Transport, dialled: set[tuple[Any, ...]], status: str
) -> None:
    """The run ends with the host's name; nothing but the endpoint was ever dialled."""
    for target in TARGETS:
        moved = reply(b"", status, f"Location: {target}")
        async with echoing_teacher(partial(_always, moved)) as url:
            async with sdg.connect(url, transport=transport) as teacher:
                with pytest.raises(TeacherUnusable, match="Redirects are not followed"):
                    await run_rows(tmp_path, teacher, 1)
            assert dialled == {address(url)}
        dialled.clear()
        for file in (tmp_path / "out.jsonl", *tmp_path.glob("out.jsonl.run/*")):
            file.unlink(missing_ok=True)


def _always(said: bytes, _: str) -> bytes:
    return said


@pytest.mark.parametrize("where", ["models", "tried", "page"])
async def test_row_73_a_redirect_of_the_preflight_is_not_followed(
    transport: Transport, dialled: set[tuple[Any, ...]], where: str
) -> None:
    """Of the list of models or of a first call it is the end; of pages beside the API it is nothing."""

    def there(_: str) -> bytes:
        return reply(b"", "302 Found", f"Location: {TARGETS[0]}")

    async with echoing_teacher(ANSWERS["text"], **{where: there}) as url:
        if where == "page":
            async with sdg.connect(url, transport=transport) as teacher:
                assert teacher.model == "m"
        else:
            with pytest.raises(TeacherUnusable, match=f"a redirect to the host {METADATA}"):
                async with sdg.connect(url, transport=transport):
                    pass
        assert dialled == {address(url)}


async def test_row_73_a_page_that_redirects_later_ends_no_run(transport: Transport, canary: Watch) -> None:
    """The metrics were there at first: a look at them that is sent elsewhere is given up, the run goes on."""
    looks = 0
    given_up = anyio.Event()

    def page(_: str) -> bytes:
        nonlocal looks
        looks += 1
        if looks > 3:
            given_up.set()
            return reply(b"", "302 Found", f"Location: {TARGETS[0]}")
        return reply(b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n")

    async with (
        echoing_teacher(ANSWERS["text"], page=page) as url,
        sdg.connect(url, transport=transport) as teacher,
    ):
        teacher._caller.admission.take(1)  # something is in flight, so the page is looked at
        with anyio.fail_after(10):
            await given_up.wait()
        teacher._caller.admission.release(1)
        completion = await teacher.complete(_request())
        assert completion.choices[0].text == "[a]you sent Bearer [redacted][/a]"


def _request() -> Any:
    from raw_teacher import SHAPE

    from sdg_stream.abc import Request

    return Request(SHAPE, "question")


@asynccontextmanager
async def honeypot() -> AsyncIterator[tuple[str, list[SocketStream]]]:
    """A server that nobody should ask; its URL, and who came."""
    came: list[SocketStream] = []

    async def handle(stream: SocketStream) -> None:
        came.append(stream)
        await stream.aclose()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}", came
        tasks.cancel_scope.cancel()


async def test_row_73_no_url_in_data_is_fetched(
    tmp_path: Path, transport: Transport, dialled: set[tuple[Any, ...]]
) -> None:
    """URLs in rows, replies, tool calls, prompts and pipeline files are text."""
    async with honeypot() as (trap, came):
        said = f"![x]({trap}/a.png) <img src='{trap}/b'> {trap}/c @import url({trap}/d)"
        body = orjson.dumps(
            {
                "choices": [
                    {
                        "index": 0,
                        "text": f"[a]{said}[/a]",
                        "message": None,
                        "tool_calls": [
                            {"function": {"name": "fetch", "arguments": json.dumps({"url": trap})}}
                        ],
                        "image_url": {"url": trap},
                    }
                ],
                "next": trap,
                "$ref": trap,
            }
        )
        async with (
            echoing_teacher(
                lambda _: reply(body, "200 OK", f"Link: <{trap}>; rel=preload", f"Refresh: 0; {trap}")
            ) as url,
            sdg.connect(url, transport=transport) as teacher,
        ):
            (tmp_path / "ask.yaml").write_text(PROMPT.replace("Answer.", f"Look at {trap}/prompt."))
            (tmp_path / "p.yaml").write_text(PIPELINE)
            rows = [{"question": f"{trap}/{n}", "document": f"file://{trap}", "url": trap} for n in range(3)]
            report = await sdg.Pipeline.load(tmp_path / "p.yaml").run(rows, tmp_path / "out.jsonl", teacher)
        assert report.accepted == 3
        assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["a"] == said
        assert (came, dialled) == ([], {address(url)})


async def test_row_73_a_file_name_that_is_a_url_is_no_file(tmp_path: Path) -> None:
    """Prompts, schemas and inputs are files; a URL in their place is a file that is missing."""
    async with honeypot() as (trap, came):
        (tmp_path / "p.yaml").write_text(PIPELINE.replace("ask.yaml", f"{trap}/ask.yaml"))
        with pytest.raises(sdg.ConfigError):
            sdg.Pipeline.load(tmp_path / "p.yaml").plan()
        with pytest.raises(sdg.ConfigError):
            sdg.Pipeline.load(f"{trap}/p.yaml")
        (tmp_path / "p.yaml").write_text('version: "1.0"\nblocks: []\n')
        with pytest.raises((sdg.ConfigError, RecordError)):
            await sdg.Pipeline.load(tmp_path / "p.yaml").run(
                f"{trap}/rows.jsonl", tmp_path / "out.jsonl", None
            )
        assert came == []
