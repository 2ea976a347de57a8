"""The aiohttp backend: one attempt on one wire. The only module that knows aiohttp's client.

Admission is the client's business, so the connector has no limit of its own (aiohttp's default would queue
all above 100 without a word). Connections are kept for less time than servers keep them (uvicorn: 5 s),
replies are asked for uncompressed, redirects are not followed, and proxies of the environment are not used.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from ..abc import HttpReply
from ..errors import AttemptTimeout, BadReply, ConnectFailed

__all__ = ["AiohttpBackend"]

KEEPALIVE_SECONDS = 4.0
CONNECT_SECONDS = 10.0
DNS_SECONDS = 300
MAX_BODY = 64 * 1024 * 1024  # bytes


class AiohttpBackend:
    """Implements :class:`~sdg_stream.abc.Backend`. Construct it on a running event loop."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEPALIVE_SECONDS, ttl_dns_cache=DNS_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "sdg_stream"},
        )
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """One request, the whole reply; see :class:`~sdg_stream.abc.Backend`."""
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=self._timeout(timeout),
                allow_redirects=False,
            ) as reply:
                data = await _read(reply)
                return HttpReply(reply.status, reply.headers, data)
        except TimeoutError as error:
            raise AttemptTimeout(f"no whole reply within {timeout:g} s") from error
        except aiohttp.ServerDisconnectedError as error:
            raise ConnectFailed("the server closed the connection without a reply", stale=True) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise ConnectFailed(f"TLS: {error.certificate_error}") from error
        except aiohttp.ClientConnectorError as error:
            raise ConnectFailed(f"cannot connect: {error.os_error.strerror or error.os_error}") from error
        except aiohttp.ClientPayloadError as error:
            raise ConnectFailed("the reply broke off") from error
        except aiohttp.ClientError as error:
            raise ConnectFailed(f"the connection failed: {error or type(error).__name__}") from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(seconds)
        if found is None:
            found = aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))
            self._timeouts[seconds] = found
        return found


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    """The body, unless it is larger than any reply should be."""
    length = reply.content_length
    if length is not None and length <= MAX_BODY:
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
