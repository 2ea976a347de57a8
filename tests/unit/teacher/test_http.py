"""The aiohttp backend on real sockets: what it refuses, survives and sends; and TLS, with both backends."""

from __future__ import annotations

import gzip
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import orjson
import pytest
import trustme
from aiohttp import web
from aiohttp.web_request import BaseRequest
from anyio.abc import SocketStream
from loopback import http_server, raw_server

from sdg_stream.abc import HttpReply
from sdg_stream.errors import (
    AttemptTimeout,
    BadReply,
    ConfigError,
    ConnectFailed,
    RateLimited,
    TeacherUnusable,
)
from sdg_stream.teacher import http, lean
from sdg_stream.teacher.http import AiohttpBackend
from sdg_stream.teacher.lean import LeanBackend
from sdg_stream.teacher.sockets import kept_alive
from sdg_stream.teacher.transport import proxy_for

pytestmark = pytest.mark.anyio

Wire: TypeAlias = type[AiohttpBackend | LeanBackend]
KEY = "sk-a9b8c7d6e5f4"


async def ask(
    url: str,
    body: bytes | None = None,
    *,
    wire: Wire = AiohttpBackend,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> HttpReply:
    """One request on a backend of its own."""
    timeout = options.pop("timeout", 10.0)
    backend = wire(**options)
    try:
        method = "GET" if body is None else "POST"
        return await backend.send(method, url, body, headers=headers or {}, timeout=timeout)
    finally:
        await backend.aclose()


# ---------------------------------------------------------------- connections


async def test_connections_are_kept_and_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests one after the other use one connection, made by the factory that sets the probes."""
    ports = []
    made: list[socket.socket] = []

    def counting(address: Any) -> socket.socket:
        made.append(kept_alive(address))
        return made[-1]

    monkeypatch.setattr(http, "kept_alive", counting)

    async def handler(request: BaseRequest) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response(text=request.headers["Accept-Encoding"])

    async with http_server(handler) as origin:
        backend = AiohttpBackend()
        first = await backend.send("GET", origin, None, headers={}, timeout=5)
        await backend.send("GET", origin, None, headers={}, timeout=5)
        await backend.aclose()
    assert len(made) == len(set(ports)) == 1
    assert first.body == b"identity"


async def test_row_04_a_connection_closed_while_idle_is_told_as_stale() -> None:
    """Row 4: closed before any byte of a reply, so that the client may send again at once."""

    async def handler(stream: SocketStream) -> None:
        await stream.receive()

    async with raw_server(handler) as origin:
        with pytest.raises(ConnectFailed) as caught:
            await ask(origin)
    assert caught.value.stale


async def test_row_05_a_body_that_breaks_off_is_no_reply() -> None:
    """Row 5: half of a body is discarded."""

    async def handler(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async with raw_server(handler) as origin:
        with pytest.raises(ConnectFailed, match="broke off") as caught:
            await ask(origin)
    assert not caught.value.stale


async def test_row_07_a_server_that_says_nothing_is_cut_off() -> None:
    """Row 7: the deadline ends a call that gets no byte."""

    async def handler(stream: SocketStream) -> None:
        await stream.receive()
        await stream.receive()

    async with raw_server(handler) as origin:
        with pytest.raises(AttemptTimeout, match=r"within 0\.2 s"):
            await ask(origin, timeout=0.2)


async def test_what_is_not_http() -> None:
    """Bytes of another protocol are told as such."""

    async def handler(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"220 mail.example ESMTP\r\n")

    async with raw_server(handler) as origin:
        with pytest.raises(ConnectFailed, match="not HTTP"):
            await ask(origin)


async def test_row_01_refused() -> None:
    """Nobody listens: the words are the system's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectFailed, match=r"^cannot connect: Connection refused$"):
            await ask(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")


async def test_row_03_a_host_that_cannot_be_found() -> None:
    """The host is in the words."""
    with pytest.raises(ConnectFailed, match=r"cannot find the host nowhere\.invalid"):
        await ask("http://nowhere.invalid/v1")


async def test_row_34_without_sockets_it_is_less_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 34: a process out of files is told to slow down, as by a busy server."""

    def none_left(address: Any) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(http, "kept_alive", none_left)
    with pytest.raises(RateLimited, match="Too many open files"):
        await ask("http://127.0.0.1:1/v1")


# ---------------------------------------------------------------- bodies


async def test_row_13_a_huge_body_is_cut_off_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 13: reading stops at the cap, so the server gets rid of little more than that."""
    monkeypatch.setattr(http, "MAX_BODY", 1_000_000)
    sent = 0

    async def handler(request: BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 200_000_000:
            await response.write(bytes(100_000))
            sent += 100_000
        return response

    async with http_server(handler) as origin:
        with pytest.raises(BadReply, match="more than 1000000 bytes"):
            await ask(origin)
    assert sent < 50_000_000


async def test_row_13_a_compressed_bomb_is_cut_off_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 13: what counts is the size after unpacking, if a server compresses although nobody asked."""
    monkeypatch.setattr(http, "MAX_BODY", 1_000_000)
    bomb = gzip.compress(bytes(20_000_000))

    async def handler(request: BaseRequest) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with http_server(handler) as origin:
        with pytest.raises(BadReply, match="more than 1000000 bytes"):
            await ask(origin)


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_row_31_a_redirect_is_not_followed(status: int) -> None:
    """Rows 31 and 73: the key goes nowhere else; the message names the host."""
    asked = []

    async def handler(request: BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "http://user:pw@169.254.169.254/latest"})

    async with http_server(handler) as origin:
        with pytest.raises(TeacherUnusable, match=r"redirect to the host 169\.254\.169\.254\.") as caught:
            await ask(origin + "/v1/models", headers={"Authorization": "Bearer k"})
    assert asked == ["/v1/models"]
    assert "pw" not in str(caught.value)


# ---------------------------------------------------------------- TLS, with both backends


@pytest.fixture(params=[AiohttpBackend, LeanBackend])
def wire(request: pytest.FixtureRequest) -> Wire:
    """Both backends."""
    found: Wire = request.param
    return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """An authority of our own, and its certificate in a file."""
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return authority, file


def server_context(authority: trustme.CA, *names: str, **more: Any) -> ssl.SSLContext:
    """What a server needs for a certificate of these names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **more).configure_cert(context)
    return context


async def fine(request: BaseRequest) -> web.Response:
    """Any request is fine."""
    return web.Response(text="fine")


async def refused(kind: type[Exception], wire: Wire, url: str, **options: Any) -> str:
    """The words of the error that a request with a key ends with; nothing about it shows the key."""
    with pytest.raises(kind) as caught:
        await ask(url, wire=wire, headers={"Authorization": f"Bearer {KEY}"}, **options)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in repr((error, vars(error)))
        error = error.__cause__ or error.__context__
    return str(caught.value)


async def test_row_09_a_certificate_of_a_trusted_authority(
    authority: tuple[trustme.CA, Path], wire: Wire
) -> None:
    """Row 9: with --ca-file a server of one's own authority is trusted, by name and by address."""
    context = server_context(authority[0], "localhost", "127.0.0.1")
    async with http_server(fine, context) as origin:
        for host in ("127.0.0.1", "localhost", "LOCALHOST"):
            url = origin.replace("127.0.0.1", host)
            assert (await ask(url, wire=wire, ca_file=authority[1])).body == b"fine"


async def test_row_09_certificates_that_are_not_trusted(
    authority: tuple[trustme.CA, Path], wire: Wire
) -> None:
    """Row 9: unknown authority, another host, out of date: unusable at once, with what is wrong."""
    own, file = authority
    async with http_server(fine, server_context(own, "127.0.0.1")) as origin:
        words = await refused(TeacherUnusable, wire, origin)
        assert re.search(rf"no safe connection to {origin}: nobody who is trusted .*--ca-file", words)
        words = await refused(TeacherUnusable, wire, origin.replace("127.0.0.1", "localhost"), ca_file=file)
        assert re.search(r"for another host .*--ca-file", words)
    for name in ("other.example", "127.0.0.2", "::1"):
        async with http_server(fine, server_context(own, name)) as origin:
            words = await refused(TeacherUnusable, wire, origin, ca_file=file)
            assert re.search(r"for another host .*--ca-file", words)
    old = datetime(2020, 1, 1, tzinfo=UTC)
    async with http_server(fine, server_context(own, "127.0.0.1", not_after=old)) as origin:
        words = await refused(TeacherUnusable, wire, origin, ca_file=file)
        assert re.search(r"out of date .*--ca-file", words)


async def test_row_09_tls_where_there_is_none(wire: Wire) -> None:
    """Row 9: https:// at a port that speaks plain HTTP."""
    async with http_server(fine) as origin:
        words = await refused(TeacherUnusable, wire, origin.replace("http://", "https://"))
    assert re.search(r"does not speak TLS.*--ca-file", words)


async def test_row_09_a_handshake_that_is_broken_off(wire: Wire) -> None:
    """Row 9: it may succeed another time; so may one that the server refuses for what it was offered."""

    async def hang_up(stream: SocketStream) -> None:
        await stream.receive()

    async def refuse(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"\x15\x03\x03\x00\x02\x02\x28")  # the alert handshake_failure
        await stream.receive()

    async with raw_server(hang_up) as origin:
        words = await refused(ConnectFailed, wire, origin.replace("http://", "https://"))
        assert words == "cannot connect: the server hung up"
    async with raw_server(refuse) as origin:
        words = await refused(ConnectFailed, wire, origin.replace("http://", "https://"))
        assert re.match(r"cannot connect: .*handshake failure", words)


async def test_row_09_a_handshake_that_hangs(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 9: it ends as a connection that does not come about."""
    for module in (http, lean):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.1)
    gone = anyio.Event()

    async def say_nothing(stream: SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await stream.receive()
        gone.set()

    async with raw_server(say_nothing) as origin:
        url = origin.replace("http://", "https://")
        assert await refused(ConnectFailed, wire, url) == "no connection within 0.1 s"
        with anyio.fail_after(5):
            await gone.wait()


async def test_row_09_a_server_that_wants_a_certificate(
    authority: tuple[trustme.CA, Path], wire: Wire
) -> None:
    """Row 9: it says so right behind the handshake, which is told as a connection that failed."""
    context = server_context(authority[0], "127.0.0.1")
    authority[0].configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with http_server(fine, context) as origin:
        words = await refused(ConnectFailed, wire, origin, ca_file=authority[1])
    assert re.search(r"connection failed|closed the connection", words)
    assert "not permitted" not in words


async def test_row_09_verification_cannot_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 9: whatever variables say that other programs listen to."""
    for name in ("PYTHONHTTPSVERIFY", "CURL_INSECURE", "NODE_TLS_REJECT_UNAUTHORIZED"):
        monkeypatch.setenv(name, "0")
    context = LeanBackend()._trusted()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_a_file_of_authorities_that_is_none(tmp_path: Path, wire: Wire) -> None:
    """A missing or empty --ca-file is a mistake of the user's."""
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="cannot read --ca-file"):
        await ask("https://127.0.0.1:1", wire=wire, ca_file=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="no certificates"):
        await ask("https://127.0.0.1:1", wire=wire, ca_file=tmp_path / "empty.pem")


# ---------------------------------------------------------------- proxies


async def test_row_32_proxies_are_used_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 32: the environment counts with ``auto`` only, NO_PROXY included; a URL is taken as it is."""
    seen = []

    async def proxy(request: BaseRequest) -> web.Response:
        seen.append(request.path)
        return web.Response(text="by proxy")

    async with http_server(proxy) as by_proxy, http_server(fine) as origin:
        monkeypatch.setenv("http_proxy", by_proxy)
        monkeypatch.setenv("HTTP_PROXY", by_proxy)
        monkeypatch.setenv("no_proxy", "elsewhere.example")
        assert (await ask(origin)).body == b"fine"
        assert (await ask(origin, proxy="auto")).body == b"by proxy"
        assert (await ask(origin, proxy=by_proxy)).body == b"by proxy"
        assert proxy_for("http://elsewhere.example/v1", "auto") is None
        assert proxy_for("http://here.example/v1", "auto") == by_proxy
    assert len(seen) == 2
    with pytest.raises(ConfigError, match="--proxy takes auto"):
        await ask(origin, proxy="proxy:3128")


# ---------------------------------------------------------------- streams


WHOLE = b'data: {"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}\n\n'


async def streamed(pieces: list[bytes], status: int = 200) -> tuple[HttpReply, dict[str, Any]]:
    """The reply to a request that is answered by a stream, and what was asked."""
    asked: dict[str, Any] = {}

    async def handler(request: BaseRequest) -> web.StreamResponse:
        asked.update(orjson.loads(await request.read()))
        response = web.StreamResponse(status=status, headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    async with http_server(handler) as origin:
        return await ask(origin, b'{"prompt":"x"}', stream=True), asked


async def test_a_streamed_reply_looks_like_a_whole_one() -> None:
    """The backend asks for a stream and gives the JSON that an unstreamed reply would have had."""
    first = b'data: {"choices": [{"index": 0, "text": "\xc3'
    second = b'\xa9", "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    reply, asked = await streamed([first, second])
    assert asked["stream"] is True
    assert reply.status == 200
    assert orjson.loads(reply.body)["choices"] == [{"index": 0, "finish_reason": "stop", "text": "é"}]


async def test_row_35_a_stream_without_end_mark_or_with_an_error() -> None:
    """Row 35: cut off is a bad reply; an error inside is the status that it stands for."""
    with pytest.raises(BadReply, match="cut off"):
        await streamed([b'data: {"choices": []}\n\n'])
    reply, _ = await streamed([b'data: {"error": {"message": "busy", "code": 503}}\n\n'])
    assert (reply.status, orjson.loads(reply.body)["error"]["message"]) == (503, "busy")


@pytest.mark.parametrize(
    ("head", "data", "outcome"),
    [
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(WHOLE), WHOLE), None),
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(WHOLE), WHOLE), ConnectFailed),
        (b"Content-Length: %d" % len(WHOLE), WHOLE, None),
        (b"Content-Length: %d" % (len(WHOLE) + 1), WHOLE, ConnectFailed),
        (b"Connection: close", WHOLE, BadReply),
        (b"Connection: close", WHOLE + b"data: [DONE]\n\n", None),
    ],
)
async def test_row_35_a_stream_without_end_mark_is_whole_if_http_says_so(
    head: bytes, data: bytes, outcome: type[Exception] | None
) -> None:
    """Row 35: the server of transformers sends no mark; a length or chunks tell the end as well."""

    async def handler(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n\r\n" % head + data)

    async with raw_server(handler) as origin:
        if outcome is not None:
            with pytest.raises(outcome):
                await ask(origin, b"{}", stream=True)
            return
        reply = await ask(origin, b"{}", stream=True)
    assert orjson.loads(reply.body)["choices"] == [{"index": 0, "finish_reason": "stop", "text": "a"}]


async def test_a_connection_serves_the_next_call_after_a_stream() -> None:
    """The end of a stream's body is read, so that its connection is used again."""
    ports = set()

    async def handler(request: BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: [DONE]\n\n")
        return response

    async with http_server(handler) as origin:
        backend = AiohttpBackend(stream=True)
        for _ in range(5):
            await backend.send("POST", origin, b"{}", headers={}, timeout=5)
        await backend.aclose()
    assert len(ports) == 1


async def test_a_server_that_does_not_stream_is_read_as_ever() -> None:
    """A JSON reply to a request for a stream is taken as it is."""
    async with http_server(fine) as origin:
        assert (await ask(origin, b"{}", stream=True)).body == b"fine"
