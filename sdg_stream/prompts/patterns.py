r"""Regular expressions that users write, matched against what a model wrote, within a time limit.

Python's own ``re`` cannot be stopped, and holds everything else up meanwhile: for 20 kB of a reply in which
one tag stands again and again, as models do when they lose the thread, even ``<q>(.*?)<a>(.*?)<end>`` takes
minutes. So ``re`` only says whether a pattern is sound, and ``regex``, which can be stopped, does the work.

The two are made to agree. What ``regex`` has beyond ``re`` is escaped (fuzzy matching ``{e}``, and
``[:alpha:]``); ``\w``, ``\W``, ``\b`` and ``\B`` are spelled out, since ``regex`` counts combining marks as
parts of words, and fractions not. What is left are four control characters that only ``re`` counts as white
space, and references back to groups inside of repeats, about which the two have their own ideas.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["Pattern", "PatternMistake", "PatternTooSlow"]

_WORD = r"\p{L}\p{N}_"
_NO_WORD = (  # everything else; _ is the one connector (Pc) that belongs to words
    r"\p{M}\p{S}\p{Z}\p{C}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}\u203f\u2040\u2054\ufe33\ufe34\ufe4d-\ufe4f\uff3f"
)
_OUTSIDE = {
    r"\w": f"[{_WORD}]",
    r"\W": f"[^{_WORD}]",
    r"\b": f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))",
    r"\B": f"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))",
}
_INSIDE = {r"\w": _WORD, r"\W": _NO_WORD}
_LITERAL = {"{": r"\{", "[": r"\["}
_TOKEN = re.compile(
    r"(?P<escape>\\.) | \[\^?\]?(?P<inside>(?:\\.|[^\]\\])*)\] | \{(?!\d+,?\d*\}|,\d*\})",
    re.DOTALL | re.VERBOSE,
)
_INSIDE_TOKEN = re.compile(r"\\.|\[", re.DOTALL)


class PatternMistake(ValueError):
    """A text that is no regular expression; the message says where it goes wrong."""


class PatternTooSlow(Exception):
    """Matching has been stopped at the time limit; ``seconds`` is that limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not matched within {seconds:g} s")
        self.seconds = seconds


class Pattern:
    """A regular expression of a pipeline file, in which the dot matches newlines too if ``dotall``.

    Attributes:
        source: as it was written.
        groups: how many it has.

    Raises:
        PatternMistake: it is not sound.
    """

    def __init__(self, source: str, *, dotall: bool = True) -> None:
        import regex  # noqa: PLC0415 - slow to import, and few pipelines have patterns

        try:
            checked = re.compile(source, re.DOTALL if dotall else 0)
            flags = (regex.DOTALL if dotall else 0) | regex.VERSION0
            self._pattern = regex.compile(_agreed(source, checked.flags), flags)
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise PatternMistake(str(error)) from error
        self.source = source
        self.groups = checked.groups

    def findall(self, text: str, seconds: float) -> list[Any]:
        """All matches as ``re.findall`` gives them: whole, or the group, or a tuple of the groups.

        Other threads run meanwhile.

        Raises:
            PatternTooSlow: it takes longer than that, or too much memory.
        """
        try:
            found: list[Any] = self._pattern.findall(text, timeout=seconds)
        except (TimeoutError, MemoryError):
            raise PatternTooSlow(seconds) from None
        if self.groups == 1 and found and isinstance(found[0], tuple):  # of a group that is repeated
            return [match for (match,) in found]
        return found

    def matches(self, text: str, seconds: float) -> bool:
        """Whether there is a match anywhere in the text.

        Raises:
            PatternTooSlow: as :meth:`findall`.
        """
        try:
            return self._pattern.search(text, timeout=seconds) is not None
        except (TimeoutError, MemoryError):
            raise PatternTooSlow(seconds) from None


def _agreed(source: str, flags: int) -> str:
    """The pattern in the words of ``regex``; one in verbose mode is taken as it stands."""
    if flags & re.VERBOSE:
        return source
    outside, within = ({}, {}) if flags & re.ASCII else (_OUTSIDE, _INSIDE)

    def spell(token: re.Match[str]) -> str:
        inside = token["inside"]
        if inside is None:
            return outside.get(token[0]) or _LITERAL.get(token[0], token[0])
        before = token[0][: token.start("inside") - token.start()]
        return before + _INSIDE_TOKEN.sub(spell_inside, inside) + "]"

    def spell_inside(token: re.Match[str]) -> str:
        return within.get(token[0]) or _LITERAL.get(token[0], token[0])

    return _TOKEN.sub(spell, source)
