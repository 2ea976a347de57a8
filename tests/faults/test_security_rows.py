"""Row 72: the key is in no byte that is written, whatever servers repeat. These tests are looked through."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from canary import CANARY, Watch, found_in
from echoing_teacher import ANSWERS, LISTS, PAGES, STREAMS, Say, echoing_teacher, reply
from raw_teacher import run_rows

import sdg_stream as sdg
from sdg_stream.errors import ConfigError, SdgStreamError
from sdg_stream.events import Event
from sdg_stream.teacher.connect import Transport, make_backend
from sdg_stream.teacher.lean import LeanBackend

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["lean", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Both transports."""
    found: Transport = request.param
    return found


@pytest.fixture
def watch(canary: Watch | None) -> Watch:
    """What looks through this test."""
    assert canary is not None
    return canary


def ears(watch: Watch) -> Callable[[Event], None]:
    """A hook that looks through all events."""
    return lambda event: watch.saw(f"the event {type(event).__name__}", repr(event))


async def run_against(url: str, folder: Path, watch: Watch, **more: Any) -> list[dict[str, Any]]:
    """Run three rows against a teacher, come what may; the rows that came out."""
    options: dict[str, Any] = {"max_attempts": 2, "max_outage": 0.2, "concurrency": 2, "hook": ears(watch)}
    try:
        async with sdg.connect(url, **{**options, **more}) as teacher:
            await run_rows(folder, teacher, 3)
    except SdgStreamError as error:
        watch.caught(error)
    output = folder / "out.jsonl"
    return [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []


@pytest.mark.parametrize("place", ANSWERS)
async def test_row_72_a_server_that_repeats_the_key_in_its_answers(
    tmp_path: Path, watch: Watch, transport: Transport, place: str
) -> None:
    """In no row, reject, report, event, log line or error; what a text had around it stays."""
    async with echoing_teacher(ANSWERS[place]) as url:
        rows = await run_against(url, tmp_path, watch, transport=transport)
    if "text" in place and "elsewhere" not in place and rows:
        assert [row["a"] for row in rows] == ["you sent Bearer [redacted]"] * 3
    assert bool(rows) == (place in {"text", "escaped text", "text elsewhere", "name of a good status"})


@pytest.mark.parametrize("place", STREAMS)
async def test_row_72_a_server_that_repeats_the_key_in_streams(
    tmp_path: Path, watch: Watch, place: str
) -> None:
    """Also where the key comes letter by letter."""
    async with echoing_teacher(STREAMS[place]) as url:
        rows = await run_against(url, tmp_path, watch, stream=True)
    assert [row["a"] for row in rows] == (["you sent Bearer [redacted]"] * 3 if place == "pieces" else [])


@pytest.mark.parametrize("place", LISTS)
async def test_row_72_a_server_that_repeats_the_key_in_its_list_of_models(
    tmp_path: Path, watch: Watch, transport: Transport, place: str
) -> None:
    """As a model's name the key would be sent with each call and stand in each report."""
    async with echoing_teacher(ANSWERS["text"], LISTS[place]) as url:
        rows = await run_against(url, tmp_path, watch, transport=transport)
    assert bool(rows) == (place in {"name", "owner", "server"})


@pytest.mark.parametrize("place", PAGES)
async def test_row_72_a_server_that_repeats_the_key_on_other_pages(
    tmp_path: Path, watch: Watch, transport: Transport, place: str
) -> None:
    """Its metrics and version are asked for without a key, and yet may hold it."""
    async with echoing_teacher(ANSWERS["text"], page=PAGES[place]) as url:
        assert len(await run_against(url, tmp_path, watch, transport=transport, concurrency="auto")) == 3


async def test_row_72_a_server_that_repeats_the_key_to_the_preflight(
    tmp_path: Path, watch: Watch, transport: Transport
) -> None:
    """Before the first call the same holds, for each kind of answer."""

    async def one(place: str) -> None:
        folder = tmp_path / place
        folder.mkdir()
        async with echoing_teacher(ANSWERS["text"], tried=ANSWERS[place]) as url:
            await run_against(url, folder, watch, transport=transport)

    async with anyio.create_task_group() as tasks:
        for place in ANSWERS:
            tasks.start_soon(one, place)


async def test_row_72_a_proxy_that_repeats_its_password(tmp_path: Path, watch: Watch) -> None:
    """Neither the password, nor what it is sent as, nor the URL with it; the row shows what was there."""
    password = CANARY.partition("/")[2]
    sent = base64.b64encode(f"me:{password}".encode()).decode()

    def answer(_: str) -> bytes:
        text = f"[a]{password} {sent}[/a]"
        return reply(orjson.dumps({"choices": [{"text": text}]}))

    async with echoing_teacher(answer) as url:
        proxy = url.removesuffix("/v1").replace("//", f"//me:{password.replace('=', '%3D')}@")
        rows = await run_against("http://teacher.invalid/v1", tmp_path, watch, proxy=proxy)
        assert [row["a"] for row in rows] == ["[redacted] [redacted]"] * 3
    await run_against("http://teacher.invalid/v1", tmp_path, watch, proxy=proxy)  # which is gone now


def userinfo_urls() -> list[str]:
    """URLs with a key in front of the host, rightly written and not."""
    right = [f"http://user:{CANARY}@h/v1", f"http://{CANARY}@h/v1", f"judge=http://u:{CANARY}@h/v1"]
    slips = [f"http:/u:{CANARY}@h/v1", f"https//u:{CANARY}@h/v1", f"u:{CANARY}@h/v1", f"http://u:{CANARY}@"]
    return [
        *right,
        *slips,
        f"http://h/v1?key={CANARY}",
        f"http://h:x{CANARY.partition('/')[0]}/v1?k={CANARY}",
    ]


@pytest.mark.parametrize("url", userinfo_urls())
async def test_row_72_a_url_with_a_user_is_refused_and_not_repeated(watch: Watch, url: str) -> None:
    """Wherever a slip has brought it; a query, which may hold a key too, is not sent and not shown."""
    with pytest.raises(SdgStreamError):
        async with sdg.connect(url, timeout=0.01, hook=ears(watch)):
            pass


@pytest.mark.parametrize("key", [f"{CANARY}\nX-More: 1", f"{CANARY}\x00", f"\x1b{CANARY}"])
async def test_row_72_a_key_that_no_header_can_carry(key: str) -> None:
    """It is told as a mistake, without the key; the line feed that ends files is no part of a key."""
    with pytest.raises(ConfigError, match="line break or another control character"):
        async with sdg.connect("http://127.0.0.1:9/v1", api_key=key):
            pass
    async with echoing_teacher(ANSWERS["text"]) as url, sdg.connect(url, api_key=f" {CANARY}\r\n") as teacher:
        assert teacher.model == "m"


async def test_row_72_no_object_shows_the_key(transport: Transport) -> None:
    """Clients, backends and what they keep about requests: no repr holds it."""
    headers = {"Authorization": f"Bearer {CANARY}"}
    async with echoing_teacher(ANSWERS["text"]) as url:
        async with sdg.connect(url, transport=transport) as teacher:
            shown = [
                repr(teacher),
                repr(teacher.report()),
                *(repr(value) for value in vars(teacher).values()),
            ]
        backend = make_backend(transport, [url])
        with anyio.CancelScope():
            answer = await backend.send("POST", f"{url}/completions", b"{}", headers=headers, timeout=5)
        shown += [repr(backend), *(repr(value) for value in vars(backend).values() if not _is_session(value))]
        if isinstance(backend, LeanBackend):
            shown += [repr(route) for route in backend._routes.values()]
        await backend.aclose()
    assert found_in(answer.body)  # which the bare backend does not touch
    assert not [text for text in shown if found_in(text)]


def _is_session(value: object) -> bool:
    return type(value).__module__.startswith("aiohttp")


async def test_row_72_a_bug_in_the_middle_of_a_run(
    tmp_path: Path, watch: Watch, transport: Transport
) -> None:
    """An error that nobody meant comes with all that stands behind it, and none of that holds the key."""
    answers: list[Say] = [
        ANSWERS["error 500"],
        ANSWERS["bad header"],
        ANSWERS["no HTTP"],
        ANSWERS["error 400"],
    ]

    def hook(event: Event) -> None:
        ears(watch)(event)
        if type(event).__name__ == "RecordRejected":
            raise ZeroDivisionError

    for answer in answers:
        async with echoing_teacher(answer) as url:
            with pytest.raises((ZeroDivisionError, SdgStreamError)):
                async with sdg.connect(
                    url, transport=transport, max_attempts=1, max_outage=0.2, hook=hook
                ) as teacher:
                    await sdg.Pipeline.load(_pipeline(tmp_path), hook=hook).run(
                        [{"question": "q"}], tmp_path / "out.jsonl", teacher, overwrite=True
                    )


def _pipeline(folder: Path) -> Path:
    from raw_teacher import PIPELINE, PROMPT

    (folder / "ask.yaml").write_text(PROMPT, encoding="utf-8")
    (folder / "pipeline.yaml").write_text(PIPELINE, encoding="utf-8")
    return folder / "pipeline.yaml"
