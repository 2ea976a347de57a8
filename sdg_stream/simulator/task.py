"""What a prompt asks for, as far as writing a reply needs to know."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .tags import Kind, Tag

__all__ = ["Task", "verdict_words", "without_orders"]

_OPPOSITES = {
    "yes": "no",
    "true": "false",
    "pass": "fail",
    "accept": "reject",
    "correct": "incorrect",
    "supported": "unsupported",
    "relevant": "irrelevant",
    "valid": "invalid",
    "good": "bad",
}
_VERDICT = re.compile(
    rf"\b({'|'.join(_OPPOSITES)})\b\W{{1,4}}(?:or\W{{1,3}})?({'|'.join(_OPPOSITES.values())})\b",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"(?:now|please|provide|generate|write|return|give|create|answer|respond|begin|remember|use)\b",
    re.IGNORECASE,
)


class Task(NamedTuple):
    """What a prompt asks for.

    Attributes:
        tags: of the reply, in order; a plain reply has one with empty texts.
        instructions: the prompt without its filled pairs and its document.
        document: the text to work on; "" if there is none.
        question: the question to answer or to judge, or one to imitate; "" if there is none.
        answer: the answer to judge, or one to imitate; "" if there is none.
        given: kinds of the inputs, so that a judge knows what it judges.
        numbers: what the examples put where a score goes.
        options: what the reply must be one of, if that could be read.
    """

    tags: tuple[Tag, ...]
    instructions: str
    document: str = ""
    question: str = ""
    answer: str = ""
    given: frozenset[Kind] = frozenset()
    numbers: tuple[int, ...] = ()
    options: tuple[str, ...] = ()


@lru_cache(maxsize=256)  # the instructions of one block are the same for all its records
def verdict_words(instructions: str) -> tuple[str, str] | None:
    """The two words that a judge is to choose from, as the instructions spell them; the good one first."""
    for match in _VERDICT.finditer(instructions):
        if _OPPOSITES[match[1].lower()] == match[2].lower():
            return match[1], match[2]
    if re.search(r"\bYES\b", instructions) and re.search(r"\bNO\b", instructions):
        return "YES", "NO"
    return None


def without_orders(text: str) -> str:
    """A text without the lines at its end that tell the teacher what to do with it."""
    lines = text.strip().split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or _ORDER.match(lines[-1].strip())):
        lines.pop()
    return "\n".join(lines).strip()
