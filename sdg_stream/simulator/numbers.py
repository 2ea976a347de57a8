"""Numbers that a prompt's instructions ask for: how many questions, and which scores a judge may give.

The instructions of one block are the same for all its records, so answers are kept for a while.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["asked_count", "scale_of"]

_COUNT = re.compile(
    r"\b(\d{1,3})\s+(?:[a-z-]+\s+){0,3}?(?:questions|queries|instructions|examples|pairs|items|samples|prompts|tasks)\b",
    re.IGNORECASE,
)
_ONE = re.compile(
    r"\b(?:a single|one|exactly 1)\s+(?:[a-z-]+\s+){0,2}?(?:question|query|pair|instruction)\b", re.IGNORECASE
)
_MANY = re.compile(
    r"\b(?:questions|queries|pairs|each question|each pair|instructions:|series of)", re.IGNORECASE
)
_MOST = 200

_SCALES = (  # the first that is found wins; one number alone is the upper end
    re.compile(r"\bscale\s+(?:of|from|between)?\s*(\d+)\s*(?:to|or|and|-|\u2013|/)\s*(\d+)", re.IGNORECASE),
    re.compile(r"\bmaximum[^.\n\d]{0,40}(\d+)", re.IGNORECASE),
    re.compile(r"\b(?:from|between)\s+(\d+)\s*(?:to|and|-|\u2013)\s*(\d+)", re.IGNORECASE),
    re.compile(r"\b(0)\s*(?:/|or)\s*(1)\b"),
    re.compile(r"\b(\d+)\s*(?:-|\u2013)\s*(\d+)\b"),
    re.compile(r"\bout of (\d+)", re.IGNORECASE),
)
_POINTS = re.compile(r"\b(\d+)[- ]point scale", re.IGNORECASE)


@lru_cache(maxsize=256)
def asked_count(instructions: str) -> int | None:
    """How many questions are wanted: a number, 1 for a single one, None for "some"."""
    counts = _COUNT.findall(instructions)
    if counts:
        return max(1, min(int(counts[-1]), _MOST))
    if _ONE.search(instructions) or not _MANY.search(instructions):
        return 1
    return None


@lru_cache(maxsize=256)
def scale_of(instructions: str, examples: tuple[int, ...]) -> tuple[int, int]:
    """The lowest and the highest score; from the examples if the instructions do not say, else 0 and 1."""
    for pattern in _SCALES:
        found = pattern.search(instructions)
        if found:
            numbers = [int(text) for text in found.groups()]
            low, high = (0, numbers[0]) if len(numbers) == 1 else (min(numbers), max(numbers))
            if low < high <= 100:
                return low, high
    points = _POINTS.search(instructions)
    if points and int(points[1]) > 1:
        return 1, int(points[1])
    return (0, max(*examples, 1)) if examples else (0, 1)
