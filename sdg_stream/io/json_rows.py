"""Lines of JSON to rows, strictly: what cannot be kept exactly as it stands is no row.

orjson reads integers beyond 64 bits as floats, and keeps the last of two values of one key. The first would
change data without a word and makes a line a bad one; so does the second where that is asked for. NaN and
infinities are not JSON.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import orjson

from ..abc import SourceItem
from ..errors import ConfigError, Problem, RecordError
from ..record import Columns

__all__ = ["JsonRows", "is_blank"]

LOOKED_AT = 1000  # rows in which keys that stand twice are looked for
LOOKED_AT_BYTES = 1024 * 1024  # of all these rows together

_BOM = b"\xef\xbb\xbf"
_SUSPECTS = frozenset((float, list, dict))  # types of values that may be, or hold, integers read as floats
_KINDS = bytes.maketrans(b"123456789-\t\r[,:", b"000000000      ")  # digits; what may stand before a number
_HUGE = b" " + 19 * b"0"  # an integer beyond 64 bits has no fewer digits
_LONG = re.compile(rb"-?\d{19,}")
_NUMBERS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|(-?\d+)([.eE][-+.\deE]*)?')  # strings are passed over


class JsonRows:
    """Makes rows of the lines of one input, in order.

    Args:
        name: the input's, for messages.
        max_line_bytes: what a line that is too long was longer than.
        strict: a row in which a key stands twice is a bad one; else the first of them is warned of.
        max_bad: bad lines that are taken; one more ends the run.
    """

    def __init__(self, name: str, *, max_line_bytes: int, strict: bool, max_bad: int | None) -> None:
        self.lines = 0
        """Number of lines read, blank ones included."""
        self.bad = 0
        """How many of them were bad."""
        self.on_warning: Callable[[str, str], None] | None = None
        self._name = name
        self._max_line_bytes = max_line_bytes
        self._strict = strict
        self._max_bad = max_bad
        self._look = LOOKED_AT  # rows that are still to be looked at
        self._look_bytes = LOOKED_AT_BYTES

    def read(self, lines: Sequence[bytes | None]) -> list[SourceItem]:
        """The rows and bad lines among the next lines; None stands for a line that is too long.

        Raises:
            ConfigError: there are more bad lines than are taken.
        """
        items: list[SourceItem] = []
        for line in lines:
            self.lines += 1
            if line is None:
                items.append(self._bad(f"longer than {self._max_line_bytes} bytes"))
                continue
            text = line.removeprefix(_BOM) if self.lines == 1 else line
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                if text.strip():
                    items.append(self._bad(f"not JSON: {error.msg} (column {error.colno})"))
                continue
            if type(row) is not dict:
                items.append(self._bad("not a JSON object"))
                continue
            words = ""
            if not _SUSPECTS.isdisjoint(map(type, row.values())) and _may_hold_huge(row, text):
                words = _beyond_64_bits(text)
            if self._look and not words:
                words = self._twice(text)
            items.append(self._bad(words) if words else row)
        return items

    def pass_over(self, lines: Sequence[bytes | None], roots: int) -> tuple[int, int]:
        """Count lines as read, without reading them, up to so many roots.

        Returns:
            How many lines and roots that were.
        """
        passed = found = 0
        for line in lines:
            if found == roots:
                break
            passed += 1
            found += line is None or not is_blank(line, first=self.lines + passed == 1)
        self.lines += passed
        return passed, found

    def _twice(self, text: bytes) -> str:
        """Why a row in which a key stands twice is a bad one, if it is; else it is warned of."""
        if not self._strict:
            self._look -= 1
            self._look_bytes -= len(text)
            if self._look_bytes < 0:
                return ""
        key = _key_that_stands_twice(text)
        if key is None:
            return ""
        words = f"the key {key!r} stands there twice"
        if self._strict:
            return words
        self._look = 0
        if self.on_warning is not None:
            self.on_warning(
                "duplicate_keys",
                f"{self._name}, line {self.lines}: {words}; the last one counts."
                " There may be more such lines: --strict-input rejects them all",
            )
        return ""

    def _bad(self, words: str) -> RecordError:
        self.bad += 1
        if self._max_bad is not None and self.bad > self._max_bad:
            raise ConfigError(
                Problem(
                    file=self._name,
                    line=self.lines,
                    message=f"{words}; bad lines so far: {self.bad}, --max-bad-input is {self._max_bad}",
                )
            )
        return RecordError("bad_input", f"line {self.lines}: {words}")


def is_blank(line: bytes, *, first: bool = False) -> bool:
    """Whether a line holds nothing; the first one may still hold a byte order mark."""
    return not line or line.isspace() or (first and not line.removeprefix(_BOM).strip())


def _may_hold_huge(row: Columns, text: bytes) -> bool:
    """Whether a float in the row may stand for an integer beyond 64 bits. Quick; it errs to the safe side."""
    nested = False
    for value in row.values():
        kind = type(value)
        if kind is float:
            if value >= 2.0**64 or value <= -(2.0**63):
                return True
        elif kind is list or kind is dict:
            nested = True
    return nested and _HUGE in text.translate(_KINDS)


def _beyond_64_bits(text: bytes) -> str:
    """Where an integer of more than 64 bits stands in a sound line of JSON; empty if it holds none."""
    if all(map(_fits, _LONG.findall(text))):  # ids of 19 digits, say
        return ""
    for found in _NUMBERS.finditer(text):
        digits, rest = found.groups()
        if digits and rest is None and not _fits(digits):
            column = len(text[: found.start()].decode()) + 1
            shown = digits.decode() if len(digits) <= 40 else f"{digits[:37].decode()}..."
            return (
                f"the integer {shown} needs more than 64 bits (column {column}); quote it to keep it as text"
            )
    return ""


def _fits(digits: bytes) -> bool:
    """Whether an integer fits into 64 bits, signed or not."""
    return len(digits) <= 20 and -(2**63) <= int(digits) < 2**64


def _key_that_stands_twice(text: bytes) -> str | None:
    """A key that two values of one object in a line of JSON have, if there is one."""
    twice: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            twice.append(Counter(key for key, _ in pairs).most_common(1)[0][0])

    with suppress(RecursionError):  # too deep to be written again, whatever its keys are
        json.loads(text, object_pairs_hook=look)
    return twice[0] if twice else None
