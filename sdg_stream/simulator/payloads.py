"""The JSON of replies, whole and streamed, in the shapes of vLLM's OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from .logprobs import chat_logprobs, text_logprobs
from .prompt_text import CHARACTERS_PER_TOKEN, token_count
from .replies import Reply
from .settings import Fault, SimulatorSettings
from .wire import Asked

__all__ = ["DONE", "event", "reply_payload", "stream_events", "usage_event", "with_fault"]

DONE = b"data: [DONE]\n\n"
STREAM_TOKENS = 4  # tokens in one event of a stream
FINGERPRINT = "simulation"

Payload = dict[str, Any]


def reply_payload(
    settings: SimulatorSettings, asked: Asked, found: list[Reply], number: int, now: int
) -> Payload:
    """A whole reply: all choices of prompt 1, then of prompt 2, and so on, with their token counts.

    ``number`` is the request's, for the reply's id; ``now`` is in seconds since the epoch.
    """
    choice = _chat_choice if asked.chat else _text_choice
    return {
        **_head(settings, asked, number, now, chunk=False),
        "choices": [choice(asked, index, reply) for index, reply in enumerate(found)],
        "usage": _usage(asked, found),
    }


def stream_events(
    settings: SimulatorSettings, asked: Asked, index: int, reply: Reply, number: int, now: int
) -> Iterator[bytes]:
    """The events of one choice, a few tokens each; the last one says why it ended."""
    head = _head(settings, asked, number, now, chunk=True)
    size = STREAM_TOKENS * CHARACTERS_PER_TOKEN
    pieces = [reply.text[at : at + size] for at in range(0, len(reply.text), size)]
    if asked.chat:
        yield event({**head, "choices": [_delta(index, {"role": "assistant", "content": ""}, None)]})
        for piece in pieces:
            yield event({**head, "choices": [_delta(index, {"content": piece}, None)]})
        last = _delta(index, {}, reply.finish_reason)
        yield event({**head, "choices": [{**last, "stop_reason": reply.stop_reason}]})
        return
    for piece in pieces:
        choice = {"index": index, "text": piece, "logprobs": None, "finish_reason": None, "stop_reason": None}
        yield event({**head, "choices": [choice]})
    yield event({**head, "choices": [{**_text_choice(asked, index, reply), "text": "", "logprobs": None}]})


def usage_event(
    settings: SimulatorSettings, asked: Asked, found: list[Reply], number: int, now: int
) -> bytes:
    """The event with the token counts, which has no choices."""
    head = _head(settings, asked, number, now, chunk=True)
    return event({**head, "choices": [], "usage": _usage(asked, found)})


def event(payload: Payload) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def with_fault(payload: Payload, fault: Fault) -> Payload:
    """A reply with something wrong in its content."""
    if fault.kind == "no_usage":
        return {key: value for key, value in payload.items() if key != "usage"}
    change = _CHANGES.get(fault.kind)
    return payload if change is None else {**payload, "choices": change(payload["choices"])}


def _head(settings: SimulatorSettings, asked: Asked, number: int, now: int, *, chunk: bool) -> Payload:
    prefix = "chatcmpl" if asked.chat else "cmpl"
    kind = ("chat.completion.chunk" if chunk else "chat.completion") if asked.chat else "text_completion"
    return {
        "id": f"{prefix}-simulated-{number}",
        "object": kind,
        "created": now,
        "model": settings.model,
        "system_fingerprint": FINGERPRINT,
    }


def _text_choice(asked: Asked, index: int, reply: Reply) -> Payload:
    prompt = asked.sent[index // asked.n] if asked.echo else ""
    return {
        "index": index,
        "text": prompt + reply.text,
        "logprobs": None if asked.logprobs is None else text_logprobs(reply.text, asked.logprobs),
        "finish_reason": reply.finish_reason,
        "stop_reason": reply.stop_reason,
    }


def _chat_choice(asked: Asked, index: int, reply: Reply) -> Payload:
    return {
        "index": index,
        "message": {"role": "assistant", "content": reply.text},
        "logprobs": None if asked.logprobs is None else chat_logprobs(reply.text, asked.logprobs),
        "finish_reason": reply.finish_reason,
        "stop_reason": reply.stop_reason,
    }


def _delta(index: int, delta: Payload, reason: str | None) -> Payload:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _usage(asked: Asked, found: list[Reply]) -> dict[str, int]:
    prompt_tokens = sum(map(token_count, asked.sent))
    completion_tokens = sum(reply.tokens for reply in found)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _with_text(choice: Payload, text: str | None) -> Payload:
    if "message" in choice:
        return {**choice, "message": {**choice["message"], "content": text}}
    return {**choice, "text": text}


def _with_reasoning(choice: Payload) -> Payload:
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    emptied = _with_text(choice, None)
    if "message" in emptied:
        return {**emptied, "message": {**emptied["message"], "reasoning": text, "reasoning_content": text}}
    return {**emptied, "reasoning": text}


_CHANGES: dict[str, Callable[[list[Payload]], list[Payload]]] = {
    "fewer_choices": lambda choices: choices[:-1],
    "extra_choice": lambda choices: [*choices, {**choices[-1], "index": len(choices)}],
    "shuffled": lambda choices: choices[1::2] + choices[::2],
    "no_choices": lambda _: [],
    "null_text": lambda choices: [_with_text(choice, None) for choice in choices],
    "empty_text": lambda choices: [_with_text(choice, "") for choice in choices],
    "reasoning_only": lambda choices: [_with_reasoning(choice) for choice in choices],
    "content_filter": lambda choices: [{**choice, "finish_reason": "content_filter"} for choice in choices],
}
