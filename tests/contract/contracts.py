"""What our client promises of any OpenAI-compatible server, held against a real one.

Each contract asks through the public names of the package, raises AssertionError when it is broken, and
returns in a few words what was seen. The model's replies are noise, so a contract never looks at their sense.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import msgspec
import orjson
import pytest

import sdg_stream as sdg
from sdg_stream.abc import Api, CallShape
from sdg_stream.events import Notice, RecordRejected
from sdg_stream.observe.text import plural
from sdg_stream.teacher import http, lean
from sdg_stream.teacher.client import TeacherClient

__all__ = ["CONTRACTS", "KEY", "MODEL", "Server"]

MODEL = "tiny"
KEY = "sk-contract-0123456789"
SEEDS = Path(__file__).parents[2] / "pipelines" / "examples" / "seeds" / "freeform_skills.jsonl"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running server, and a folder for what a contract writes."""

    url: str
    folder: Path


Contract: TypeAlias = Callable[[Server], Awaitable[str]]
CONTRACTS: dict[str, Contract] = {}


def contract(function: Contract) -> Contract:
    """Put a contract on the list, under its function's name."""
    CONTRACTS[function.__name__] = function
    return function


@asynccontextmanager
async def connected(
    server: Server, api: Literal["auto", "completions", "chat"] = "completions", **more: Any
) -> AsyncIterator[TeacherClient]:
    """Our client on the server."""
    async with sdg.connect(server.url, api=api, **{"api_key": KEY, "concurrency": 8, **more}) as teacher:
        yield teacher


async def ask(
    teacher: TeacherClient, prompt: str | list[dict[str, Any]] = "hello", **params: Any
) -> sdg.Completion:
    """One call with these parameters."""
    api: Api = teacher.api
    shape = CallShape.make(api, {"model": MODEL, "max_tokens": 16, **params})
    return await teacher.complete(sdg.Request(shape, prompt))


async def post(server: Server, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the server says to a completion request that our client would not make."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    backend = http.AiohttpBackend()
    try:
        url, body = f"{server.url}/completions", orjson.dumps(params)
        reply = await backend.send("POST", url, body, headers=headers, timeout=30.0)
    finally:
        await backend.aclose()
    return reply.status, orjson.loads(reply.body)


def texts(completion: sdg.Completion) -> list[str]:
    """The texts of a completion's choices."""
    return [choice.text for choice in completion.choices]


# ---------------------------------------------------------------- connecting


@contract
async def models_are_listed(server: Server) -> str:
    """The only model that the server lists is taken."""
    async with connected(server) as teacher:
        assert teacher.model == MODEL, teacher.model
    return f"lists {MODEL}"


@contract
async def api_is_found_out(server: Server) -> str:
    """``auto`` says which API it took and whether n is honoured."""
    told: list[str] = []

    def hook(event: sdg.Event, /) -> None:
        if isinstance(event, Notice):
            told.append(event.message)

    async with connected(server, "auto", hook=hook) as teacher:
        assert teacher.api == "completions"
    assert len(told) >= 1, told
    return told[0].replace(server.url, "URL")


@contract
async def wrong_key_is_told(server: Server) -> str:
    """A refused key ends the run before the first call, in the server's words, and is not repeated."""
    wrong = "sk-wrong-987654321"
    with pytest.raises(sdg.TeacherUnusable) as caught:
        async with connected(server, api_key=wrong):
            pass
    words = str(caught.value)
    assert "401" in words, words
    assert wrong not in words
    return words.replace(server.url, "URL")[:90]


@contract
async def unknown_model_is_told(server: Server) -> str:
    """A model that is not listed is refused at once, with those that are."""
    with pytest.raises(sdg.TeacherUnusable, match=f"'{MODEL}'"):
        async with connected(server, model="tinny"):
            pass
    async with connected(server) as teacher:
        with pytest.raises(sdg.TeacherUnusable, match="'another'"):
            await ask(teacher, model="another")
        assert teacher.report().attempts == 0
    status, said = await post(server, {"model": "another", "prompt": "a", "max_tokens": 2})
    return f"refused by us; asked all the same, the server answers HTTP {status} as {said.get('model')!r}"


# ---------------------------------------------------------------- single calls


@contract
async def completion_has_all(server: Server) -> str:
    """Text, usage and the finish reason of a reply that was cut off at max_tokens."""
    async with connected(server) as teacher:
        completion = await ask(teacher, "ab", max_tokens=7, seed=1)
        assert [choice.finish_reason for choice in completion.choices] == ["length"]
        assert completion.completion_tokens in {7, 8}, completion  # it counts half a character as one more
        assert completion.prompt_tokens >= 2
        assert not teacher.report().tokens_estimated
    return f"finish_reason length, {completion.prompt_tokens} + {completion.completion_tokens} tokens"


@contract
async def chat_has_all(server: Server) -> str:
    """The same through the chat API: a prompt as one user message, and messages as they are."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    async with connected(server, "chat") as teacher:
        one = await ask(teacher, "ab", max_tokens=7)
        two = await ask(teacher, messages, max_tokens=7)
        assert not teacher.report().tokens_estimated
    assert one.choices[0].finish_reason == "length"
    assert two.prompt_tokens > one.prompt_tokens > 0
    return f"finish_reason length, {one.prompt_tokens} and {two.prompt_tokens} prompt tokens"


@contract
async def n_choices_come(server: Server) -> str:
    """Three choices were asked for and three come, all different, in both APIs."""
    seen = []
    apis: tuple[Api, ...] = ("completions", "chat")
    for api in apis:
        async with connected(server, api) as teacher:
            completion = await ask(teacher, n=3, seed=5, temperature=1.0, max_tokens=24)
            assert len(set(texts(completion))) == 3, texts(completion)
            seen.append(f"{api}: 3 choices in {plural(teacher.report().attempts, 'attempt')}")
    return "; ".join(seen)


@contract
async def seeds_are_passed_on(server: Server) -> str:
    """One seed gives one text twice; another gives another."""
    async with connected(server) as teacher:
        first, again, other = [
            texts(await ask(teacher, seed=seed, temperature=1.0, max_tokens=24)) for seed in (11, 11, 12)
        ]
    assert first == again != other, (first, again, other)
    return "same seed, same text"


@contract
async def greedy_is_repeatable(server: Server) -> str:
    """Temperature 0 gives the same text each time."""
    found = set[str]()
    for _ in range(3):
        async with connected(server) as teacher:  # anew: one client asks only once
            found |= set(texts(await ask(teacher, temperature=0.0, max_tokens=24)))
    assert len(found) == 1, found
    return "three times the same"


@contract
async def stop_stops(server: Server) -> str:
    """A stop sequence ends the reply before it, with the finish reason stop."""
    async with connected(server) as teacher:
        text = texts(await ask(teacher, temperature=0.0, max_tokens=64))[0]
        stop = next(sign for sign in text[1:] if sign.isascii())
        completion = await ask(teacher, temperature=0.0, max_tokens=64, stop=[stop])
    assert completion.choices[0].finish_reason == "stop", completion
    assert completion.choices[0].text == text[: text.index(stop)]
    return f"stop={stop!r} ended it after {len(completion.choices[0].text)} of {len(text)} characters"


@contract
async def logprobs_do_no_harm(server: Server) -> str:
    """A request for logprobs is sent and its reply read."""
    async with connected(server) as teacher:
        completion = await ask(teacher, logprobs=2, max_tokens=5)
    assert len(completion.choices) == 1
    return f"{completion.completion_tokens} tokens with logprobs"


@contract
async def noise_is_text(server: Server) -> str:
    """Replies that are no UTF-8 on the server's side come as text that can be written as JSON again."""
    replaced = 0
    async with connected(server) as teacher:
        for seed in range(20):
            completion = await ask(teacher, seed=seed, temperature=2.0, max_tokens=200)
            row = orjson.loads(orjson.dumps({"text": completion.choices[0].text}))
            assert row["text"] == completion.choices[0].text
            replaced += row["text"].count("\ufffd")
    return f"20 replies of random bytes, {replaced} replacement characters among them"


# ---------------------------------------------------------------- refusals


@contract
async def long_prompts_are_rejected(server: Server) -> str:
    """A prompt beyond the context length ends its record, in the server's words, after one attempt."""
    seen = []
    apis: tuple[Api, ...] = ("completions", "chat")
    for api in apis:
        async with connected(server, api) as teacher:
            before = teacher.report().attempts
            with pytest.raises(sdg.RecordError) as caught:
                await ask(teacher, "x" * 20_000)
            assert "context length" in caught.value.server, caught.value.server
            assert teacher.report().attempts - before == 1, teacher.report()
            seen.append(caught.value.reason)
    return f"rejected as {' and '.join(seen)}"


@contract
async def list_prompts_are_known(server: Server) -> str:
    """Our client sends one prompt a request. What the server says to two is only written down here."""
    status, said = await post(server, {"model": MODEL, "max_tokens": 2, "prompt": ["a", "b"]})
    return f"HTTP {status}, {len(said.get('choices', ()))} choices, {said.get('error')}"


@contract
async def bad_parameters_end(server: Server) -> str:
    """A parameter that the server cannot read ends the call as a reject or the run, and never hangs."""
    async with connected(server, max_attempts=2) as teacher:
        with pytest.raises((sdg.RecordError, sdg.TeacherUnusable)) as caught:
            await ask(teacher, temperature="warm")
        report = teacher.report()
    return f"{caught.typename} after {report.attempts} attempts, {report.failures}"


# ---------------------------------------------------------------- connections


@contract
async def connections_are_kept(server: Server) -> str:
    """100 calls, with pauses around and beyond the server's keep-alive of 5 s: none fails, few connect."""
    pauses = {20: 3.0, 40: 4.9, 60: 5.1, 80: 6.0}  # seconds, before call number
    return "; ".join([await _pausing(server, transport, pauses) for transport in ("lean", "aiohttp")])


async def _pausing(server: Server, transport: str, pauses: dict[int, float]) -> str:
    async with connected(server, concurrency=1, transport=transport) as teacher:
        began, ports = time.monotonic(), set[int]()
        for number in range(100):
            await anyio.sleep(pauses.get(number, 0.0))
            await ask(teacher, f"call {number}", max_tokens=1)
            ports |= local_ports(server)
        report = teacher.report()
    assert report.failed_calls == 0, report
    assert not report.failures, report.failures
    assert len(ports) <= len(pauses) + 2, ports
    seconds = time.monotonic() - began - sum(pauses.values())
    repeated = report.attempts - report.calls
    return f"{transport}: {len(ports)} connections, {repeated} repeated, {seconds / 0.1:.1f} ms a call"


def local_ports(server: Server) -> set[int]:
    """Our ends of the established connections to the server; empty where the system does not tell."""
    table, port = Path("/proc/net/tcp"), int(server.url.split(":")[2].split("/")[0])
    if not table.exists():
        return set()
    lines = [line.split() for line in table.read_text().splitlines()[1:]]
    return {
        int(line[1].split(":")[1], 16)
        for line in lines
        if line[3] == "01" and int(line[2].split(":")[1], 16) == port
    }


@contract
async def closing_connections(server: Server) -> str:
    """24 connections are used again just when the server closes them for idleness: no call fails.

    Ours are kept for longer than the server's here; by default they are not, and this cannot happen.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "KEEPALIVE_SECONDS", 60.0)
        patch.setattr(lean, "IDLE_SECONDS", 60.0)
        seen = [
            f"{transport}: 48 calls, {await _use_again(server, transport)} sent again"
            for transport in ("lean", "aiohttp")
        ]
    return "; ".join(seen)


async def _use_again(server: Server, transport: str) -> int:
    """How many calls were repeated because their connection had been closed."""
    async with connected(server, concurrency=24, transport=transport) as teacher:

        async def twice(number: int) -> None:
            await ask(teacher, f"first {number}", max_tokens=1)
            await anyio.sleep(4.9 + number * 0.01)
            await ask(teacher, f"second {number}", max_tokens=1)

        async with anyio.create_task_group() as tasks:
            for number in range(24):
                tasks.start_soon(twice, number)
        report = teacher.report()
    assert report.failed_calls == 0, report
    assert not report.failures, report.failures
    return report.attempts - report.calls


@contract
async def eight_at_a_time(server: Server) -> str:
    """A server that answers one after the other gets eight calls at a time: all are answered."""
    answered = 0
    async with connected(server, concurrency=8) as teacher:

        async def one(number: int) -> None:
            nonlocal answered
            completion = await ask(teacher, f"call {number}", max_tokens=20)
            answered += len(completion.choices)

        async with anyio.create_task_group() as tasks:
            for number in range(48):
                tasks.start_soon(one, number)
        report = teacher.report()
    assert answered == 48
    assert report.failed_calls == 0, report
    assert not report.failures, report
    return f"48 calls, busy {report.busy:.0%} of {report.slots} slots"


@contract
async def leaving_a_call_is_harmless(server: Server) -> str:
    """A call that nobody waits for any more leaves no broken connection behind."""
    async with connected(server) as teacher:
        with anyio.move_on_after(0.3):
            await ask(teacher, max_tokens=2000, temperature=0.0, ignore_eos=True)
        began = time.monotonic()
        await ask(teacher, max_tokens=1)
        assert teacher.report().in_flight == 0
    return f"the next call was answered after {time.monotonic() - began:.1f} s"


# ---------------------------------------------------------------- streams


def plain_signs(completion: sdg.Completion) -> list[str]:
    """The ASCII of each choice: this server's streams lose characters whose bytes come in several tokens."""
    return ["".join(filter(str.isascii, text)) for text in texts(completion)]


@contract
async def streams_are_the_same(server: Server) -> str:
    """A streamed reply says what the same reply says that is not streamed, in both APIs."""
    apis: tuple[Api, ...] = ("completions", "chat")
    for api in apis:
        async with connected(server, api) as plain:
            whole = await ask(plain, temperature=0.0, max_tokens=64)
        async with connected(server, api, backend=http.AiohttpBackend(stream=True)) as teacher:
            streamed = await ask(teacher, temperature=0.0, max_tokens=64)
            estimated = teacher.report().tokens_estimated
        assert plain_signs(streamed) == plain_signs(whole), (streamed, whole)
        assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason
    same = "same" if texts(streamed) == texts(whole) else "same ASCII"
    return f"{same} text and finish reason; tokens estimated: {estimated}"


@contract
async def streams_side_by_side(server: Server) -> str:
    """The server cuts a stream short when another request comes: what was cut off is not taken for whole."""
    prompts = [f"prompt {number}" for number in range(12)]
    async with connected(server) as plain:
        whole = [await ask(plain, prompt, temperature=0.0, max_tokens=100) for prompt in prompts]
    came = [0, 0]
    backend = http.AiohttpBackend(stream=True)
    async with connected(server, backend=backend, concurrency=4, max_attempts=3) as teacher:

        async def one(number: int) -> None:
            try:
                completion = await ask(teacher, prompts[number], temperature=0.0, max_tokens=100)
            except (sdg.RecordError, sdg.TeacherUnusable):
                came[1] += 1
                return
            assert plain_signs(completion) == plain_signs(whole[number]), (completion, whole[number])
            came[0] += 1

        async with anyio.create_task_group() as tasks:
            for number in range(len(prompts)):
                tasks.start_soon(one, number)
        report = teacher.report()
    return f"{came[0]} whole, {came[1]} given up after {report.attempts} attempts, {report.failures}"


# ---------------------------------------------------------------- whole runs


async def run_pipeline(server: Server, api: Literal["completions", "chat"]) -> str:
    """The shipped freeform skills pipeline over its sample seeds; every root and record accounted for."""
    settings = sdg.Settings(num_instructions=2, model_family="mixtral")
    rejected: list[RecordRejected] = []

    def hook(event: sdg.Event, /) -> None:
        if isinstance(event, RecordRejected):
            rejected.append(event)

    pipeline = sdg.Pipeline.load("simple/freeform_skills", settings)
    output = server.folder / f"{api}.jsonl"
    async with connected(server, api) as teacher:
        report = await pipeline.run(SEEDS, output, teacher, overwrite=True, hook=hook)
    rows = [orjson.loads(line) for line in output.read_bytes().splitlines()]
    assert report.roots == len(SEEDS.read_bytes().splitlines())
    assert report.roots == report.accepted + report.filtered + report.rejected
    assert report.rows == len(rows)
    assert report.rejects == len(rejected)
    assert report.teacher is not None
    assert report.teacher.failed_calls == 0, report.teacher
    assert all(isinstance(row["output"], str | None) for row in rows)
    reasons = sorted({reject.reason for reject in rejected})
    unparsed = sum(block.unparsed_replies for block in report.blocks)
    empty = sum(row["output"] is None for row in rows)  # an empty reply between empty tags is null
    return (
        f"{report.roots} roots: {report.rows} rows ({empty} null), {report.rejects} rejects {reasons}, "
        f"{unparsed} unparsed; {report.teacher.calls} calls, {report.seconds:.1f} s"
    )


@contract
async def pipeline_completions(server: Server) -> str:
    """A whole run over the completions API."""
    return await run_pipeline(server, "completions")


@contract
async def pipeline_chat(server: Server) -> str:
    """A whole run over the chat API."""
    return await run_pipeline(server, "chat")
