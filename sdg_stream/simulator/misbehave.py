"""Faults as they look on the wire: connections that break, bodies that end early, replies of a wrong kind."""

from __future__ import annotations

import socket
import struct

import anyio
import orjson
from aiohttp import web
from aiohttp.web_request import BaseRequest

from .payloads import Payload, with_fault
from .settings import Fault
from .wire import error_body

__all__ = ["JSON", "SERVER", "cut_off", "fail", "spoil"]

SERVER = "sdg-stream-simulated-teacher (simulation)"
JSON = {"Content-Type": "application/json", "Server": SERVER}
_HTML = {"Content-Type": "text/html", "Server": SERVER}
_PAGE = b"<html><head><title>Sign in (simulated proxy)</title></head><body>Please sign in.</body></html>\n"
_DRIPS = 20
_LINGER_OFF = struct.pack("ii", 1, 0)  # closing sends RST instead of FIN


async def fail(request: BaseRequest, fault: Fault) -> web.StreamResponse:
    """What a client gets instead of a reply."""
    if fault.kind == "reset":
        cut_off(request, reset=True)
    if fault.kind in ("hang", "reset"):
        await anyio.sleep_forever()  # until the request is cancelled with its connection
    if fault.kind == "html":
        return web.Response(body=_PAGE, headers=_HTML)
    headers = {**JSON, **fault.headers}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    message = fault.message or f"The simulated teacher answers {fault.status} on purpose."
    return web.Response(status=fault.status, body=error_body(fault.status, message), headers=headers)


async def spoil(request: BaseRequest, payload: Payload, fault: Fault) -> web.StreamResponse:
    """A reply with something wrong about it."""
    body = orjson.dumps(with_fault(payload, fault))
    match fault.kind:
        case "slow":
            await anyio.sleep(fault.seconds)
        case "torn_json":
            body = body[: len(body) // 2]
        case "bad_encoding":
            body = body.replace(b"e", b"\xff", 1)
        case "wrong_type":
            return web.Response(body=body, headers={**JSON, "Content-Type": "text/plain; charset=utf-8"})
        case "truncated" | "drip":
            return await _in_pieces(request, body, fault)
    return web.Response(body=body, headers=JSON)


def cut_off(request: BaseRequest, *, reset: bool = False) -> None:
    """Close the connection under a request, with RST if ``reset``."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        transport.abort()
    else:
        transport.close()


async def _in_pieces(request: BaseRequest, body: bytes, fault: Fault) -> web.StreamResponse:
    response = web.StreamResponse(headers={**JSON, "Content-Length": str(len(body))})
    await response.prepare(request)
    if fault.kind == "truncated":
        await response.write(body[: len(body) // 2])
        cut_off(request)
        return response
    size = -(-len(body) // _DRIPS)
    for at in range(0, len(body), size):
        await anyio.sleep(fault.seconds / _DRIPS)
        await response.write(body[at : at + size])
    return response
