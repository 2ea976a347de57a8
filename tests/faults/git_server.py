"""An https server on 127.0.0.1 that serves git repositories with git's own program, or as a test wants."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import anyio
import trustme
from aiohttp import web
from aiohttp.web_request import BaseRequest

Handler = Callable[[BaseRequest], Awaitable[web.StreamResponse]]


@cache
def authority() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@asynccontextmanager
async def https_server(handler: Handler, folder: Path) -> AsyncIterator[str]:
    """The address of a server; the certificate to trust is then in ``folder/ca.pem``."""
    authority().cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1").configure_cert(context)
    runner = web.ServerRunner(web.Server(handler), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def smart(folder: Path) -> Handler:
    """Serves the repositories below ``folder`` as git's program for web servers does."""

    async def handle(request: BaseRequest) -> web.StreamResponse:
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        }
        done = await anyio.run_process(
            ["git", "http-backend"], input=await request.read(), env=env, stderr=subprocess.DEVNULL
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)

    return handle


def files(folder: Path) -> Handler:
    """Serves files, as web servers that know nothing of git do."""

    async def handle(request: BaseRequest) -> web.StreamResponse:
        file = anyio.Path(folder, request.path.lstrip("/"))
        if not await file.is_file():
            return web.Response(status=404)
        return web.Response(body=await file.read_bytes())

    return handle
