"""Text for screens: harmless, on one line, cut to a width, numbers readable, columns aligned.

What a teacher or a user's file says may hold terminal escape sequences: they could retitle the window, move
the cursor or hide text. Everything that did not come from this package goes through :func:`clean` first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["aligned", "clean", "clock", "count", "one_line", "plural", "size"]

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\n\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC, ...
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one byte
    r"|\x1b[ -/]*[0-~]?"  # the rest, and the beginning of an OSC without an end, which hides nothing then
)
_LINE_ENDS = re.compile(r"\r\n?|[\x85\u2028\u2029]")
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # text direction: makes a line read as another one
    "\ud800-\udfff]"  # lone surrogates: cannot be encoded
)


def clean(text: str) -> str:
    """``text`` without anything that a terminal would act on; tabs and newlines stay."""
    return _HARMFUL.sub("", _LINE_ENDS.sub("\n", _ESCAPES.sub("", text)))


def one_line(text: str, width: int = 0) -> str:
    """``text`` cleaned, on one line, cut to ``width`` characters when that is not 0."""
    line = " ".join(clean(text).split())
    return line if not width or len(line) <= width else f"{line[: max(width - 1, 0)]}…"


def clock(seconds: float) -> str:
    """Seconds as ``0:42`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}"


def size(number: int) -> str:
    """A number of bytes: ``512 bytes``, ``5.6 MB`` (of 1,000,000 bytes)."""
    if number < 1000:
        return plural(number, "byte")
    units, value = ("kB", "MB", "GB", "TB"), number / 1000
    step = 0
    while value >= 999.95 and step < len(units) - 1:
        value, step = value / 1000, step + 1
    return f"{value:,.1f} {units[step]}"


def plural(number: int, word: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count(number)} {word}" if number == 1 else f"{count(number)} {word}s"


def aligned(rows: Sequence[Sequence[str]], *, left: frozenset[int] = frozenset({0})) -> list[str]:
    """Lines of a table; columns in ``left`` are flush left, the others flush right."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
