"""What is asked in a load test: request bodies, encoded before they are needed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any

import msgspec

from ..abc import Api, CallShape, Request
from ..errors import ConfigError, Problem, RecordError
from ..io.jsonl import JsonlSource
from ..teacher.sse import streaming_body
from ..teacher.wire import PATHS, encode_request

__all__ = [
    "Question",
    "Questions",
    "encoded_question",
    "fresh_questions",
    "from_requests",
    "read_prompts",
    "salted",
]

_TEMPERATURE = 1.0
_ROW_KEYS = ("n", "max_tokens")
_SHOWN = 20  # mistakes


class Question(msgspec.Struct, frozen=True, gc=False):
    """One request as it is sent: its path below the endpoint's URL, its body, and how to read the reply."""

    path: str
    body: bytes
    shape: CallShape


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to ask.

    Attributes:
        next: the next question; there is always one.
        about: where the questions come from, in words.
        choices: sequences that a request makes, on average.
        distinct: how many different ones there are; None if every one is different.
        size: tokens that prompts and replies were to have; None if nobody said.
    """

    next: Callable[[], Question]
    about: str
    choices: int = 1
    distinct: int | None = None
    size: tuple[int, int] | None = None


def from_requests(requests: Sequence[Request], about: str, *, stream: bool) -> Questions:
    """Questions that ask these requests one after the other, and then again."""
    encoded = [encoded_question(request, stream=stream) for request in requests]
    mean = sum(request.shape.n for request in requests) / len(requests)
    return Questions(
        next=cycle(encoded).__next__,
        about=about,
        choices=max(1, round(mean)),
        distinct=len({question.body for question in encoded}),
    )


def fresh_questions(requests: Sequence[Request], about: str, *, stream: bool) -> Questions:
    """Questions that ask these requests one after the other, and then again, each round with its own salt.

    Sent again as they are, prompts would be found in the server's prefix cache as a whole. Salted they share
    within a round what the requests have in common, and nothing with what was sent before.
    """

    def rounds() -> Iterator[Question]:
        nonce = secrets.token_hex(3)
        for number in count(1):
            for request in requests:
                yield encoded_question(salted(request, f"[{nonce}-{number}]\n"), stream=stream)

    mean = sum(request.shape.n for request in requests) / len(requests)
    return Questions(next=rounds().__next__, about=about, choices=max(1, round(mean)))


def salted(request: Request, salt: str) -> Request:
    """The request with a text before its prompt, or before that of its first message that is a text."""
    prompt = request.prompt
    if isinstance(prompt, str):
        prompt = salt + prompt
    else:
        prompt = [dict(message) for message in prompt]
        for message in prompt:
            if isinstance(message.get("content"), str):
                message["content"] = salt + message["content"]
                break
    return Request(request.shape, prompt, request.depth, request.root, request.path, request.halt)


def encoded_question(request: Request, *, stream: bool) -> Question:
    """A request as it is sent."""
    body = encode_request(request)
    return Question(PATHS[request.shape.api], streaming_body(body) if stream else body, request.shape)


async def read_prompts(file: Path, *, api: Api, model: str, max_tokens: int) -> list[Request]:
    """The requests that a JSONL file of prompts describes.

    Each row has ``prompt`` (text) or ``messages`` (as the chat API takes them), and may have ``n`` and
    ``max_tokens`` of its own; other keys are passed over.

    Raises:
        ConfigError: the file cannot be read, has no rows, or a row is none of this; all mistakes are listed.
    """
    source = JsonlSource(file)
    problems: list[Problem] = []
    requests: list[Request] = []
    number = 0
    try:
        while items := await source.read():
            for item in items:
                number += 1
                try:
                    if isinstance(item, RecordError):
                        raise item
                    requests.append(_request(item, api, model, max_tokens))
                except RecordError as error:
                    problems.append(Problem(file=source.name, message=_placed(error.message, number)))
    finally:
        await source.aclose()
    if problems:
        raise ConfigError(problems[:_SHOWN])
    if not requests:
        raise ConfigError(f"{source.name} holds no prompts")
    return requests


def _placed(words: str, number: int) -> str:
    return words if words.startswith("line ") else f"row {number}: {words}"


def _request(row: dict[str, Any], api: Api, model: str, max_tokens: int) -> Request:
    """One row as a request; a RecordError if it is none."""
    prompt, messages = row.get("prompt"), row.get("messages")
    if messages is not None and (not isinstance(messages, list) or not messages):
        raise RecordError("bad_prompt", "messages must be a list of messages")
    if messages is None and not isinstance(prompt, str):
        raise RecordError("bad_prompt", "expected a text in prompt, or messages")
    params: dict[str, Any] = {"model": model, "temperature": _TEMPERATURE, "max_tokens": max_tokens}
    for key in _ROW_KEYS:
        value = row.get(key)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RecordError("bad_prompt", f"{key} must be a whole number of at least 1")
        params[key] = value
    shape = CallShape.make("chat" if messages is not None else api, params)
    return Request(shape, messages or str(prompt))
