"""A backend that answers from a script instead of a network: the double for tests of the teacher client."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson

from ..abc import HttpReply

__all__ = ["ScriptedBackend", "completion_reply", "json_reply"]

Answer: TypeAlias = HttpReply | Exception


class ScriptedBackend:
    """Implements :class:`~sdg_stream.abc.Backend`.

    ``script(path, body)`` gets the URL's path and the decoded JSON body (None for a GET) and gives a reply,
    or an exception to raise; it may be a coroutine function. ``sent`` holds what was asked, in order.
    """

    def __init__(self, script: Callable[[str, Any], Answer | Awaitable[Answer]]) -> None:
        self._script = script
        self.sent: list[tuple[str, Any]] = []
        self.methods: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.timeouts: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.closed = False

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """Answer from the script."""
        path = "/" + url.split("/", 3)[3]
        data = None if body is None else orjson.loads(body)
        self.sent.append((path, data))
        self.methods.append(method)
        self.headers.append(headers)
        self.timeouts.append(timeout)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = self._script(path, data)
            if inspect.isawaitable(answer):
                answer = await answer
        finally:
            self.in_flight -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Remember that the client closed it."""
        self.closed = True


def json_reply(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpReply:
    """A reply with a JSON body."""
    return HttpReply(status, headers or {}, orjson.dumps(data))


def completion_reply(*texts: str | None, usage: tuple[int, int] | None = (10, 5)) -> HttpReply:
    """A completions reply with these choices."""
    data: dict[str, Any] = {
        "choices": [
            {"index": index, "text": text, "finish_reason": "stop"} for index, text in enumerate(texts)
        ]
    }
    if usage is not None:
        data["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return json_reply(data)
