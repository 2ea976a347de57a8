"""The aiohttp backend: one attempt on one wire. The only module that knows aiohttp's client.

Admission is the client's business, so the connector has no limit of its own (aiohttp's default would queue
all above 100 without a word). Connections are kept for less time than servers keep them (uvicorn: 5 s),
replies are asked for uncompressed, redirects are not followed, and proxies are used only when asked for.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import anyio

from ..abc import HttpReply
from ..errors import (
    AttemptError,
    AttemptTimeout,
    BadReply,
    ConfigError,
    ConnectFailed,
    RateLimited,
    TeacherUnusable,
)
from .sockets import kept_alive
from .sse import StreamedReply, streaming_body
from .tls import tls_context, tls_trouble
from .transport import (
    CONNECT_SECONDS,
    DNS_SECONDS,
    MAX_BODY,
    NO_SOCKETS,
    no_socket_words,
    origin,
    proxy_for,
    redirect_words,
    split_url,
    words_of,
)

__all__ = ["AiohttpBackend"]

KEEPALIVE_SECONDS = 4.0
LARGE_BODY = 1024 * 1024  # bytes, from which on aiohttp wants a file
_END_SECONDS = 1.0  # for the end of a body after the end mark of the stream in it


class AiohttpBackend:
    """Implements :class:`~sdg_stream.abc.Backend`. Construct it on a running event loop.

    Args:
        ca_file: PEM file of the authorities to trust instead of the system's.
        proxy: URL of an HTTP proxy, or ``auto`` for what the environment says; None for no proxy.
        stream: ask for streamed replies and put them together: for proxies that cut idle connections.

    Raises:
        ConfigError: an argument is wrong.
    """

    def __init__(
        self, *, ca_file: str | Path | None = None, proxy: str | None = None, stream: bool = False
    ) -> None:
        if proxy not in {None, "auto"}:
            _check_proxy(str(proxy))
        self._proxy = proxy
        self._proxies: dict[str, str | None] = {}
        self._stream = stream
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
            socket_factory=kept_alive,
            ssl=tls_context(ca_file) if ca_file is not None else True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "sdg_stream"},
        )
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

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

        ``seen`` is told each piece of a streamed reply as it comes.

        Raises:
            TeacherUnusable: a redirect, or a TLS handshake that will never succeed.
        """
        if self._stream and body is not None:
            body = streaming_body(body)
        try:
            async with self._session.request(
                method,
                url,
                data=body if body is None or len(body) < LARGE_BODY else io.BytesIO(body),
                headers=headers,
                timeout=self._timeout(timeout),
                allow_redirects=False,
                proxy=self._proxy_for(url),
            ) as reply:
                if 300 <= reply.status < 400:
                    raise TeacherUnusable(
                        redirect_words(url, reply.status, reply.headers.get("Location", ""))
                    )
                if reply.status == 200 and reply.content_type == "text/event-stream":
                    return await _read_stream(reply, seen)
                return HttpReply(reply.status, reply.headers, await _read(reply))
        except (TimeoutError, aiohttp.ClientError) as error:
            failed, cause = _failure(error, url, timeout), _harmless(error)
        raise failed from cause

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(seconds)
        if found is None:
            found = aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))
            if len(self._timeouts) > 1000:  # deadlines that grow with max_tokens are many
                self._timeouts.clear()
            self._timeouts[seconds] = found
        return found

    def _proxy_for(self, url: str) -> str | None:
        if self._proxy is None:
            return None
        if url not in self._proxies:
            self._proxies[url] = proxy_for(url, self._proxy)
        return self._proxies[url]


def _check_proxy(proxy: str) -> None:
    parts = split_url(proxy)
    if parts is None or parts.scheme not in {"http", "https"}:
        raise ConfigError("--proxy takes auto, or the URL of an HTTP proxy such as http://proxy:3128")


def _failure(error: Exception, url: str, timeout: float) -> AttemptError | TeacherUnusable:
    """What an exception of aiohttp means for the attempt."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectFailed(f"no connection within {min(CONNECT_SECONDS, timeout):g} s")
    if isinstance(error, TimeoutError):
        return AttemptTimeout(f"no whole reply within {timeout:g} s")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return ConnectFailed("the server closed the connection without a reply", stale=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, url)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ConnectFailed(f"the proxy answered HTTP {error.status}: {error.message}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return ConnectFailed("the reply broke off", begun=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return ConnectFailed(f"what the server sent is not HTTP: {error.message}")
    # A server may close an idle connection just as it is used again; aiohttp does not tell that from a reset.
    stale = isinstance(error, aiohttp.ClientOSError)
    return ConnectFailed(f"the connection failed: {error or type(error).__name__}", stale=stale)


def _harmless(error: Exception) -> Exception | None:
    """What may be shown as the cause: aiohttp's errors hold the request's headers and the proxy's URL."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error if isinstance(error, TimeoutError) else None


def _no_connection(error: aiohttp.ClientConnectorError, url: str) -> AttemptError | TeacherUnusable:
    cause: Exception = error.os_error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    trouble = tls_trouble(cause)
    if trouble is not None:
        return TeacherUnusable(f"no safe connection to {origin(url)}: {trouble}")
    words = words_of(error.os_error)
    if error.os_error.errno in NO_SOCKETS:  # less, later: as when the server says so
        return RateLimited(no_socket_words(words))
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return ConnectFailed(f"cannot connect to the proxy {error.host}:{error.port}: {words}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ConnectFailed(f"cannot find the host {error.host}: {words}")
    return ConnectFailed(f"cannot connect: {words}")


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    """The body, unless it is larger than any reply should be."""
    length = reply.content_length
    if length is not None and length <= MAX_BODY and "Content-Encoding" not in reply.headers:
        return await reply.read()
    parts: list[bytes] = []
    size = 0
    async for part in reply.content.iter_any():
        size += len(part)
        if size > MAX_BODY:
            reply.close()
            raise BadReply(f"a body of more than {MAX_BODY} bytes", status=reply.status)
        parts.append(part)
    return b"".join(parts)


async def _read_stream(reply: aiohttp.ClientResponse, seen: Callable[[bytes], None] | None) -> HttpReply:
    """A streamed reply as if it had not been streamed."""
    streamed = StreamedReply(MAX_BODY)
    async for piece in reply.content.iter_any():
        if seen is not None:
            seen(piece)
        streamed.feed(piece)
        if streamed.done:
            break
    framed = (
        reply.content_length is not None or reply.headers.get("Transfer-Encoding", "").lower() == "chunked"
    )
    body = streamed.body(ended=framed)
    with anyio.move_on_after(_END_SECONDS):  # so that the connection can be used again
        await reply.content.readany()
    return HttpReply(streamed.status, reply.headers, body)
