"""The OpenAI-compatible wire: request bodies, reply structs, and what failures say.

Only the fields that are needed are decoded. Servers differ, so every field may be null, missing or of another
type, and usage is read apart from the rest: wrong usage must not cost a reply. Format: the OpenAI API
reference (completions, chat completions, models) and vLLM's additions (``reasoning``, formerly
``reasoning_content``).
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from ..abc import Api, CallShape, Choice, HttpReply, Request
from ..errors import AttemptError, BadReply, RateLimited, RequestRefused, ServerFailed
from .redaction import without
from .refusals import refusal_reason

__all__ = ["PATHS", "Decoded", "decode_models", "decode_reply", "encode_request", "failure", "server_words"]

PATHS: dict[Api, str] = {"completions": "/completions", "chat": "/chat/completions"}
"""Where each API is, below an endpoint's URL."""
WORDS = 500  # characters of a server's message that are kept
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BROKEN_OFF = ("abort", "error")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = None
    text: Any = None
    message: _Message | None = None
    finish_reason: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    logprobs: Any = None


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class Decoded(msgspec.Struct, gc=False):
    """A reply: its choices by index, and its tokens; None when the server did not say."""

    choices: list[Choice]
    tokens: tuple[int, int] | None


_decode = msgspec.json.Decoder(_Reply).decode
_decode_usage = msgspec.json.Decoder(_Usage, strict=False).decode
_decode_models = msgspec.json.Decoder(_Models).decode


def encode_request(request: Request) -> bytes:
    """The JSON body of a request: the shape's part as it is, and the prompt."""
    shape, prompt = request.shape, request.prompt
    content: Any = prompt
    if shape.api == "chat" and isinstance(prompt, str):
        content = [{"role": "user", "content": prompt}]
    return shape.head + orjson.dumps(content) + b"}"


def decode_reply(body: bytes, shape: CallShape) -> Decoded:
    """The choices of a 200 reply, by index and at most ``shape.n`` of them.

    Where the indexes are not distinct whole numbers the order of the choices counts instead.

    Raises:
        BadReply: the body is not a reply, or the server broke one off (vLLM and SGLang say ``abort``).
    """
    try:
        reply = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadReply(f"not a reply ({error}): {server_words(body)[:200]}", status=200) from error
    choices = reply.choices
    if not choices:
        raise BadReply(f"a reply without choices: {server_words(body)[:200]}", status=200)
    if len(choices) > 1:
        choices = _in_order(choices)
    if any(choice.finish_reason in _BROKEN_OFF for choice in choices):
        raise BadReply("the server broke the reply off", status=200)
    return Decoded([_choice(choice) for choice in choices[: shape.n]], _tokens(reply.usage))


def _in_order(choices: list[_Choice]) -> list[_Choice]:
    indexes = [choice.index for choice in choices]
    if not all(type(index) is int for index in indexes) or len(set(indexes)) < len(indexes):
        return choices
    return sorted(choices, key=lambda choice: int(choice.index))


def _choice(choice: _Choice) -> Choice:
    message: _Choice | _Message
    if choice.message is None:
        message, content, refusal = choice, choice.text, None
    else:
        message, content, refusal = choice.message, choice.message.content, choice.message.refusal
    if isinstance(content, list):  # some servers send the text in parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return Choice(
        _text(content),
        _text(choice.finish_reason),
        _text(message.reasoning or message.reasoning_content),
        _text(refusal),
        choice.logprobs,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _tokens(usage: msgspec.Raw) -> tuple[int, int] | None:
    try:
        read = _decode_usage(usage)
    except msgspec.DecodeError:
        return None
    tokens = (read.prompt_tokens, read.completion_tokens)
    return tokens if min(tokens) >= 0 else None


def decode_models(body: bytes) -> list[str]:
    """The model names of a ``/models`` reply.

    Raises:
        BadReply: the body is not a list of models.
    """
    try:
        return [model.id for model in _decode_models(body).data]
    except msgspec.DecodeError as error:
        raise BadReply(f"not a list of models: {_readable(body)[:200]}", status=200) from error


def failure(reply: HttpReply, secrets: Iterable[str] = ()) -> AttemptError:
    """What a reply that is not a 200 means for the attempt."""
    status = reply.status
    message = f"HTTP {status}: {server_words(reply.body, secrets)}"
    reason = refusal_reason(status, reply.body)
    if reason in {"context_length", "content_filter"}:  # whatever the status: asking again is no use
        return RequestRefused(message, status=status, reason=reason)
    if status in {429, 503, 529}:
        return RateLimited(message, status=status, retry_after=retry_after(reply.headers))
    if status >= 500 or status in {408, 425}:
        return ServerFailed(message, status=status)
    return RequestRefused(message, status=status, reason=reason)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a server asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds or as a date.

    None when it does not ask, or asks for nonsense.
    """
    millis = headers.get("retry-after-ms")
    seconds = headers.get("retry-after")
    try:
        if millis is not None:
            return _sane(float(millis) / 1000)
        if seconds is None:
            return None
        return _sane(float(seconds))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(seconds or "")
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return _sane((when - (now or datetime.now(UTC))).total_seconds())


def _sane(seconds: float) -> float | None:
    return seconds if 0 <= seconds < 1e8 else None


def server_words(body: bytes, secrets: Iterable[str] = ()) -> str:
    """What an error body says to people: its message or title, cut, without control bytes and secrets."""
    words = ""
    try:
        words = _message_of(orjson.loads(body))
    except orjson.JSONDecodeError:
        title = _TITLE.search(_readable(body))
        words = title.group(1).strip() if title else ""
    words = words or _readable(body) or "(empty body)"
    return without(words, secrets)[:WORDS]


def _message_of(data: Any) -> str:
    """The message of the known error shapes: ``error.message``, ``message``, ``detail``, ``error``."""
    if not isinstance(data, dict):
        return ""
    inner = data.get("error")
    if isinstance(inner, dict):
        data = inner
    for key in ("message", "detail", "error"):
        if isinstance(data.get(key), str):
            return _CONTROL.sub(" ", data[key])
    return ""


def _readable(body: bytes) -> str:
    return _CONTROL.sub(" ", body[:4096].decode("utf-8", "replace")).strip()
