"""Preflight: what an endpoint is like, and which of it keeps one from using it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import anyio
import orjson
import pytest
import trustme
from aiohttp import web
from aiohttp.web_request import BaseRequest
from anyio.abc import SocketStream
from loopback import http_server, raw_server

from sdg_stream.abc import HttpReply
from sdg_stream.errors import ConnectFailed
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.teacher.http import AiohttpBackend
from sdg_stream.teacher.lean import LeanBackend
from sdg_stream.teacher.preflight import PreflightReport, preflight
from sdg_stream.teacher.probe import split_name
from sdg_stream.teacher.waiting import Patience
from sdg_stream.testing.backend import ScriptedBackend, completion_reply, json_reply

pytestmark = pytest.mark.anyio

MISSING = json_reply({"detail": "Not Found"}, 404)
METRICS = HttpReply(200, {}, b"vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n")


def endpoint(
    models: Sequence[Mapping[str, Any]] | HttpReply = ({"id": "m"},),
    **answers: HttpReply | Exception,
) -> ScriptedBackend:
    """A scripted endpoint: its models, and the answers by the last part of the path."""

    def script(path: str, body: Any) -> HttpReply | Exception:
        if path.endswith("/models"):
            return models if isinstance(models, HttpReply) else json_reply({"data": list(models)})
        name = "chat" if path.endswith("/chat/completions") else path.rpartition("/")[2]
        return answers.get(name, MISSING)

    return ScriptedBackend(script)


async def look(backend: ScriptedBackend, *urls: str, **options: Any) -> PreflightReport:
    """Preflight of a scripted endpoint."""
    return await preflight(urls or ("http://h/v1",), backend, **options)


async def test_the_simulated_teacher_is_known_through_and_through() -> None:
    """On a real socket: both APIs, n, lists of prompts, context, metrics, kind and round trip."""
    async with serve(SimulatorSettings(latency="zero", max_model_len=4096)) as server:
        backend = AiohttpBackend()
        report = await preflight([server.url], backend, thorough=True)
        await backend.aclose()
    (facts,) = report.endpoints
    assert report.usable
    assert (report.model, report.api, report.honours_n) == ("simulated-teacher", "completions", True)
    assert report.max_model_len("simulated-teacher") == 4096
    assert facts.apis == ["completions", "chat"]
    assert facts.list_prompts is True
    assert (facts.metrics, facts.metrics_url) == (True, server.origin + "/metrics")
    assert facts.server == "simulated teacher"
    assert facts.round_trip is not None
    assert 0 < facts.round_trip < 5


async def test_without_thoroughness_few_requests_are_made() -> None:
    """Before a run: the list of models, one tiny call, one look at the load."""
    backend = endpoint(completions=completion_reply("a", "b"), metrics=METRICS)
    report = await look(backend)
    assert [path for path, _ in backend.sent] == ["/v1/models", "/v1/completions", "/metrics"]
    assert report.endpoints[0].metrics
    assert backend.sent[1][1]["max_tokens"] == 1


async def test_the_kind_of_server_and_its_version() -> None:
    """VLLM says who it is in its list of models, and its version on a page of its own."""
    backend = endpoint(
        [{"id": "m", "owned_by": "vllm", "max_model_len": 8192}],
        completions=completion_reply("a", "b"),
        version=json_reply({"version": "0.11.0"}),
    )
    report = await look(backend, headers={"Authorization": "Bearer k"})
    assert report.endpoints[0].server == "vLLM 0.11.0"
    asked = {path: headers for (path, _), headers in zip(backend.sent, backend.headers, strict=True)}
    assert "Authorization" in asked["/v1/models"]
    assert "Authorization" not in asked["/version"]
    assert "Authorization" not in asked["/metrics"]


@pytest.mark.parametrize(
    ("entry", "length"),
    [
        ({"meta": {"n_ctx_train": 2048}}, 2048),
        ({"meta": {"n_ctx": 512, "n_ctx_train": 2048}}, 512),
        ({"context_length": 100}, 100),
        ({"max_model_len": None, "meta": None}, None),
        ({"max_model_len": "many"}, None),
    ],
)
async def test_the_context_length_under_its_names(entry: dict[str, Any], length: int | None) -> None:
    """vLLM, llama.cpp and others tell it in their own ways, or not at all."""
    report = await look(endpoint([{"id": "m", **entry}], completions=completion_reply("a", "b")))
    assert report.max_model_len("m") == length


async def test_row_17_headers_that_tell_limits_are_kept() -> None:
    """Rate limit headers of the first reply are in the report."""
    reply = completion_reply("a", "b")
    backend = endpoint(completions=HttpReply(200, {"X-RateLimit-Limit-Requests": "60"}, reply.body))
    report = await look(backend)
    assert report.endpoints[0].rate_limits == {"x-ratelimit-limit-requests": "60"}


async def test_row_22_a_server_that_refuses_n_is_asked_without_it() -> None:
    """A 400 for n=2, a reply for n=1: choices will be asked one by one, and the server's words are kept."""

    def script(path: str, body: Any) -> HttpReply:
        if path.endswith("/models"):
            return json_reply({"data": [{"id": "m"}]})
        if path.endswith("/completions") and body["n"] == 2:
            return json_reply({"error": {"message": "n must be 1"}}, 400)
        return completion_reply("a") if path.endswith("/completions") else MISSING

    report = await look(ScriptedBackend(script))
    assert (report.usable, report.api, report.honours_n) == (True, "completions", False)
    report = await look(endpoint(completions=json_reply({"error": {"message": "unknown max_tokens"}}, 400)))
    assert "refuses a minimal request: HTTP 400: unknown max_tokens" in report.endpoints[0].warnings[0]


async def test_a_passing_fault_is_no_verdict() -> None:
    """A server that is busy during preflight has the API, and is believed to honour n."""
    answers: Iterator[HttpReply | Exception] = iter(
        [json_reply({}, 500), ConnectFailed("reset"), completion_reply("a", "b")]
    )

    def script(path: str, body: Any) -> HttpReply | Exception:
        if path.endswith("/models"):
            return json_reply({"data": [{"id": "m"}]})
        return next(answers) if path == "/v1/completions" else MISSING

    report = await look(ScriptedBackend(script))
    assert (report.usable, report.honours_n, report.endpoints[0].warnings) == (True, True, [])
    report = await look(endpoint(completions=json_reply({}, 429)))
    assert (report.usable, report.honours_n) == (True, True)
    assert "could not be tried: HTTP 429" in report.endpoints[0].warnings[0]


@pytest.mark.parametrize(
    ("backend", "options", "words"),
    [
        (endpoint([{"id": "mixtral-8x7b"}]), {"model": "mixtral-8x7"}, "Did you mean 'mixtral-8x7b'"),
        (endpoint(MISSING), {}, "no completions and no chat API"),
        (endpoint(json_reply({}, 401)), {}, "--api-key-env"),
        (endpoint(completions=json_reply({}, 401)), {}, "refuses this API key"),
        (
            endpoint(HttpReply(200, {}, b"<html><title>Sign in</title></html>")),
            {},
            "not a list of models: Sign in",
        ),
        (endpoint(completions=completion_reply("a", "b")), {"api": "chat"}, "no chat API"),
        (ScriptedBackend(lambda path, body: ConnectFailed("cannot connect: refused")), {}, "no teacher at"),
    ],
)
async def test_what_makes_an_endpoint_unusable(
    backend: ScriptedBackend, options: dict[str, Any], words: str
) -> None:
    """Rows 9, 12, 19, 20: a problem in words, not an exception, so that all of them can be shown."""
    report = await look(backend, **options)
    assert not report.usable
    assert report.api == ""
    assert words in report.problems[0]


@pytest.mark.parametrize("wire", [AiohttpBackend, LeanBackend])
async def test_row_09_plain_http_at_a_port_that_speaks_tls(wire: type[AiohttpBackend | LeanBackend]) -> None:
    """It is told at once, however long one would wait, and https:// and --ca-file are named."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def never(request: BaseRequest) -> web.Response:
        raise AssertionError

    async with http_server(never, context) as origin:
        backend = wire()
        with anyio.fail_after(10):
            report = await preflight([origin.replace("https://", "http://")], backend, wait_ready=60)
        await backend.aclose()
    assert "speaks TLS: its URL begins with https://" in report.problems[0]
    assert "--ca-file" in report.problems[0]


async def test_a_server_that_hangs_up_but_speaks_no_tls_is_waited_for() -> None:
    """Not every closed connection is a matter of TLS."""

    async def hang_up(stream: SocketStream) -> None:
        await stream.receive()

    async with raw_server(hang_up) as origin:
        backend = AiohttpBackend()
        report = await preflight([origin], backend, wait_ready=0.2)
        await backend.aclose()
    assert "closed the connection without a reply" in report.problems[0]


async def test_a_key_is_not_repeated_from_the_servers_words() -> None:
    """Row 72: servers like to quote the key that they refuse."""
    backend = endpoint(json_reply({"error": {"message": "bad key sk-9"}}, 401))
    report = await look(backend, secrets=["sk-9"])
    assert "[redacted]" in report.problems[0]
    assert "sk-9" not in report.problems[0]


# ---------------------------------------------------------------- several endpoints


def farm(**hosts: ScriptedBackend) -> ScriptedBackend:
    """One backend for several endpoints, http://h/NAME/v1 each."""

    async def script(path: str, body: Any) -> HttpReply:
        name, _, rest = path[1:].partition("/")
        data = None if body is None else orjson.dumps(body)
        return await hosts[name].send("POST", "http://h/" + rest, data, headers={}, timeout=1)

    return ScriptedBackend(script)


async def test_replicas_share_the_model_and_the_api() -> None:
    """What all of them have is taken: one has chat only, so all are asked by chat."""
    chat = json_reply({"choices": [{"message": {"content": str(index)}} for index in range(2)]})
    text = completion_reply("a", "b")
    backend = farm(
        one=endpoint([{"id": "m"}, {"id": "x"}], completions=text, chat=chat),
        two=endpoint([{"id": "m"}], chat=chat),
    )
    report = await look(backend, "http://h/one/v1", "http://h/two/v1")
    assert (report.usable, report.model, report.api, report.models) == (True, "m", "chat", ("m", "x"))


async def test_replicas_of_different_models_are_refused() -> None:
    """Without a model that all of them have, which one has which is told."""
    text = completion_reply("a", "b")
    backend = farm(
        one=endpoint([{"id": "a"}], completions=text), two=endpoint([{"id": "b"}], completions=text)
    )
    report = await look(backend, "http://h/one/v1", "http://h/two/v1")
    assert "http://h/one/v1 has a; http://h/two/v1 has b" in report.problems[0]


async def test_replicas_without_a_common_api_are_refused() -> None:
    """One has completions only, the other chat only: both are named."""
    chat = json_reply({"choices": [{"message": {"content": str(index)}} for index in range(2)]})
    backend = farm(one=endpoint(completions=completion_reply("a", "b")), two=endpoint(chat=chat))
    report = await look(backend, "http://h/one/v1", "http://h/two/v1")
    assert [problem.split()[4] for problem in report.problems] == ["completions", "chat"]


async def test_a_named_endpoint_has_a_model_of_its_own() -> None:
    """``judge=URL`` belongs to another pool: its model is its own business."""
    text = completion_reply("a", "b")
    backend = farm(
        one=endpoint([{"id": "a"}], completions=text), two=endpoint([{"id": "b"}], completions=text)
    )
    report = await look(backend, "http://h/one/v1", "judge=http://h/two/v1")
    assert (report.usable, report.model, report.models) == (True, "a", ("a",))
    assert [facts.name for facts in report.endpoints] == ["", "judge"]
    assert split_name("http://h/v1?a=b") == ("", "http://h/v1?a=b")


# ---------------------------------------------------------------- waiting


def test_row_01_patience_pauses_and_tells() -> None:
    """Pauses grow to two seconds, words come at once and then every five seconds, and the end is the end."""
    patience = Patience("http://h/v1", 12.0, 100.0)
    now, told, pauses = 100.0, [], []
    while True:
        pause, words = patience.next("refused", now, answered=False)
        if words:
            told.append((round(now - 100), words))
        if pause is None:
            break
        pauses.append(pause)
        now += pause
    assert now == pytest.approx(112.0)
    assert max(pauses) == 2.0
    assert pauses[0] == 0.1
    assert told[0][0] == 0
    assert all(later - before >= 5 for (before, _), (later, _) in pairwise(told))
    assert told[0][1] == "waiting for http://h/v1: refused (0 of 12 s)"


def test_without_waiting_only_an_answer_gets_a_second_look() -> None:
    """Refused is refused; a 500 may be a passing fault."""
    assert Patience("u", 0, 0).next("refused", 0, answered=False) == (None, "")
    patience = Patience("u", 0, 0)
    assert [patience.next("HTTP 500", 0, answered=True)[0] is None for _ in range(3)] == [False, False, True]
