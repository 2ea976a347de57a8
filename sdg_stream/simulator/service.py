"""The simulated teacher's endpoints."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
from aiohttp import web
from aiohttp.web_request import BaseRequest

from .call_log import CallLog
from .calls import Calls, Reader
from .misbehave import JSON, SERVER
from .settings import SimulatorSettings
from .stats import SimulatorStats, render_metrics
from .wire import read_chat, read_completion

__all__ = ["OWNER", "Service"]

OWNER = "sdg-stream-simulation"
_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Server": SERVER}
_WELCOME = "This is sdg_stream's simulated teacher: a simulation, no model runs here. Its API is under /v1.\n"


class Service:
    """All endpoints of one simulated teacher.

    Args:
        settings: what it is like.
        loop: for the timers of its slots.
        log: where each call is written to.
    """

    def __init__(
        self, settings: SimulatorSettings, loop: AbstractEventLoop, log: CallLog | None = None
    ) -> None:
        self.settings = settings
        self.calls = Calls(settings, loop, log)
        self._readers: dict[str, Reader] = {}
        if "completions" in settings.apis:
            self._readers["/v1/completions"] = read_completion
        if "chat" in settings.apis:
            self._readers["/v1/chat/completions"] = read_chat
        self._started = int(time.time())
        self._pages: dict[tuple[str, str], Callable[[], web.Response]] = {
            ("GET", "/"): lambda: _text(_WELCOME),
            ("GET", "/health"): lambda: _text(""),
            ("GET", "/version"): lambda: _json({"version": "0.0.0+simulation"}),
            ("GET", "/v1/models"): self._models,
            ("GET", "/metrics"): lambda: _text(self.metrics()),
            ("GET", "/stats"): lambda: _json(msgspec.to_builtins(self.stats(), str_keys=True)),
            ("POST", "/reset"): self._reset,
        }

    def stats(self) -> SimulatorStats:
        """All numbers, as they are now."""
        return self.calls.counters.snapshot(self.calls.scheduler, self.calls.faults.counts)

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer any request."""
        path = request.path
        reader = self._readers.get(path)
        if reader is not None and request.method == "POST":
            return await self.calls.answer(request, reader)
        page = self._pages.get((request.method, path))
        if page is not None:
            return page()
        if reader is not None or any(path == known for _, known in self._pages):
            return _json({"detail": "Method Not Allowed"}, 405)
        return _json({"detail": "Not Found"}, 404)

    def _models(self) -> web.Response:
        model = {
            "id": self.settings.model,
            "object": "model",
            "created": self._started,
            "owned_by": OWNER,
            "root": self.settings.model,
            "parent": None,
            "max_model_len": self.settings.max_model_len,
        }
        return _json({"object": "list", "data": [model]})

    def metrics(self) -> str:
        """The text of ``/metrics``."""
        return render_metrics(self.settings, self.calls.counters, self.calls.scheduler)

    def _reset(self) -> web.Response:
        self.calls.reset()
        return _json({"reset": True})


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(data), headers=JSON)


def _text(text: str) -> web.Response:
    return web.Response(body=text.encode(), headers=_TEXT)
