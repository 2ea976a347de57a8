"""Synthetic prompts of a given size: a beginning that all share, then text that no two have in common.

There is no tokenizer here: two tiny requests tell how many tokens of its own the server counts for text of
this kind, and everything is cut to that. No two prompts are alike behind their shared beginning, so that a
prefix cache finds what is meant to be found and nothing else; not even in the next load test of the same
server, since the shared beginning holds a mark of the run.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import Random
from typing import Any

import msgspec

from ..abc import Api, Backend, CallShape, Request
from ..errors import AttemptError, RequestRefused
from ..teacher.sse import streaming_body
from ..teacher.wire import PATHS, decode_reply, encode_request, failure
from .questions import Question, Questions

__all__ = ["WORDS", "Measure", "TokenShape", "measure_text", "synthetic"]

WORDS = """\
    time year people way day man thing woman life child world school state family student group country
    problem hand part place case week company system program question work number night point home water
    room mother area money story fact month lot right study book eye job word business issue side kind
"""
"""What synthetic text is made of."""
_TEXT_CHARACTERS = 200_000
_SHORT, _LONG = 400, 2400  # characters of the two requests
_SECONDS = 60.0  # for one of them
_CHARACTERS_PER_TOKEN = 4.0  # of English, where the server does not say
_FULL_LENGTH: Mapping[str, Any] = {"ignore_eos": True}  # vLLM, SGLang: no end before max_tokens


class TokenShape(msgspec.Struct, frozen=True, kw_only=True):
    """How large requests are, in tokens; ``shared`` of the prompt's are the same in all."""

    prompt: int = 512
    output: int = 128
    shared: int = 0


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """What the server makes of text.

    Attributes:
        characters: per token.
        overhead: tokens that it adds to a prompt, such as those of a chat template.
        told: it told token counts; if not, the two are guesses.
        full_length: it takes the parameter that makes replies exactly as long as was asked for.
    """

    characters: float = _CHARACTERS_PER_TOKEN
    overhead: float = 0.0
    told: bool = False
    full_length: bool = False


async def measure_text(
    backend: Backend, url: str, *, api: Api, model: str, headers: Mapping[str, str]
) -> Measure:
    """Ask for a short and a longer prompt, one token of reply each, and compare their ``usage``.

    Raises:
        AttemptError: neither is answered.
    """
    text = _text(Random(0), _LONG)

    async def tokens(prompt: str, extra: Mapping[str, Any]) -> int:
        shape = CallShape.make(api, {"model": model, "max_tokens": 1, **extra})
        body = encode_request(Request(shape, prompt))
        reply = await backend.send("POST", url + PATHS[api], body, headers=headers, timeout=_SECONDS)
        if reply.status != 200:
            raise failure(reply)
        found = decode_reply(reply.body, shape).tokens
        return found[0] if found else 0

    full_length = True
    try:
        short = await tokens(text[:_SHORT], _FULL_LENGTH)
    except RequestRefused:
        full_length = False
        short = await tokens(text[:_SHORT], {})
    try:
        long = await tokens(text, {})
    except AttemptError:  # a tiny context
        long = 0
    if long <= short:
        return Measure(full_length=full_length)
    characters = (_LONG - _SHORT) / (long - short)
    overhead = max(0.0, short - _SHORT / characters)
    return Measure(characters=characters, overhead=overhead, told=True, full_length=full_length)


def synthetic(
    size: TokenShape, measure: Measure, *, api: Api, model: str, stream: bool, mark: str | None = None
) -> Questions:
    """Endless questions of one size.

    Args:
        size: tokens of prompts and replies.
        measure: what the server makes of text.
        api: how to ask.
        model: whom to ask.
        stream: ask for streamed replies.
        mark: at the beginning of all prompts; by default one that no other run has.
    """
    params: dict[str, Any] = {"model": model, "temperature": 1.0, "max_tokens": size.output}
    if measure.full_length:
        params |= _FULL_LENGTH
    shape = CallShape.make(api, params)
    head, _, tail = encode_request(Request(shape, "@@")).rpartition(b"@@")
    if stream:
        tail = streaming_body(tail)
    text = _text(Random(1), _TEXT_CHARACTERS).encode()
    mark = secrets.token_hex(4) if mark is None else mark
    shared = _cut(text, round(size.shared * measure.characters)) if size.shared else b""
    head += mark.encode() + b" " + shared + b" "
    room = (size.prompt - size.shared - measure.overhead) * measure.characters - len(mark) - 8
    path = PATHS[api]
    cut = _cutter(text, max(0, round(room)))
    numbers = count()

    def ask() -> Question:
        number = next(numbers)
        return Question(path, b"%b%06d %b%b" % (head, number, cut(number), tail), shape)

    return Questions(next=ask, about=_words(size, measure), size=(size.prompt, size.output))


def _words(size: TokenShape, measure: Measure) -> str:
    shared = f", {size.shared} of them shared" if size.shared else ""
    exactly = "" if measure.full_length else "up to "
    guessed = "" if measure.told else " (4 characters a token, as the server tells no counts)"
    return f"synthetic, {size.prompt} tokens{shared}, replies of {exactly}{size.output}{guessed}"


def _text(draw: Random, characters: int) -> str:
    words: Sequence[str] = draw.choices(WORDS.split(), k=characters // 4)
    return " ".join(words)[:characters]


def _cutter(text: bytes, length: int) -> Callable[[int], bytes]:
    """Gives for each number another piece of the text."""
    while len(text) < 2 * length:
        text += text
    places = len(text) - length + 1

    def cut(number: int) -> bytes:
        begin = (number * 7919) % places  # a prime: neighbours do not overlap
        return text[begin : begin + length]

    return cut


def _cut(text: bytes, length: int) -> bytes:
    return (text * (length // len(text) + 1))[:length]
