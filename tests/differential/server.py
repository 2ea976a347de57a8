"""The teacher both sides talk to: a small OpenAI-compatible server whose reply is a function of the prompt.

Upstream and sdg_stream ask in different ways (lists of prompts against single prompts, one order against
another), so only a teacher without memory lets their rows be compared. A reply depends on the text of the
prompt and the number of the choice, and on nothing else. Cases bring their replies along inside the prompt:

``@@REPLIES ["a", null]``   choice *i* is answered with entry *i* modulo the length of the list
``@@ECHO``                  the prompt as it arrived, directives cut off: shows what was really sent
``@@PARAMS ["n", "stop"]``  these request parameters as JSON: shows what gen_kwargs became
``@@FAIL 400``              the request with this prompt is answered with that HTTP status
``@@SHORT 1``               only so many choices come back for this prompt, whatever ``n`` says
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from aiohttp import web

Reply = Callable[[str, int, Mapping[str, Any]], str | None]
"""Prompt, number of the choice, request body -> text of the choice (None is JSON null)."""

MODEL = "teacher-1"


class RefusedError(Exception):
    """The request is answered with an HTTP error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Manners:
    """How the server treats lists of prompts and ``n``; the defaults are those of a good server."""

    list_status: int = 200
    """HTTP status for a list of prompts; other than 200 the server takes single prompts only."""
    honours_n: bool = True
    """False: one choice per prompt, whatever ``n`` says."""
    models: tuple[str, ...] = (MODEL,)
    """What the server lists."""
    greeting: str = "a deterministic teacher"
    """Body of ``GET /``; upstream looks for the words of one old server there."""


def directive(prompt: str, name: str) -> Any:
    """JSON value that follows ``@@name`` in the prompt, or None if there is no such directive."""
    _, found, rest = prompt.partition(f"@@{name} ")
    return json.JSONDecoder().raw_decode(rest)[0] if found else None


def scripted(prompt: str, choice: int, body: Mapping[str, Any]) -> str | None:
    """Answer by the directives in the prompt; without one, by a digest of prompt and choice."""
    status = directive(prompt, "FAIL")
    if status is not None:
        raise RefusedError(status, "as the prompt asked for")
    replies = directive(prompt, "REPLIES")
    if replies is not None:
        return replies[choice % len(replies)] if replies else ""
    names = directive(prompt, "PARAMS")
    if names is not None:
        return json.dumps({name: body[name] for name in names if name in body}, sort_keys=True)
    if "@@ECHO" in prompt:
        return prompt.replace("@@ECHO", "")
    return f"reply {choice} to {digest(prompt)}"


def digest(prompt: str) -> str:
    """16 hex digits that stand for a prompt in a transcript; the prompt cannot be had back from them."""
    return blake2b(prompt.encode(), digest_size=8).hexdigest()


def from_transcript(transcript: Mapping[str, list[str | None]]) -> Reply:
    """Reply with what a transcript holds for the prompt's digest, and with nothing else.

    A prompt that differs in one byte from what upstream sent is answered with HTTP 422.
    """

    def reply(prompt: str, choice: int, body: Mapping[str, Any]) -> str | None:
        choices = transcript.get(digest(prompt))
        if choices is None or choice >= len(choices):
            raise RefusedError(422, f"choice {choice} of prompt {digest(prompt)} is not in the transcript")
        return choices[choice]

    return reply


def keep_transcript(reply: Reply, transcript: dict[str, list[str | None]]) -> Reply:
    """Wrap a reply function so that every answer it gives is written into ``transcript``."""

    def keep(prompt: str, choice: int, body: Mapping[str, Any]) -> str | None:
        text = reply(prompt, choice, body)
        choices = transcript.setdefault(digest(prompt), [])
        if choice == len(choices):
            choices.append(text)
        return text

    return keep


@asynccontextmanager
async def serve(reply: Reply = scripted, manners: Manners | None = None) -> AsyncIterator[str]:
    """Serve on a free loopback port; gives the base URL, which ends in ``/v1``."""
    runner = web.AppRunner(_app(reply, manners or Manners()))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


def _app(reply: Reply, manners: Manners) -> web.Application:
    async def completions(request: web.Request) -> web.Response:
        body = await request.json()
        prompts = body["prompt"]
        if isinstance(prompts, list) and manners.list_status != 200:
            return _error(manners.list_status, "one prompt at a time, please")
        prompts = prompts if isinstance(prompts, list) else [prompts]
        return _answer(lambda: _texts(reply, manners, prompts, body), _completion)

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        prompt = "\n".join(str(message["content"]) for message in body["messages"])
        return _answer(lambda: _texts(reply, manners, [prompt], body), _chat_completion)

    async def models(_: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model"} for name in manners.models]
        return web.json_response({"object": "list", "data": listed})

    async def greet(_: web.Request) -> web.Response:
        return web.Response(text=manners.greeting)

    app = web.Application()
    app.add_routes(
        [
            web.get("/", greet),
            web.get("/v1/models", models),
            web.post("/v1/completions", completions),
            web.post("/v1/chat/completions", chat),
        ]
    )
    return app


def _texts(reply: Reply, manners: Manners, prompts: list[str], body: Mapping[str, Any]) -> list[str | None]:
    """All choices of the first prompt, then all of the second, and so on."""
    texts = []
    wanted = (body.get("n") or 1) if manners.honours_n else 1
    if not isinstance(wanted, int):
        raise RefusedError(400, "n is not a whole number")
    for prompt in prompts:
        short = directive(prompt, "SHORT")
        count = wanted if short is None else min(short, wanted)
        texts += [reply(prompt, choice, body) for choice in range(count)]
    return texts


def _answer(texts: Callable[[], list[str | None]], shape: Callable[[int, str | None], Any]) -> web.Response:
    try:
        choices = [shape(index, text) for index, text in enumerate(texts())]
    except RefusedError as refused:
        return _error(refused.status, str(refused))
    usage = {"prompt_tokens": 1, "completion_tokens": len(choices), "total_tokens": 1 + len(choices)}
    return web.json_response(
        {"id": "reply", "created": 0, "model": MODEL, "choices": choices, "usage": usage}
    )


def _completion(index: int, text: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "finish_reason": "stop", "logprobs": None}


def _chat_completion(index: int, text: str | None) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"index": index, "message": message, "finish_reason": "stop", "logprobs": None}


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "error", "code": status}}, status=status)
