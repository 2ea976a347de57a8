"""How large the results of a template's operators, methods and filters will be, before they are computed.

Only of those that can make much out of little. Sizes are characters; items of lists count eight times, and
what else costs time or memory (digits of integers, widths in formats) is weighed as well. Arguments that make
no sense count as nothing: the operation itself will say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

__all__ = ["FILTERS", "MAX_SIZE", "METHODS", "operator_size", "size_of_all"]

MAX_SIZE = 64 * 1024 * 1024
MAX_BITS = 1_000_000  # of an integer
MAX_DIGITS = 1_000  # of a precision, and columns of an indent
MAX_PARTS = 100_000  # as many as Jinja allows of range

Size: TypeAlias = Callable[..., float]

_WIDE_PERCENT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(?:\*|\d{6}|\d*\.(?:\*|\d{6}))")
_WIDE_BRACES = re.compile(r"\{[^{}]*:[^{}]*(?:\d{6}|\{)")


def operator_size(operator: str, left: Any, right: Any) -> float:
    """The size of ``left operator right``."""
    if operator == "%":
        return _percent(left) if isinstance(left, str | bytes) else 0
    if operator == "+":
        return _size(left) + _size(right)
    if operator == "*" and isinstance(left, int) and not isinstance(right, int):
        left, right = right, left
    if not isinstance(right, int):
        return 0
    if not isinstance(left, int):
        return _size(left) * right
    bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
    return _share(bits, MAX_BITS)


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    return 8 * len(value) if isinstance(value, list | tuple) else 0


def size_of_all(items: Iterable[Any]) -> int:
    """Of all texts among the items together."""
    return sum(len(item) for item in items if isinstance(item, str | bytes))


def _share(number: Any, most: int) -> float:
    """A number of which there may be so many, as a size."""
    return number * (MAX_SIZE / most) if isinstance(number, int) else 0


def _percent(form: Any, *_args: Any, **_kwargs: Any) -> float:
    text = form.decode("latin-1") if isinstance(form, bytes) else str(form)
    return float("inf") if _WIDE_PERCENT.search(text) else 0


def _braces(form: str, *_args: Any, **_kwargs: Any) -> float:
    return float("inf") if _WIDE_BRACES.search(form) else 0


def _width(_text: Any, width: Any = 0, *_args: Any, **_kwargs: Any) -> float:
    return width if isinstance(width, int) else 0


def _parts(_items: Any, count: Any = 0, *_args: Any, **_kwargs: Any) -> float:
    return _share(count, MAX_PARTS)


def _lines(text: Any, width: Any = 8, *_args: Any, **_kwargs: Any) -> float:
    if not isinstance(text, str | bytes):
        text = str(text)
    found = (
        text.count(b"\n") + text.count(b"\t")
        if isinstance(text, bytes)
        else text.count("\n") + text.count("\t")
    )
    return len(text) + (found + 1) * (width if isinstance(width, int) else len(str(width)))


def _replaced(text: Any, old: Any = "", new: Any = "", *_args: Any, **_kwargs: Any) -> float:
    if not isinstance(text, bytes):
        text, old, new = str(text), str(old), str(new)
    return len(text) + text.count(old) * len(new) if isinstance(old, type(text)) else 0


def _translated(text: str, table: Any = None, *_args: Any) -> float:
    values = table.values() if isinstance(table, Mapping) else ()
    return len(text) * max((len(value) for value in values if isinstance(value, str)), default=1)


def _wrapped(
    text: Any, _width: Any = 79, _long: Any = True, wrapstring: Any = "", *_args: Any, **_kwargs: Any
) -> float:
    return len(str(text)) * (1 + len(str(wrapstring or "")))


def _joined(items: Any, separator: Any = "", *_args: Any, **_kwargs: Any) -> float:
    if not isinstance(items, list | tuple | dict):  # an iterator cannot be looked at twice
        return 0
    return size_of_all(items) + len(items) * len(str(separator))


def _joined_by(separator: Any, items: Any = (), *_args: Any) -> float:
    return _joined(items, separator)


METHODS: Mapping[str, Size] = {
    "center": _width,
    "expandtabs": _lines,
    "format": _braces,
    "format_map": _braces,
    "join": _joined_by,
    "ljust": _width,
    "replace": _replaced,
    "rjust": _width,
    "to_bytes": _width,
    "translate": _translated,
    "zfill": _width,
}
"""By the name of a method of a text or a number."""

FILTERS: Mapping[str, Size] = {
    "batch": _parts,
    "center": _width,
    "format": _percent,
    "indent": _lines,
    "join": _joined,
    "replace": _replaced,
    "round": lambda _number, precision=0, *_: _share(precision, MAX_DIGITS),
    "slice": _parts,
    "tojson": lambda _value, indent=0, *_: _share(indent, MAX_DIGITS),
    "wordwrap": _wrapped,
}
"""By the name of a filter."""
