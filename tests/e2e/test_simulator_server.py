"""The simulated teacher over real sockets: endpoints, slots, queue, prefixes, streams, metrics, aborts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import orjson
import pytest
from anyio.lowlevel import checkpoint

from sdg_stream.simulator import SimulatorSettings, load_faults
from sdg_stream.simulator.call_log import CallLine
from sdg_stream.simulator.server import SimulatorServer, banner, serve, serve_forever

pytestmark = pytest.mark.anyio

STORY = {"prompt": "Write a story about honey bees.", "max_tokens": 200}


class Client:
    """A server with a client for it."""

    def __init__(self, server: SimulatorServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def post(self, path: str, body: dict[str, Any], **options: Any) -> tuple[int, Any]:
        """Status and JSON of a POST to ``/v1/…``."""
        async with self.session.post(f"{self.server.url}/{path}", json=body, **options) as response:
            return response.status, orjson.loads(await response.read())

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of a GET."""
        async with self.session.get(f"{self.server.origin}{path}") as response:
            return response.status, await response.text()

    async def events(self, path: str, body: dict[str, Any]) -> list[bytes]:
        """The data of the events of a stream."""
        async with self.session.post(f"{self.server.url}/{path}", json={**body, "stream": True}) as response:
            assert response.content_type == "text/event-stream"
            found = (await response.read()).split(b"\n\n")
        assert found.pop() == b""
        return [event.removeprefix(b"data: ") for event in found]

    async def post_all(self, bodies: list[dict[str, Any]]) -> list[Any]:
        """Replies to requests that are all sent at once."""
        replies: list[Any] = [None] * len(bodies)

        async def one(place: int) -> None:
            replies[place] = (await self.post("completions", bodies[place]))[1]

        async with anyio.create_task_group() as group:
            for place in range(len(bodies)):
                group.start_soon(one, place)
        return replies


async def until(condition: Callable[[], bool]) -> None:
    """Let the server work until something is so."""
    while not condition():
        await checkpoint()


@asynccontextmanager
async def client_of(log: Path | None = None, **settings: Any) -> AsyncIterator[Client]:
    """A client of a server with these settings; without latency unless said otherwise."""
    chosen = SimulatorSettings(**{"latency": "zero", **settings})
    async with serve(chosen, log=log) as server, aiohttp.ClientSession() as session:
        yield Client(server, session)


async def test_it_says_everywhere_that_it_is_a_simulation() -> None:
    """Server header, model list, owner, fingerprint, welcome page, metrics and banner."""
    async with client_of() as client, client.session.get(f"{client.server.url}/models") as response:
        assert "simulat" in response.headers["Server"]
        model = orjson.loads(await response.read())["data"][0]
        assert (model["id"], model["owned_by"]) == ("simulated-teacher", "sdg-stream-simulation")
        assert model["max_model_len"] == 32_768
        _, reply = await client.post("completions", STORY)
        assert (reply["system_fingerprint"], reply["model"]) == ("simulation", "simulated-teacher")
        for path in ("/", "/version", "/metrics"):
            assert "simulation" in (await client.get(path))[1]
        for latency in ("zero", "fixed", "lognormal", "tokens"):
            text = banner(SimulatorSettings(latency=latency), client.server.url)
            assert "SIMULATION" in text
            assert client.server.url in text


async def test_a_completion_has_the_shape_that_vllm_sends() -> None:
    """All keys of a text completion, with usage that adds up."""
    async with client_of() as client:
        status, reply = await client.post("completions", STORY)
    choice, usage = reply["choices"][0], reply["usage"]
    assert status == 200
    assert reply["object"] == "text_completion"
    assert set(choice) == {"index", "text", "logprobs", "finish_reason", "stop_reason"}
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert usage["completion_tokens"] == -(-len(choice["text"]) // 4)


async def test_prompts_in_a_list_come_back_in_order() -> None:
    """All choices of prompt 1, then of prompt 2, indexes from 0, and each as if asked for alone."""
    prompts = ["Write a story about honey bees.", "Write a story about tides."]
    async with client_of() as client:
        _, reply = await client.post("completions", {"prompt": prompts, "n": 3, "max_tokens": 200})
        alone = [await client.post("completions", {"prompt": p, "n": 3, "max_tokens": 200}) for p in prompts]
    assert [choice["index"] for choice in reply["choices"]] == list(range(6))
    texts = [choice["text"] for choice in reply["choices"]]
    assert texts == [choice["text"] for _, single in alone for choice in single["choices"]]
    assert len(set(texts)) == 6


async def test_chat_and_completions_agree() -> None:
    """The same words get the same reply at both endpoints."""
    messages = [{"role": "user", "content": STORY["prompt"]}]
    async with client_of() as client:
        _, text = await client.post("completions", STORY)
        _, chat = await client.post("chat/completions", {"messages": messages, "max_tokens": 200})
    assert chat["object"] == "chat.completion"
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": text["choices"][0]["text"]}
    assert chat["usage"] == text["usage"]


async def test_log_probabilities_cover_the_text() -> None:
    """Tokens put together are the text, each with a log probability, at both endpoints."""
    chat_body = {"messages": [{"role": "user", "content": "Bees?"}], "logprobs": True, "top_logprobs": 2}
    async with client_of() as client:
        _, text = await client.post("completions", {**STORY, "logprobs": 1, "echo": True})
        _, chat = await client.post("chat/completions", chat_body)
    choice = text["choices"][0]
    assert choice["text"] == STORY["prompt"] + "".join(choice["logprobs"]["tokens"])  # type: ignore[operator]
    assert all(value <= 0 for value in choice["logprobs"]["token_logprobs"])
    content = chat["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == chat["choices"][0]["message"]["content"]
    assert all(len(entry["top_logprobs"]) == 2 for entry in content)


@pytest.mark.parametrize("latency", ["zero", "tokens"])
async def test_streams_carry_the_same_text(latency: str) -> None:
    """The pieces of each choice put together are its text; then usage, then the end mark."""
    body = {**STORY, "n": 2, "stream_options": {"include_usage": True}}
    async with client_of(latency=latency, decode_tokens_per_s=20_000.0) as client:
        _, whole = await client.post("completions", body)
        *events, usage, done = await client.events("completions", body)
        chat_body = {"messages": [{"role": "user", "content": STORY["prompt"]}], "n": 2, "max_tokens": 200}
        *chat_events, chat_done = await client.events("chat/completions", chat_body)
    texts, chat_texts, reasons = ["", ""], ["", ""], {}
    for event in events:
        (choice,) = orjson.loads(event)["choices"]
        texts[choice["index"]] += choice["text"]
        reasons[choice["index"]] = choice["finish_reason"]
    for event in chat_events:
        (choice,) = orjson.loads(event)["choices"]
        chat_texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == chat_texts == [choice["text"] for choice in whole["choices"]]
    assert reasons == {choice["index"]: choice["finish_reason"] for choice in whole["choices"]}
    assert orjson.loads(usage) | {"id": "", "created": 0} == {
        **{key: value for key, value in whole.items() if key not in {"id", "created", "choices"}},
        "id": "",
        "created": 0,
        "choices": [],
    }
    assert done == chat_done == b"[DONE]"


async def test_slots_are_kept_busy_in_order_of_arrival() -> None:
    """Twenty requests of 20 ms on four slots take five rounds, first come first served."""
    order: list[int] = []
    async with client_of(latency="fixed", latency_seconds=0.02, slots=4) as client:

        async def one(number: int) -> None:
            await client.post("completions", {"prompt": f"Story {number}"})
            order.append(number)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, number)
        stats = client.server.stats
    assert all(abs(place - number) < 8 for place, number in enumerate(order))  # within a round, any order
    assert (stats.max_running, stats.max_open) == (4, 20)
    assert stats.busy_slot_seconds == pytest.approx(0.4)
    assert 0.09 < stats.last_at - stats.first_at < 1.0


async def test_a_shared_beginning_is_cheaper() -> None:
    """The second prompt with the same beginning is answered in a fraction of the time."""
    start = "Bees live in colonies. " * 400  # 2300 tokens
    settings: dict[str, Any] = {"latency": "tokens", "prefill_tokens_per_s": 20e3, "decode_tokens_per_s": 1e6}
    async with client_of(**settings) as client:
        seconds = []
        for ending in ("Write a story.", "Write a poem."):
            begun = anyio.current_time()
            await client.post("completions", {"prompt": start + ending})
            seconds.append(anyio.current_time() - begun)
        metrics = numbers(client.server.metrics())
    assert seconds[0] > 0.1
    assert seconds[1] < seconds[0] / 2
    assert metrics["vllm:prefix_cache_hits_total"] > 2000
    assert metrics["vllm:prefix_cache_queries_total"] > 4600


def numbers(metrics: str) -> dict[str, float]:
    """The samples of a metrics text, by name, or by name and label for those that have several."""
    found = {}
    for line in metrics.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r'([\w:]+)\{(?:(\w+="[^"]*"),)?engine="0",model_name="[^"]+"\} (\S+)', line)
            assert match, line
            found[match[1] + (f"|{match[2]}" if match[2] else "")] = float(match[3])
    return found


async def test_metrics_have_vllms_names() -> None:
    """Gauges while requests run and wait, counters and histograms afterwards."""
    bodies = [{"prompt": f"Story {number}", "max_tokens": 4} for number in range(6)]
    async with client_of(latency="fixed", latency_seconds=0.1, slots=4) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.post_all, bodies)
            await until(lambda: client.server.stats.open == 6)
            during = numbers((await client.get("/metrics"))[1])
        after = numbers((await client.get("/metrics"))[1])
    assert during["vllm:num_requests_running"] == 4
    assert during["vllm:num_requests_waiting"] == 2
    assert during["vllm:kv_cache_usage_perc"] > 0
    assert after["vllm:num_requests_running"] == after["vllm:num_requests_waiting"] == 0
    assert after["vllm:num_preemptions_total"] == 0
    assert after["vllm:generation_tokens_total"] == 24
    assert after["vllm:prompt_tokens_total"] == 12
    assert after['vllm:request_success_total|finished_reason="length"'] == 6
    assert after["vllm:request_queue_time_seconds_count"] == 6
    assert after["vllm:request_queue_time_seconds_sum"] <= 0.2
    assert after['vllm:request_queue_time_seconds_bucket|le="+Inf"'] == 6
    assert after["vllm:e2e_request_latency_seconds_count"] == 6


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_gives_its_slots_back(stream: bool) -> None:
    """When the connection ends, all choices of the request leave their slots at once."""
    async with client_of(latency="fixed", latency_seconds=30.0, slots=4) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.post, "completions", {**STORY, "n": 6, "stream": stream})
            await until(lambda: client.server.stats.waiting == 2)
            assert client.server.stats.running == 4
            group.cancel_scope.cancel()
        await until(lambda: not client.server.stats.open)
        stats = client.server.stats
    assert (stats.running, stats.waiting, stats.aborted) == (0, 0, 1)
    assert stats.busy_slot_seconds < 4


async def test_leaving_does_not_wait_for_requests() -> None:
    """A server with a request that hangs for ever stops at once, and the client sees the connection end."""
    ended = anyio.Event()

    async def hang(client: Client) -> None:
        with pytest.raises(aiohttp.ClientError):
            await client.post("completions", STORY)
        ended.set()

    async with aiohttp.ClientSession() as session, anyio.create_task_group() as group:
        async with serve(SimulatorSettings(faults=load_faults("[{fault: hang}]"))) as server:
            group.start_soon(hang, Client(server, session))
            await until(lambda: server.stats.open == 1)
        with anyio.fail_after(1):
            await ended.wait()


async def test_stats_count_and_can_be_reset() -> None:
    """Requests, statuses, prompts seen again; after a reset all is zero."""
    async with client_of() as client:
        await client.post_all([STORY, STORY, {**STORY, "prompt": "Another"}, {**STORY, "model": "other"}])
        stats = orjson.loads((await client.get("/stats"))[1])
        assert (stats["requests"], stats["sequences"]) == (4, 3)
        assert stats["statuses"] == {"200": 3, "404": 1}
        assert (stats["distinct_prompts"], stats["repeated_prompts"]) == (2, 1)
        assert stats["first_at"] <= stats["last_at"]
        async with client.session.post(f"{client.server.origin}/reset") as response:
            assert response.status == 200
        assert client.server.stats.requests == 0
        await client.post("completions", STORY)
        client.server.reset()
        assert client.server.stats.distinct_prompts == 0


async def test_other_paths_and_methods() -> None:
    """Health is 200, an unknown path 404, a wrong method 405; an endpoint that is turned off is a 404."""
    async with client_of(apis=("chat",)) as client:
        assert (await client.get("/health"))[0] == 200
        assert (await client.get("/nowhere"))[0] == 404
        assert (await client.get("/v1/chat/completions"))[0] == 405
        assert (await client.post("completions", STORY))[0] == 404
        assert (await client.post("chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}))[
            0
        ] == 200


async def test_a_key_can_be_required() -> None:
    """Without the key a request gets a 401, with it a reply."""
    async with client_of(api_key="secret") as client:
        assert (await client.post("completions", STORY))[0] == 401
        headers = {"Authorization": "Bearer secret"}
        assert (await client.post("completions", STORY, headers=headers))[0] == 200


async def test_limits_of_rate_and_queue() -> None:
    """Beyond the rate requests get 429 with Retry-After, beyond the queue 503."""
    async with client_of(requests_per_second=1.0) as client:
        await client.post_all([STORY] * 5)
        assert client.server.stats.statuses == {200: 2, 429: 3}
        async with client.session.post(f"{client.server.url}/completions", json=STORY) as response:
            assert response.headers["Retry-After"] == "1"
    async with client_of(latency="fixed", latency_seconds=0.1, slots=2, max_waiting=1) as client:
        await client.post_all([STORY] * 5)
        assert client.server.stats.statuses == {200: 3, 503: 2}


async def test_serving_for_ever_says_when_it_is_ready() -> None:
    """The callback gets the URL once requests are taken; cancelling ends the server."""
    urls: list[str] = []
    async with anyio.create_task_group() as group, aiohttp.ClientSession() as session:
        group.start_soon(serve_forever, SimulatorSettings(), "127.0.0.1", 0, urls.append)
        await until(lambda: bool(urls))
        async with session.get(f"{urls[0]}/models") as response:
            assert response.status == 200
        group.cancel_scope.cancel()


async def test_a_log_tells_what_was_asked_and_when(tmp_path: Path) -> None:
    """One line a call: equal requests have equal digests, times lie in order, what broke has no status."""
    log = tmp_path / "calls.jsonl"
    rules = load_faults("[{match: 3, fault: reset}, {match: 4, fault: 503}]")
    async with client_of(log, faults=rules) as one:
        await one.post("completions", STORY)
        await one.post("completions", STORY)
        with pytest.raises(aiohttp.ClientOSError):
            await one.post("completions", STORY)
        await one.post("completions", {**STORY, "max_tokens": 9})
    lines = [msgspec.json.decode(line, type=CallLine) for line in log.read_bytes().splitlines()]
    assert [(line.status, line.fault) for line in lines] == [
        (200, None),
        (200, None),
        (0, "reset"),
        (503, "status"),
    ]
    assert len({line.request for line in lines[:3]}) == 1
    assert lines[3].request != lines[0].request
    times = [time for line in lines for time in (line.arrived, line.left)]
    assert times == sorted(times)
