"""Streamed replies, put together to the body that the server would have sent without streaming.

Some proxies cut connections on which nothing moves for a while. A streamed reply keeps moving; what it says
is the same. Format: server-sent events (WHATWG HTML, section 9.2) that carry the chunks of the OpenAI API
reference, closed by ``[DONE]``. Servers that send no such mark (that of transformers) are believed where
HTTP itself says that nothing is missing and every choice has come to its end; any other stream without the
mark was cut off.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from ..errors import BadReply

__all__ = ["StreamedReply", "streaming_body"]

MAX_BYTES = 64 * 1024 * 1024  # kept of one reply
_ASK = b',"stream":true,"stream_options":{"include_usage":true}}'
_TEXTS = ("content", "reasoning", "reasoning_content", "refusal", "text")
_PIECE_BYTES = 64  # what keeping one piece costs beside its characters


def streaming_body(body: bytes) -> bytes:
    """A request's JSON body that asks for the same as a stream."""
    return body[:-1] + _ASK


class StreamedReply:
    """Takes the bytes of a stream in pieces of any size.

    Attributes:
        done: the end mark has come; what follows is not looked at.
        status: 200, or what an error event inside the stream amounts to.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.done = False
        self.status = 200
        self._max_bytes = max_bytes
        self._kept = 0
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._begun = False
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None
        self._error: bytes = b""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            BadReply: this is not a stream of chunks, or it is larger than any reply should be.
        """
        if b"\n" not in piece and b"\r" not in piece:
            self._keep(len(piece) + _PIECE_BYTES)
            self._line.append(piece)
            return
        held = sum(map(len, self._line)) + _PIECE_BYTES * len(self._line)
        lines = b"".join((*self._line, piece)).splitlines(keepends=True)
        self._kept -= held
        # A \r at the end may be half of \r\n: its line waits for what follows.
        last = b"" if lines[-1].endswith(b"\n") else lines.pop()
        self._line = [last] if last else []
        if last:
            self._keep(len(last) + _PIECE_BYTES)
        for line in lines:
            if not self.done:
                self._take_line(line.rstrip(b"\r\n"))

    def body(self, *, ended: bool = False) -> bytes:
        """The whole reply as JSON.

        Args:
            ended: the HTTP reply has come to the end that its length or its chunks told.

        Raises:
            BadReply: the stream was cut off.
        """
        if not self.done:  # perhaps the end mark has come, without the empty line behind it
            for line in (b"".join(self._line).rstrip(b"\r\n"), b""):
                self._take_line(line)
            self._line = []
        if self._error:
            return self._error
        if not self.done and not (ended and self._finished()):
            raise BadReply("the streamed reply was cut off: it did not end with [DONE]", status=200)
        choices = [self._choices[index].whole(index) for index in sorted(self._choices)]
        if choices and all(choice["finish_reason"] is None for choice in choices):
            raise BadReply("the streamed reply was interrupted: no choice has a finish_reason", status=200)
        return orjson.dumps({"choices": choices, "usage": self._usage})

    def _finished(self) -> bool:
        return bool(self._choices) and all(choice.finished for choice in self._choices.values())

    # ------------------------------------------------------------ events

    def _take_line(self, line: bytes) -> None:
        if not self._begun:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._begun = True
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
                self._keep(len(value))
            return
        if self._data:
            data = b"\n".join(self._data)
            self._kept -= sum(map(len, self._data))
            self._data = []
            self._take_event(data)

    def _take_event(self, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            self.done = True
            return
        chunk: Any = None
        with suppress(orjson.JSONDecodeError):  # which keeps the data, and so must not stay as a cause
            chunk = orjson.loads(data)
        if not isinstance(chunk, dict):
            words = data[:200].decode("utf-8", "replace")
            raise BadReply(f"not a chunk of a streamed reply: {words}", status=200)
        if chunk.get("error"):
            self.status, self._error, self.done = _status(chunk), data, True
            return
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                index = choice.get("index")
                index = index if isinstance(index, int) else position
                self._keep(self._choices.setdefault(index, _Choice()).add(choice))

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > self._max_bytes:
            raise BadReply(f"a streamed reply of more than {self._max_bytes} bytes", status=200)


class _Choice:
    """One choice, as far as it has come."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}  # keys that are said once, or again and again
        self._texts: dict[str, list[str]] = {}
        self._parts: list[Any] = []  # of servers that send content as a list of parts
        self._logprobs: dict[str, list[Any]] = {}
        self._chat = False

    @property
    def finished(self) -> bool:
        """Whether it has been said why it ended."""
        return "finish_reason" in self._last

    def add(self, choice: dict[str, Any]) -> int:
        """Take one chunk's share of it; the bytes that keeping it costs."""
        size = self._add_texts({"text": choice.get("text")})
        for key in ("delta", "message"):
            delta = choice.get(key)
            if isinstance(delta, dict):
                self._chat = True
                size += self._add_texts(delta)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            for key, values in logprobs.items():
                if isinstance(values, list):
                    self._logprobs.setdefault(key, []).extend(values)
                    size += _PIECE_BYTES * len(values)
        for key in ("finish_reason", "stop_reason"):
            if choice.get(key) is not None:
                self._last[key] = choice[key]
        return size

    def whole(self, index: int) -> dict[str, Any]:
        """The choice as it stands in a reply that is not streamed."""
        texts: dict[str, Any] = {name: "".join(pieces) for name, pieces in self._texts.items()}
        if self._parts:
            first = [{"type": "text", "text": texts["content"]}] if texts.get("content") else []
            texts["content"] = [*first, *self._parts]
        reply: dict[str, Any] = {"index": index, "finish_reason": None, **self._last}
        if self._chat:
            reply["message"] = {"role": "assistant", "content": None, **texts}
        else:
            reply["text"] = texts.get("text", "")
        if self._logprobs:
            reply["logprobs"] = self._logprobs
        return reply

    def _add_texts(self, said: dict[str, Any]) -> int:
        size = 0
        for name in _TEXTS:
            value = said.get(name)
            if isinstance(value, str):
                self._texts.setdefault(name, []).append(value)
                size += len(value) + _PIECE_BYTES
            elif isinstance(value, list):
                self._parts += value
                size += _PIECE_BYTES * len(value)
        return size


def _status(chunk: dict[str, Any]) -> int:
    """The HTTP status that an error event stands for.

    The server had accepted the request before it failed, and vLLM calls every failure from then on a bad
    request; so it is the server's fault unless it says that it is busy.
    """
    error = chunk["error"]
    for told in (error.get("code") if isinstance(error, dict) else None, chunk.get("code")):
        if isinstance(told, int) and (told == 429 or 500 <= told <= 599):
            return told
    return 500
