"""The lean backend on real sockets, with and without TLS, beside aiohttp where both do the same."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener, TLSStream

from sdg_stream.abc import Backend, HttpReply
from sdg_stream.errors import AttemptTimeout, BadReply, ConnectFailed, RateLimited, TeacherUnusable
from sdg_stream.simulator import Fault, FaultRule, SimulatorSettings
from sdg_stream.simulator.server import serve
from sdg_stream.teacher import lean, lean_reply
from sdg_stream.teacher.http import AiohttpBackend
from sdg_stream.teacher.lean import LeanBackend
from sdg_stream.teacher.lean_connection import SLICE, Connection

pytestmark = pytest.mark.anyio

BODY = b'{"prompt": "Write a story about honey bees.", "max_tokens": 100, "n": 3}'
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer key"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BACKENDS = [AiohttpBackend, LeanBackend]

AUTHORITY = trustme.CA()

Handler: TypeAlias = Callable[["Peer"], Awaitable[None]]
Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both event loops."""
    return "asyncio", {"use_uvloop": request.param}


class Peer:
    """The server's end of one connection."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._data = b""

    async def request(self) -> bytes:
        """The next whole request: its head and its body."""
        while b"\r\n\r\n" not in self._data:
            self._data += await self._stream.receive()
        head, _, rest = self._data.partition(b"\r\n\r\n")
        _, found, length = head.lower().partition(b"content-length: ")
        size = int(length.partition(b"\r\n")[0]) if found else 0
        while len(rest) < size:
            rest += await self._stream.receive()
        self._data = rest[size:]
        return head + b"\r\n\r\n" + rest[:size]

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        await self._stream.send(data)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while True:
                await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return

    def hush(self) -> None:
        """Close without a last word of TLS."""
        if isinstance(self._stream, TLSStream):
            self._stream.standard_compatible = False

    def reset(self) -> None:
        """Close with RST instead of FIN, and without a last word of TLS."""
        self.hush()
        linger = (1).to_bytes(4, "little") + bytes(4)
        self._stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.fixture(params=["http", "https"])
def serving(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """Servers on either wire: called with a handler, and perhaps an address; the URL is given."""
    if request.param == "http":
        return serving_on
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1", "::1", "localhost").configure_cert(context)
    return partial(serving_on, context=context)


@asynccontextmanager
async def serving_on(
    handler: Handler, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server that handles each connection like this, then closes it; its URL."""

    async def handle(stream: ByteStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
            async with stream:
                await handler(Peer(stream))

    async with (
        await anyio.create_tcp_listener(local_host=host) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon((TLSListener(listener, context) if context else listener).serve, handle)
        port = listener.extra(SocketAttribute.local_port)
        scheme = "https" if context else "http"
        yield f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/v1"
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def backend_of(kind: type[Any] = LeanBackend) -> AsyncIterator[Any]:
    """A backend, closed at the end, with nothing left behind."""
    backend = kind() if kind is LeanBackend else kind(ca_file=os.environ.get("SSL_CERT_FILE"))
    try:
        yield backend
    finally:
        await backend.aclose()
        if isinstance(backend, LeanBackend):
            assert not backend._open
            gc.collect()  # what was not closed warns now, and warnings are errors


async def ask(backend: Backend, url: str, body: bytes | None = BODY, timeout: float = 30.0) -> HttpReply:
    """One request."""
    method = "GET" if body is None else "POST"
    return await backend.send(method, f"{url}/completions", body, headers=HEADERS, timeout=timeout)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something is so."""
    for _ in range(10_000):
        if condition():
            return
        await anyio.sleep(0.001)
    raise AssertionError("it is still not so")


def idle_of(backend: LeanBackend) -> list[Connection]:
    """The idle connections."""
    return [connection for pool in backend._pools.values() for connection in pool.idle]


# ---------------------------------------------------------------- both backends alike


FAULTS: list[tuple[Fault, Any]] = [
    (Fault(status=400), 400),
    (Fault(status=429, retry_after=7), 429),
    (Fault(status=503), 503),
    (Fault(kind="reset"), ConnectFailed),
    (Fault(kind="truncated"), ConnectFailed),
    (Fault(kind="hang"), AttemptTimeout),
    (Fault(kind="drip", seconds=60), AttemptTimeout),
    (Fault(kind="slow", seconds=60), AttemptTimeout),
    (Fault(kind="drip", seconds=0.01), 200),
    (Fault(kind="html"), 200),
    (Fault(kind="torn_json"), 200),
    (Fault(kind="bad_encoding"), 200),
    (Fault(kind="wrong_type"), 200),
    (Fault(kind="no_choices"), 200),
]


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize(("fault", "outcome"), FAULTS, ids=lambda value: getattr(value, "kind", None))
async def test_faults_of_the_simulated_teacher(kind: type[Any], fault: Fault, outcome: Any) -> None:
    """Each fault is the same error, or the same reply, with both backends."""
    settings = SimulatorSettings(latency="zero", faults=(FaultRule(fault=fault),))
    timeout = 0.1 if outcome is AttemptTimeout else 30.0
    async with serve(settings) as server, backend_of(kind) as backend:
        if isinstance(outcome, int):
            reply = await ask(backend, server.url, timeout=timeout)
            assert reply.status == outcome
            assert reply.headers.get("Retry-After") == (None if outcome != 429 else "7")
            assert reply.body
        else:
            with pytest.raises(outcome) as caught:
                await ask(backend, server.url, timeout=timeout)
            assert type(caught.value) is outcome
            assert caught.value.message


async def test_replies_are_the_same() -> None:
    """Status, body and the headers that both show, for a GET and a POST."""
    async with (
        serve(SimulatorSettings(latency="zero")) as server,
        backend_of(LeanBackend) as ours,
        backend_of(AiohttpBackend) as theirs,
    ):
        for path, body in (("/completions", BODY), ("/models", None), ("/nothing", None)):
            method = "POST" if body else "GET"
            pair = [
                await backend.send(method, server.url + path, body, headers=HEADERS, timeout=30.0)
                for backend in (ours, theirs)
            ]
            assert pair[0].status == pair[1].status
            assert body is not None or pair[0].body == pair[1].body
            assert {name.lower() for name in pair[1].headers} == set(pair[0].headers)


ODD_REPLIES: list[tuple[bytes, Any]] = [
    (b"", ConnectFailed),
    (b"HTTP/1.1 200 O", ConnectFailed),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", ConnectFailed),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", ConnectFailed),
    (b"SSH-2.0-OpenSSH_9.6\r\n", ConnectFailed),
    (b"HTTP/1.1 200 OK\r\nX: %b\r\n\r\n" % (b"x" * 100_000), ConnectFailed),
    (b"HTTP/1.1 307 Away\r\nLocation: http://u:p@other/v1\r\nContent-Length: 0\r\n\r\n", TeacherUnusable),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", b"abc"),
    (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
]


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize(("said", "outcome"), ODD_REPLIES)
async def test_odd_replies(kind: type[Any], said: bytes, outcome: Any, serving: Serving) -> None:
    """What a server may say before it closes the connection is the same with both backends."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)

    async with serving(handler) as url, backend_of(kind) as backend:
        if isinstance(outcome, bytes):
            assert (await ask(backend, url)).body == outcome
        else:
            with pytest.raises(outcome) as caught:
                await ask(backend, url)
            assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("kind", BACKENDS)
async def test_no_connection(kind: type[Any]) -> None:
    """A port where nobody listens, and a name that does not exist."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with backend_of(kind) as backend:
            with pytest.raises(ConnectFailed, match="cannot connect"):
                await ask(backend, f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
            with pytest.raises(ConnectFailed, match="cannot find the host"):
                await ask(backend, "http://nobody.invalid/v1")


# ---------------------------------------------------------------- requests


async def test_what_a_request_looks_like(serving: Serving) -> None:
    """One head, with the body's length; nothing is asked to be compressed."""
    seen = []

    async def handler(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.say(OK)

    async with serving(handler) as url, backend_of() as backend:
        await ask(backend, url)
        await ask(backend, f"{url}?a=b", body=None)
        await backend.send("POST", f"{url}/completions", b"", headers={"X-Other": "1"}, timeout=30.0)
        with pytest.raises(ValueError, match="cannot be sent"):
            await backend.send("GET", url, None, headers={"X": "1\r\nX-Injected: 2"}, timeout=30.0)
        with pytest.raises(ValueError, match="not a plain URL"):
            await backend.send("GET", "https://user:secret@host/", None, headers={}, timeout=30.0)
    host = url.split("/")[2]
    common = f"Host: {host}\r\nAccept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: sdg_stream\r\n"
    key = "Content-Type: application/json\r\nAuthorization: Bearer key\r\n"
    post = "POST /v1/completions HTTP/1.1\r\n"
    assert seen[0] == f"{post}{common}{key}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    assert seen[1] == f"GET /v1?a=b/completions HTTP/1.1\r\n{common}{key}\r\n".encode()
    assert seen[2] == f"{post}{common}X-Other: 1\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("size", [SLICE - 1000, SLICE, 10 * SLICE + 1, 5_000_000])
async def test_large_requests_arrive_whole(size: int, serving: Serving) -> None:
    """Whether they go out at once or as the transport takes them; the connection is used again."""
    body = bytes(range(256)) * (size // 256)

    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.say(OK if request.endswith(body) else b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    async with serving(handler) as url, backend_of() as backend:
        for _ in range(2):
            assert (await ask(backend, url, body)).status == 200
        assert len(backend._open) == 1


async def test_a_server_that_does_not_wait_for_the_whole_request(serving: Serving) -> None:
    """Its reply counts; the connection, on which half a request lies, is not used again."""

    async def handler(peer: Peer) -> None:
        await peer._stream.receive(100)
        await peer.say(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
        with anyio.CancelScope(shield=True):
            await peer.gone()

    async with serving(handler) as url, backend_of() as backend:
        assert (await ask(backend, url, bytes(50_000_000))).status == 413
        assert not idle_of(backend)


async def test_addresses_and_names(serving: Serving) -> None:
    """localhost, found once, whichever of its addresses the server has; and an IPv6 address."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    async with serving(handler) as url, backend_of() as backend:
        for _ in range(3):
            assert (await ask(backend, url.replace("127.0.0.1", "localhost"))).body == b"ok"
        (pool,) = backend._pools.values()
        assert (pool.host, pool.connects) == ("localhost", 3)
    if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
        async with serving(handler, "::1") as url, backend_of() as backend:
            assert (await ask(backend, url)).body == b"ok"


async def test_a_name_with_a_dot_at_its_end(serving: Serving) -> None:
    """It is the same name, and a certificate for it is one without the dot."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)

    async with serving(handler) as url, backend_of() as backend:
        resolve = backend._resolve
        backend._resolve = lambda host, port: resolve(host.removesuffix("."), port)
        assert (await ask(backend, url.replace("127.0.0.1", "localhost."))).body == b"ok"


async def test_where_a_name_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are looked up once, and again after a failure; a name's addresses are used in turn."""
    look_ups = 0
    first, second, other = (
        (family, socket.SOCK_STREAM, 6, "", (address, 9))
        for family, address in ((2, "192.0.2.1"), (2, "192.0.2.2"), (10, "2001:db8::1"))
    )

    async def resolve(host: str, port: int) -> Any:
        nonlocal look_ups
        look_ups += 1
        return [first, second, other]

    async def refuse(addresses: Any, **options: Any) -> Any:
        tried.append(addresses)
        raise ConnectionRefusedError(111, "Connect call failed")

    tried: list[Any] = []
    monkeypatch.setattr(lean, "start_connection", refuse)
    async with backend_of() as backend:
        backend._resolve = resolve
        for _ in range(2):
            with pytest.raises(ConnectFailed, match="cannot connect: Connection refused"):
                await ask(backend, "http://teacher/v1")
        assert look_ups == 2
        assert tried == [[second, first, other], [first, second, other]]
        (pool,) = backend._pools.values()
        await backend._addresses(pool)
        await backend._addresses(pool)
        assert look_ups == 3


async def test_a_server_that_speaks_first(serving: Serving) -> None:
    """Whatever it says is no reply."""

    async def handler(peer: Peer) -> None:
        await peer.say(b"220 mail.example ESMTP\r\n")
        await peer.gone()

    async with serving(handler) as url, backend_of() as backend:
        for _ in range(5):
            with pytest.raises(ConnectFailed, match=r"is not HTTP|before it was asked"):
                await ask(backend, url)


async def test_sockets_probe_their_peers(serving: Serving) -> None:
    """No Nagle delay; keepalive probes, so that a peer that vanished is noticed."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.gone()

    async with serving(handler) as url, backend_of() as backend:
        await ask(backend, url)
        transport = idle_of(backend)[0]._transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


# ---------------------------------------------------------------- connections


async def test_the_connection_used_last_is_used_next(serving: Serving) -> None:
    """Three at once open three; one after the other they use one."""
    connections = 0

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        number = connections
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)

    async with serving(handler) as url, backend_of() as backend:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask, backend, url)
        used = [(await ask(backend, url)).body for _ in range(5)]
        assert connections == 3
        assert len(set(used)) == 1


@pytest.mark.parametrize("how", ["closed", "closed silently", "reset"])
async def test_a_connection_that_went_stale(how: str, serving: Serving) -> None:
    """Closed before a byte of the reply: marked as stale where it had been used before, only there."""

    async def handler(peer: Peer) -> None:
        if (await peer.request()).endswith(b"one"):
            await peer.say(OK)
            await peer.request()
        if how == "reset":
            peer.reset()
        elif how == "closed silently":
            peer.hush()

    async with serving(handler) as url, backend_of() as backend:
        with pytest.raises(ConnectFailed) as fresh:
            await ask(backend, url, b"nothing")
        assert not fresh.value.stale
        await ask(backend, url, b"one")
        with pytest.raises(ConnectFailed) as stale:
            await ask(backend, url, b"two")
        assert stale.value.stale


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 408 Idle\r\nContent-Length: 0\r\n\r\n", b"\r\n"])
async def test_what_is_closed_or_talks_while_idle_is_not_used(said: bytes, serving: Serving) -> None:
    """The next call opens another connection and never hears of it."""
    connections = 0
    go_on = anyio.Event()

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.request()
        await peer.say(OK)
        await go_on.wait()
        if said:
            await peer.say(said)
            await peer.gone()

    async with serving(handler) as url, backend_of() as backend:
        await ask(backend, url)
        go_on.set()
        await until(lambda: not backend._open)
        assert (await ask(backend, url)).body == b"ok"
        assert connections == 2


async def test_bytes_behind_a_reply_spoil_the_connection(serving: Serving) -> None:
    """The reply counts, another connection is opened, and the bytes are no reply to anything."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await peer.gone()

    async with serving(handler) as url, backend_of() as backend:
        assert [(await ask(backend, url)).body for _ in range(3)] == [b"ok"] * 3
        assert not idle_of(backend)


async def test_idle_connections_are_closed_in_time(monkeypatch: pytest.MonkeyPatch, serving: Serving) -> None:
    """After some seconds nothing is open, and what is too old is not used before either."""
    monkeypatch.setattr(lean, "IDLE_SECONDS", 0.02)

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    async with serving(handler) as url, backend_of() as backend:
        await ask(backend, url)
        (first,) = idle_of(backend)
        await until(lambda: not backend._open)
        assert backend._sweeper is None
        await ask(backend, url)
        (second,) = idle_of(backend)
        assert second is not first
        second.idle_since -= 1
        await ask(backend, url)
        assert second not in idle_of(backend)


async def test_a_body_over_the_limit(monkeypatch: pytest.MonkeyPatch, serving: Serving) -> None:
    """The connection is closed before all of it has come."""
    monkeypatch.setattr(lean_reply, "MAX_BODY", 1_000_000)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            await peer.say(bytes(100_000))

    async with serving(handler) as url, backend_of() as backend:
        with pytest.raises(BadReply, match="a body of more than"):
            await ask(backend, url)


async def test_no_socket_left(monkeypatch: pytest.MonkeyPatch, serving: Serving) -> None:
    """It is a reason for less, later, as with the other backend; afterwards all is well."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)

    async with serving(handler) as url, backend_of() as backend:
        with monkeypatch.context() as patch:
            patch.setattr(lean, "kept_alive", _no_socket)
            with pytest.raises(RateLimited, match="no socket left"):
                await ask(backend, url)
        assert (await ask(backend, url)).body == b"ok"


def _no_socket(address: Any) -> socket.socket:
    raise OSError(24, "Too many open files")


async def test_many_at_once(serving: Serving) -> None:
    """500 calls on 500 connections, each with its own reply."""

    async def handler(peer: Peer) -> None:
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def call(number: int) -> None:
        for turn in range(3):
            body = b"%d %d" % (number, turn)
            assert (await ask(backend, url, body)).body == body
            replies.append(body)

    replies: list[bytes] = []
    async with serving(handler) as url, backend_of() as backend:
        async with anyio.create_task_group() as tasks:
            for number in range(500):
                tasks.start_soon(call, number)
        assert len(set(replies)) == 1500
        assert len(backend._open) == len(idle_of(backend)) <= 500


# ---------------------------------------------------------------- deadlines, cancellation, closing


async def test_the_deadline_is_each_calls_own(serving: Serving) -> None:
    """Not later for the longer one before it on the connection, and not earlier for the shorter one."""

    async def handler(peer: Peer) -> None:
        for answered in (True, True, True, False):
            await peer.request()
            if answered:
                await peer.say(OK)
        await peer.gone()

    for before, timeout in ((600.0, 0.05), (0.05, 0.2)):
        async with serving(handler) as url, backend_of() as backend:
            for _ in range(3):
                await ask(backend, url, timeout=before)
            begun = anyio.current_time()
            with pytest.raises(AttemptTimeout, match=f"within {timeout:g} s"):
                await ask(backend, url, timeout=timeout)
            assert timeout - 0.005 <= anyio.current_time() - begun < timeout + 5


async def test_the_deadline_holds_while_the_reply_drips(serving: Serving) -> None:
    """Progress is no excuse."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await peer.say(b"x")
            await anyio.sleep(0.005)

    async with serving(handler) as url, backend_of() as backend:
        begun = anyio.current_time()
        with pytest.raises(AttemptTimeout):
            await ask(backend, url, timeout=0.1)
        assert anyio.current_time() - begun >= 0.095


async def test_a_connection_that_does_not_come_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of a name, or a handshake, that hangs ends in words about the connection."""

    async def never(*args: Any, **options: Any) -> Any:
        await anyio.sleep_forever()

    monkeypatch.setattr(lean, "start_connection", never)
    async with backend_of() as backend:
        with pytest.raises(ConnectFailed, match=r"no connection within 0\.02 s"):
            await ask(backend, "http://127.0.0.1:9/v1", timeout=0.02)


async def test_a_call_may_be_cancelled_at_any_time(serving: Serving) -> None:
    """After any number of turns of the event loop only idle connections are open, and they work."""
    loop = asyncio.get_running_loop()

    def cancel_in(turns: int, scope: anyio.CancelScope) -> None:
        if turns:
            loop.call_soon(cancel_in, turns - 1, scope)
        else:
            scope.cancel()

    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.say(OK[:30])
            await anyio.lowlevel.checkpoint()
            await peer.say(OK[30:-2] + request[-2:])

    done = 0
    async with serving(handler) as url, backend_of() as backend:
        for fresh in (True, False):
            for turns in range(40):
                if fresh:
                    for connection in idle_of(backend):
                        connection.close()
                    await until(lambda: not backend._open)
                with anyio.CancelScope() as scope:
                    cancel_in(turns, scope)
                    done += (await ask(backend, url, b"aa")).body == b"aa"
                await until(lambda: len(backend._open) == sum(one.alive for one in idle_of(backend)))
                assert (await ask(backend, url, b"bb")).body == b"bb"
    assert done


async def test_closing_ends_calls_under_way(serving: Serving) -> None:
    """They fail, later ones too, and closing twice does no harm."""
    asked = anyio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    async def failing() -> None:
        with pytest.raises(ConnectFailed, match="have been closed"):
            await ask(backend, url)

    async with serving(handler) as url, backend_of() as backend:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(failing)
            await asked.wait()
            await backend.aclose()
        assert not backend._open
        await failing()
        await backend.aclose()


async def test_closing_in_a_cancelled_scope(serving: Serving) -> None:
    """As when a run is stopped: all connections are closed all the same."""

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    async with serving(handler) as url:
        backend = LeanBackend()
        await ask(backend, url)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await backend.aclose()
        assert not backend._open
