"""Connecting: the model, the API, and the mistakes that are told before the first call."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.web_request import BaseRequest
from loopback import http_server

from sdg_stream.abc import CallShape, HttpReply, Request
from sdg_stream.errors import ConfigError, ConnectFailed, TeacherUnusable
from sdg_stream.events import Notice
from sdg_stream.teacher import http
from sdg_stream.teacher.connect import connect, make_backend
from sdg_stream.testing.backend import ScriptedBackend, completion_reply, json_reply

pytestmark = pytest.mark.anyio


def server(models: Any = ("m",), completions: Any = None, chat: Any = None) -> ScriptedBackend:
    """A scripted endpoint: a list of models, and what its two APIs answer (None: not there)."""
    missing = json_reply({"detail": "Not Found"}, 404)

    def script(path: str, body: Any) -> HttpReply:
        if path.endswith("/models"):
            if isinstance(models, HttpReply):
                return models
            return json_reply({"object": "list", "data": [{"id": name} for name in models]})
        answer = chat if path.endswith("/chat/completions") else completions
        return missing if answer is None else answer

    return ScriptedBackend(script)


async def test_the_only_model_is_taken_and_the_api_is_found_by_asking_once() -> None:
    """A server with completions: one tiny request finds the API and that n is honoured; the hook is told."""
    events: list[Any] = []
    backend = server(completions=completion_reply("a", "b"))
    async with connect("http://localhost:1/v1/", backend=backend, hook=events.append) as teacher:
        assert (teacher.model, teacher.api, teacher.honours_n) == ("m", "completions", True)
    assert [path for path, _ in backend.sent] == ["/v1/models", "/v1/completions", "/metrics"]
    assert isinstance(events[0], Notice)
    assert "completions API" in events[0].message
    assert backend.closed


async def test_a_chat_only_server_is_asked_by_chat() -> None:
    """Without a completions API, prompts go as chat messages."""
    reply = json_reply({"choices": [{"index": 0, "message": {"content": "hi"}}]})
    async with connect(backend=server(chat=reply)) as teacher:
        assert (teacher.api, teacher.honours_n) == ("chat", False)


async def test_several_models_need_a_choice_only_if_no_block_names_one() -> None:
    """With several models none is taken by default."""
    async with connect(backend=server(["m1", "m2"], completion_reply("a", "b"))) as teacher:
        assert teacher.model == ""


async def test_a_server_without_a_model_list_is_believed() -> None:
    """Some servers have no /models; a given name is used as it is."""
    backend = server(json_reply({}, 404), completion_reply("a", "b"))
    async with connect(model="mine", backend=backend) as teacher:
        assert teacher.model == "mine"


@pytest.mark.parametrize(
    ("backend", "arguments", "words"),
    [
        (server(["mixtral-8x7b"]), {"model": "mixtral-8x7"}, "Did you mean 'mixtral-8x7b'"),
        (server(json_reply({"error": {"message": "bad key sk-9"}}, 401)), {"api_key": "sk-9"}, "API key"),
        (server(json_reply({}, 500)), {}, "HTTP 500"),
        (server(), {}, "no completions and no chat API"),
        (server(), {"api": "chat"}, "no chat API"),
        (ScriptedBackend(lambda path, body: ConnectFailed("cannot connect: refused")), {}, "--simulate"),
        (server(completions=json_reply({"error": {"message": "no"}}, 403)), {}, "refuses this API key"),
    ],
)
async def test_what_makes_a_teacher_unusable(
    backend: ScriptedBackend, arguments: dict[str, Any], words: str
) -> None:
    """Each mistake is told with what to do, and without the key."""
    with pytest.raises(TeacherUnusable) as caught:
        async with connect(backend=backend, **arguments):
            raise AssertionError
    assert words in str(caught.value)
    assert "sk-9" not in str(caught.value)
    assert backend.closed


async def test_every_endpoint_must_have_the_model() -> None:
    """Of several endpoints each is looked at, and the one that lacks the model is named."""

    def script(path: str, body: Any) -> HttpReply:
        if path.endswith("/models"):
            return json_reply({"data": [{"id": "other" if path.startswith("/two") else "m"}]})
        return completion_reply("a", "b")

    urls = ["http://h/one", "http://h/two"]
    with pytest.raises(TeacherUnusable, match="http://h/two has no model 'm'"):
        async with connect(urls, model="m", backend=ScriptedBackend(script)):
            raise AssertionError


async def test_row_01_a_server_that_starts_is_waited_for() -> None:
    """Refused at first, then 503 while the model loads, then ready; what is waited for is told."""
    loading = json_reply({"detail": "Loading model"}, 503)
    answers: Iterator[HttpReply | Exception] = iter([ConnectFailed("cannot connect: refused"), loading])
    ready = server(completions=completion_reply("a", "b"))

    async def script(path: str, body: Any) -> HttpReply:
        answer = next(answers, None)
        if isinstance(answer, Exception):
            raise answer
        return answer or await ready.send("POST", "http://h" + path, None, headers={}, timeout=1)

    events: list[Any] = []
    async with connect(wait_ready=30, backend=ScriptedBackend(script), hook=events.append) as teacher:
        assert teacher.model == "m"
    assert [event.code for event in events] == ["waiting", "api"]
    assert "cannot connect: refused (0 of 30 s)" in events[0].message


async def test_row_34_more_calls_than_sockets_are_refused_before_anything_is_asked() -> None:
    """Row 34: the limit on open files is looked at first."""
    with pytest.raises(ConfigError, match="--concurrency"):
        async with connect(concurrency=10**9):
            raise AssertionError


@pytest.mark.parametrize("arguments", [{"timeout": 0}, {"max_attempts": 0}, {"wait_ready": -1}, {"url": []}])
async def test_other_arguments_are_wrong_before_anything_is_asked(arguments: dict[str, Any]) -> None:
    """Arguments are checked first."""
    backend = server()
    with pytest.raises(ConfigError, match="connect needs"):
        async with connect(backend=backend, **arguments):
            raise AssertionError
    assert backend.sent == []


@pytest.mark.parametrize("url", ["ftp://x/v1", "http://", "http://user:secret@host/v1"])
async def test_urls_that_are_none(url: str) -> None:
    """A URL that cannot be an endpoint, or holds a password, is refused; a password is not repeated."""
    with pytest.raises(ConfigError) as caught:
        async with connect(url, backend=server()):
            raise AssertionError
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------- transports


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies, to which some may be added."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("urls", "options", "environment", "taken"),
    [
        (["http://h/v1"], {}, {}, "LeanBackend"),
        (["https://h/v1", "judge=http://j/v1"], {}, {}, "LeanBackend"),
        (["https://h/v1"], {}, {"https_proxy": "http://proxy:3128"}, "LeanBackend"),
        (["https://h/v1"], {"proxy": "auto"}, {}, "LeanBackend"),
        (["https://h/v1"], {"proxy": "auto"}, {"http_proxy": "http://proxy:3128"}, "LeanBackend"),
        (["https://h/v1"], {"proxy": "auto"}, {"https_proxy": "http://p:1", "no_proxy": "h"}, "LeanBackend"),
        (["http://i/v1", "https://h/v1"], {"proxy": "auto"}, {"https_proxy": "http://p:1"}, "AiohttpBackend"),
        (["https://h/v1"], {"proxy": "http://proxy:3128"}, {}, "AiohttpBackend"),
        (["https://h/v1"], {"stream": True}, {}, "AiohttpBackend"),
        (["https://h/täacher/v1"], {}, {}, "AiohttpBackend"),
    ],
)
async def test_which_transport_is_taken(
    proxies: pytest.MonkeyPatch,
    urls: list[str],
    options: dict[str, Any],
    environment: dict[str, str],
    taken: str,
) -> None:
    """The lean one with and without TLS, unless a proxy, a stream or a URL needs aiohttp."""
    for name, value in environment.items():
        proxies.setenv(name, value)
    for named in ("auto", "lean", "aiohttp"):
        if named == "lean" and taken != "LeanBackend":
            with pytest.raises(ConfigError, match="the lean transport takes no proxy"):
                make_backend("lean", urls, **options)
            continue
        backend = make_backend(named, urls, **options)
        await backend.aclose()
        assert type(backend).__name__ == ("AiohttpBackend" if named == "aiohttp" else taken)


async def test_a_teacher_behind_tls_is_asked_by_the_lean_transport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no transport named, and an authority of one's own, aiohttp has no part in it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.delattr(http, "AiohttpBackend")

    async def handler(request: BaseRequest) -> web.Response:
        if request.path.endswith("/models"):
            return web.Response(body=json_reply({"data": [{"id": "m"}]}).body)
        return web.Response(body=completion_reply("a", "b").body)

    async with (
        http_server(handler, context) as origin,
        connect(f"{origin}/v1", ca_file=tmp_path / "ca.pem") as teacher,
    ):
        shape = CallShape.make("completions", {"model": "m", "n": 2})
        completion = await teacher.complete(Request(shape, "x"))
        assert [choice.text for choice in completion.choices] == ["a", "b"]
