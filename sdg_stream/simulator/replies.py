"""The simulated teacher's replies: made from the prompt's own words, and the same for the same request.

A reply depends on the settings' seed, the model, the prompt without its chat template, the choice's index,
and the request's seed and temperature; on nothing else, least of all on time. Lengths are long-tailed: most
replies are short, some are ten times as long. About one judgement in eight is a bad one.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from random import Random

import msgspec

from .compose import Writer, read_material
from .guided import choose, write_json
from .prompt_text import CHARACTERS_PER_TOKEN, token_count
from .questions import write_reply
from .settings import SimulatorSettings
from .wire import Asked

__all__ = ["Reply", "request_key", "service_seconds", "write_replies"]

_SERVICE_TIME = 0x5DEECE66D  # keeps service times independent of texts


class Reply(msgspec.Struct, frozen=True):
    """One choice's text. ``stop_reason`` is the stop text that ended it, if one did."""

    text: str
    finish_reason: str
    stop_reason: str | None
    tokens: int


def request_key(settings: SimulatorSettings, asked: Asked, prompt: str) -> int:
    """A number for everything that a prompt's replies depend on, except the choice's index."""
    parts = (settings.seed, settings.model, asked.seed, asked.temperature, prompt)
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest())


def write_replies(settings: SimulatorSettings, asked: Asked, prompt: str, key: int) -> list[Reply]:
    """The n replies to one prompt, by index; ``key`` is the prompt's :func:`request_key`."""
    if settings.reply is not None:
        return [_cut(settings.reply, asked)] * asked.n
    material = read_material(prompt)
    found: list[Reply] = []
    for index in range(asked.n):
        writer = Writer(material, Random(key + index))
        if asked.choices:
            text = choose(writer, asked.choices)
        elif asked.schema is not None:
            text = write_json(writer, asked.schema)
        else:
            text = write_reply(writer)
        found.append(_cut(text, asked))
    return found


def service_seconds(settings: SimulatorSettings, key: int, index: int) -> float:
    """How long a choice takes in a slot, where lengths do not decide it; 0 for ``tokens`` and ``zero``.

    Public, so that a benchmark can know the best possible time for a set of requests.
    """
    if settings.latency == "fixed":
        return settings.latency_seconds
    if settings.latency != "lognormal" or settings.latency_seconds == 0:
        return 0.0
    sigma = settings.latency_sigma
    mu = math.log(settings.latency_seconds) - sigma * sigma / 2  # so that the mean is latency_seconds
    return Random((key + index) ^ _SERVICE_TIME).lognormvariate(mu, sigma)


def _cut(text: str, asked: Asked) -> Reply:
    """End a text at the first stop text, or at a word's end once it has ``max_tokens``."""
    stops = [(place, stop) for stop in asked.stop if stop and (place := text.find(stop)) >= 0]
    stop_reason = None
    if stops:
        place, stop_reason = min(stops)
        text = text[:place]
    limit = asked.max_tokens * CHARACTERS_PER_TOKEN
    if len(text) <= limit:
        return Reply(text, "stop", stop_reason, token_count(text))
    begin = text[:limit]
    words_end = begin.rfind(" ")
    return Reply(begin[:words_end] if words_end > 0 else begin, "length", None, asked.max_tokens)
