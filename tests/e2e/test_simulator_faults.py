"""The simulated teacher's faults, as a client meets them."""

from __future__ import annotations

from typing import Any

import aiohttp
import anyio
import orjson
import pytest

from sdg_stream.simulator import Fault, FaultRule, SimulatorSettings, load_faults
from sdg_stream.simulator.server import serve

pytestmark = pytest.mark.anyio

BODY = {"prompt": "Write a story about honey bees.", "max_tokens": 100, "n": 3}


async def meet(fault: Fault, path: str = "completions", **extra: Any) -> tuple[aiohttp.ClientResponse, bytes]:
    """The response, and its body, of a request that meets this fault."""
    settings = SimulatorSettings(latency="zero", faults=(FaultRule(fault=fault),))
    body = {**BODY, **extra}
    if path != "completions":
        body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
    async with (
        serve(settings) as server,
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/{path}", json=body) as response,
    ):
        return response, await response.read()


@pytest.mark.parametrize("status", [400, 429, 500, 503, 529])
async def test_statuses_come_with_vllms_error_body(status: int) -> None:
    """Status, message, Retry-After as it was written, and further headers."""
    headers = {"x-ratelimit-remaining-requests": "0"}
    fault = Fault(
        status=status, message="not now", retry_after="Wed, 21 Oct 2015 07:28:00 GMT", headers=headers
    )
    response, body = await meet(fault)
    assert response.status == status
    assert response.headers["Retry-After"] == "Wed, 21 Oct 2015 07:28:00 GMT"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    error = orjson.loads(body)["error"]
    assert (error["message"], error["code"]) == ("not now", status)
    assert set(error) == {"message", "type", "param", "code"}


async def test_without_retry_after() -> None:
    """A rate limit need not say when to come back."""
    response, body = await meet(Fault(status=429))
    assert "Retry-After" not in response.headers
    assert orjson.loads(body)["error"]["type"] == "RateLimitError"


async def test_connections_that_break() -> None:
    """A reset before the reply, and a reply, whole or streamed, that ends halfway."""
    with pytest.raises(aiohttp.ClientOSError):
        await meet(Fault(kind="reset"))
    for stream in (False, True):
        with pytest.raises(aiohttp.ClientPayloadError):
            await meet(Fault(kind="truncated"), stream=stream)


async def test_a_hang_lasts_until_the_client_gives_up() -> None:
    """No byte comes."""
    with anyio.move_on_after(0.05) as scope:
        await meet(Fault(kind="hang"))
    assert scope.cancelled_caught


@pytest.mark.parametrize(("kind", "stream"), [("slow", False), ("slow", True), ("drip", False)])
async def test_slow_replies(kind: Any, stream: bool) -> None:
    """The reply is whole, and later."""
    begun = anyio.current_time()
    response, body = await meet(Fault(kind=kind, seconds=0.05), stream=stream)
    assert anyio.current_time() - begun >= 0.04
    assert response.status == 200
    assert stream or len(orjson.loads(body)["choices"]) == 3


async def test_bodies_that_are_no_replies() -> None:
    """A proxy's page, half a JSON document, bytes that are not UTF-8, the wrong content type."""
    response, body = await meet(Fault(kind="html"))
    assert (response.status, response.content_type) == (200, "text/html")
    assert body.startswith(b"<html>")
    _, body = await meet(Fault(kind="torn_json"))
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    _, body = await meet(Fault(kind="bad_encoding"))
    with pytest.raises(UnicodeDecodeError):
        body.decode()
    response, body = await meet(Fault(kind="wrong_type"))
    assert response.content_type == "text/plain"
    assert len(orjson.loads(body)["choices"]) == 3


@pytest.mark.parametrize(
    ("kind", "indexes"),
    [
        ("fewer_choices", [0, 1]),
        ("extra_choice", [0, 1, 2, 3]),
        ("shuffled", [1, 0, 2]),
        ("no_choices", []),
    ],
)
async def test_choices_that_are_too_few_too_many_or_out_of_order(kind: Any, indexes: list[int]) -> None:
    """Each choice keeps its right index."""
    _, whole = await meet(Fault(kind="slow"))
    _, body = await meet(Fault(kind=kind))
    texts = {choice["index"]: choice["text"] for choice in orjson.loads(whole)["choices"]}
    choices = orjson.loads(body)["choices"]
    assert [choice["index"] for choice in choices] == indexes
    assert all(choice["text"] == texts[choice["index"]] for choice in choices if choice["index"] in texts)


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
@pytest.mark.parametrize(
    ("kind", "text"), [("null_text", None), ("empty_text", ""), ("reasoning_only", None)]
)
async def test_texts_that_are_missing(path: str, kind: Any, text: str | None) -> None:
    """Null or empty text; for ``reasoning_only`` the words stand elsewhere."""
    _, body = await meet(Fault(kind=kind), path)
    for choice in orjson.loads(body)["choices"]:
        holder = choice.get("message", choice)
        assert holder.get("content", holder.get("text")) == ("" if kind == "empty_text" else None)
        assert bool(holder.get("reasoning")) == (kind == "reasoning_only")


async def test_finish_reason_and_usage() -> None:
    """A filtered reply says so; usage may be missing."""
    _, body = await meet(Fault(kind="content_filter"))
    assert {choice["finish_reason"] for choice in orjson.loads(body)["choices"]} == {"content_filter"}
    _, body = await meet(Fault(kind="no_usage"))
    assert "usage" not in orjson.loads(body)


async def test_a_stream_without_its_end_mark() -> None:
    """All events, and then nothing."""
    _, body = await meet(Fault(kind="no_done"), stream=True)
    assert b"[DONE]" not in body
    assert body.endswith(b"\n\n")


async def test_poison_is_refused_every_time_and_the_rest_is_not() -> None:
    """A prompt with the poison text is a 400; scripted faults go on meeting the others, and are counted."""
    rules = load_faults("[{match: 2, fault: 500}, {match: tides, fault: 503, attempts: 1}]")
    settings = SimulatorSettings(latency="zero", poison="arsenic", faults=rules)
    prompts = ["arsenic", "bees", "bees", "tides", "tides", "some arsenic"]
    statuses = []
    async with serve(settings) as server, aiohttp.ClientSession() as session:
        for prompt in prompts:
            async with session.post(f"{server.url}/completions", json={"prompt": prompt}) as response:
                statuses.append(response.status)
        counted = server.stats.faults
    assert statuses == [400, 500, 200, 503, 200, 400]
    assert counted == {"status": 4}
