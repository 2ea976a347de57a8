"""The lean backend: HTTP/1.1 over TCP or TLS, at a fraction of aiohttp's CPU.

A call takes a connection from a stack of idle ones, writes one piece of bytes and waits for one future. What
needs more (proxies, streamed replies) is the aiohttp backend's business: :meth:`LeanBackend.takes` says which
URLs are for this one. Both keep connections for less time than servers do, ask for uncompressed replies,
follow no redirects, trust the same certificates and fail with the same errors.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import anyio
import msgspec
from aiohappyeyeballs import AddrInfoType, start_connection

from ..abc import HttpReply
from ..errors import AttemptError, ConnectFailed, RateLimited, TeacherUnusable
from .lean_connection import Connection
from .sockets import kept_alive
from .tls import tls_context, tls_trouble
from .transport import (
    CONNECT_SECONDS,
    DNS_SECONDS,
    NO_SOCKETS,
    no_socket_words,
    origin,
    redirect_words,
    words_of,
)

__all__ = ["LeanBackend"]

IDLE_SECONDS = 4.0  # uvicorn closes idle connections after 5 s
SECOND_ADDRESS_SECONDS = 0.25  # RFC 8305, section 5: how long the first address is tried alone
MAX_ROUTES = 1000
PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name: RFC 9110, section 5.6.2
_CLOSED = "the connections to the teacher have been closed"
_PRINTABLE = re.compile(r"[!-~]+")


class _Pool(msgspec.Struct):
    """What is known of one origin. ``idle`` holds the connection that was used last at its end."""

    origin: str
    tls: bool
    host: str
    port: int
    lock: anyio.Lock  # one look-up at a time
    idle: list[Connection] = []
    addresses: list[AddrInfoType] = []
    resolved_at: float = 0.0
    connects: int = 0


class _Route(msgspec.Struct):
    """The bytes that all requests to a URL with the same headers begin with, and where they go."""

    headers: dict[str, str]
    head: bytes
    pool: _Pool

    def __repr__(self) -> str:
        return f"<_Route to {self.pool.host}:{self.pool.port}>"  # the headers hold the key


class LeanBackend:
    """Implements :class:`~sdg_stream.abc.Backend`. Construct it on a running event loop.

    Args:
        ca_file: PEM file of the authorities to trust instead of the system's.

    Raises:
        ConfigError: the file cannot be read or holds no certificates.
    """

    def __init__(self, *, ca_file: str | Path | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._routes: dict[tuple[str, str], _Route] = {}
        self._pools: dict[tuple[str, str, int], _Pool] = {}
        self._context = tls_context(ca_file) if ca_file is not None else None
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._all_lost = anyio.Event()

    @staticmethod
    def takes(url: str) -> bool:
        """Whether this backend is for a URL: HTTP, no password in it, nothing to be quoted."""
        parts = urlsplit(url)
        plain = parts.scheme in PORTS and "@" not in parts.netloc
        return plain and bool(parts.hostname) and _PRINTABLE.fullmatch(url) is not None

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        *,
        headers: Mapping[str, str],
        timeout: float,
        seen: Callable[[bytes], None] | None = None,
    ) -> HttpReply:
        """One request, the whole reply; see :class:`~sdg_stream.abc.Backend`.

        ``seen`` is told each piece of the reply's body as it comes.

        Raises:
            TeacherUnusable: a redirect, or a TLS handshake that will never succeed.
            ValueError: the URL or a header cannot be sent.
        """
        route = self._routes.get((method, url))
        if route is None or route.headers != headers:
            route = self._new_route(method, url, headers)
        if body is None:
            request = route.head + b"\r\n"
        else:
            request = b"%bContent-Length: %d\r\n\r\n%b" % (route.head, len(body), body)
        pool, begun = route.pool, self._loop.time()
        connection = self._idle(pool, begun) or await self._connect(pool, timeout)
        try:
            reply = await connection.ask(request, begun + timeout, timeout, seen)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, pool)
        if 300 <= reply.status < 400:
            raise TeacherUnusable(redirect_words(url, reply.status, reply.headers.get("location", "")))
        return reply

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._open):
            connection.fail(ConnectFailed(_CLOSED))
        if self._open:
            with anyio.move_on_after(1, shield=True):
                await self._all_lost.wait()

    # ------------------------------------------------------------ idle connections

    def _idle(self, pool: _Pool, now: float) -> Connection | None:
        """The idle connection that was used last, if it is young enough."""
        idle = pool.idle
        while idle:
            connection = idle.pop()
            if connection.alive and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection, pool: _Pool) -> None:
        if not connection.alive:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        pool.idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long, so that nothing stays open for want of calls."""
        oldest = self._loop.time() - IDLE_SECONDS
        left = False
        for pool in self._pools.values():
            idle, pool.idle = pool.idle, []
            for connection in idle:
                if connection.alive and connection.idle_since > oldest:
                    pool.idle.append(connection)
                    left = True
                else:
                    connection.close()
        self._sweeper = self._loop.call_later(IDLE_SECONDS, self._sweep) if left else None

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._closed and not self._open:
            self._all_lost.set()

    # ------------------------------------------------------------ new connections

    async def _connect(self, pool: _Pool, timeout: float) -> Connection:
        if self._closed:
            raise ConnectFailed(_CLOSED)
        seconds = min(CONNECT_SECONDS, timeout)
        with anyio.move_on_after(seconds):
            try:
                return await self._open_one(pool)
            except (OSError, RuntimeError, UnicodeError) as error:  # uvloop's, and of names that cannot be
                pool.resolved_at = 0.0
                raise _no_connection(error, pool) from error
        raise ConnectFailed(f"no connection within {seconds:g} s")

    async def _open_one(self, pool: _Pool) -> Connection:
        addresses = await self._addresses(pool)
        sock = await start_connection(
            addresses, happy_eyeballs_delay=SECOND_ADDRESS_SECONDS, loop=self._loop, socket_factory=kept_alive
        )
        connection = Connection(self._loop, self._lost)
        try:
            await self._loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._trusted() if pool.tls else None,
                server_hostname=pool.host.rstrip(".") if pool.tls else None,
            )
        except BaseException:
            connection.close()  # the event loop only begins to say goodbye, on a socket that is closed here
            sock.close()
            raise
        if self._closed:
            connection.close()
            raise ConnectFailed(_CLOSED)
        if not connection.alive:
            raise ConnectFailed("the server closed the connection, or spoke, before it was asked")
        self._open.add(connection)
        return connection

    def _trusted(self) -> ssl.SSLContext:
        """Whom to trust; the system's authorities take some time to read, so only where they are needed."""
        if self._context is None:
            self._context = tls_context()
        return self._context

    async def _addresses(self, pool: _Pool) -> list[AddrInfoType]:
        """Where the host is, in the system's order; of its first family each address in turn."""
        async with pool.lock:
            if not pool.resolved_at or self._loop.time() - pool.resolved_at > DNS_SECONDS:
                pool.addresses = await self._resolve(pool.host, pool.port)
                pool.resolved_at = self._loop.time()
        pool.connects += 1
        found = pool.addresses
        first = [address for address in found if address[0] == found[0][0]]
        turn = pool.connects % len(first)
        return [*first[turn:], *first[:turn], *(address for address in found if address not in first)]

    async def _resolve(self, host: str, port: int) -> list[AddrInfoType]:
        try:  # an address needs no look-up, and no thread for it
            return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        except socket.gaierror:
            return list(await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    # ------------------------------------------------------------ requests

    def _new_route(self, method: str, url: str, headers: Mapping[str, str]) -> _Route:
        parts = urlsplit(url)
        if not self.takes(url):
            raise ValueError(
                f"not a plain URL: {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
            )
        host, port = str(parts.hostname), parts.port or PORTS[parts.scheme]
        pool = self._pools.setdefault(
            (parts.scheme, host, port),
            _Pool(origin(url), parts.scheme == "https", host, port, anyio.Lock()),
        )
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        route = _Route(dict(headers), _head(method, parts, headers), pool)
        self._routes[method, url] = route
        return route


def _head(method: str, parts: SplitResult, headers: Mapping[str, str]) -> bytes:
    """A request's first lines, up to where ``Content-Length`` or the empty line follows."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = {
        "host": parts.netloc,
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "sdg_stream",
        **{name.lower(): value for name, value in headers.items()},
    }
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in fields.items():
        if not _TOKEN.fullmatch(name) or any(char in value for char in "\r\n\0"):
            raise ValueError(f"the header {name!r} cannot be sent")
        lines.append(f"{name.title()}: {value}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _no_connection(error: Exception, pool: _Pool) -> AttemptError | TeacherUnusable:
    trouble = tls_trouble(error)
    if trouble is not None:
        return TeacherUnusable(f"no safe connection to {pool.origin}: {trouble}")
    words = words_of(error)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return ConnectFailed(f"cannot find the host {pool.host}: {words}")
    if getattr(error, "errno", None) in NO_SOCKETS:  # less, later: as when the server says so
        return RateLimited(no_socket_words(words))
    return ConnectFailed(f"cannot connect: {words}")
