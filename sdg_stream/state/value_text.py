"""Values as a person reads them: short ones in a line, longer ones as the lines that changed."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

__all__ = ["ABSENT", "changed_lines", "shown"]

ABSENT: Any = object()
"""Stands for a value that is not there, which null is not."""

SHORT = 60
WIDTH = 96
MAX_LINES = 12

_BARE = re.compile(r"[^\W\d][\w./:@+-]*")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # as YAML reads them
_SENTENCE_END = re.compile(r"(?<=[.!?;:]) ")


def shown(value: Any) -> str | None:
    """Plain data (or :data:`ABSENT`, as empty text) in one short line; None if it does not fit."""
    if value is ABSENT:
        return ""
    if isinstance(value, dict) and "!digest" in value:
        return f"{value['bytes']} bytes ({value['!digest'][:8]})"
    line = _quoted(value) if isinstance(value, str) else _json(value)
    return line if len(line) <= SHORT and not (isinstance(value, str) and "\n" in value) else None


def _quoted(value: str) -> str:
    """A text, in quotes where it could be taken for something else."""
    text = value.removeprefix("!str ")
    tagged = value.startswith("!") and text is value
    if tagged or (_BARE.fullmatch(text) and text.lower() not in _NOT_TEXT):
        return text
    return f'"{text}"' if text.isprintable() else json.dumps(text, ensure_ascii=False)


def changed_lines(old: Any, new: Any) -> tuple[str, ...]:
    """A unified diff of two values' texts, one line of context, without headers, cut to a readable length."""
    lines = [
        "..." if line.startswith("@@") else f"{line[0]} {line[1:]}"
        for line in list(unified_diff(list(_units(old)), list(_units(new)), n=1, lineterm=""))[3:]
    ]
    if not lines:
        return ("only white space differs",)
    rest = len(lines) - MAX_LINES
    return tuple(lines) if rest <= 1 else (*lines[:MAX_LINES], f"... {rest} more lines")


def _units(value: Any) -> Iterator[str]:
    """The lines of a value's text, none too wide: long lines are broken after sentences, then at words."""
    for line in _text(value).split("\n") if value is not ABSENT else ():
        for sentence in _SENTENCE_END.split(line) if len(line) > WIDTH else [line]:
            yield from textwrap.wrap(sentence, WIDTH) or [""]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.removeprefix("!str ")
    if isinstance(value, list):
        return "\n".join(map(_json, value))
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_json(item)}" for key, item in value.items())
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(_untagged(value), ensure_ascii=False, sort_keys=True)


def _untagged(value: Any) -> Any:
    """A value without the marks that only tell it from others of the same text."""
    if isinstance(value, str):
        return value.removeprefix("!str ")
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if isinstance(value, dict):
        return value["!set"] if "!set" in value else {key: _untagged(item) for key, item in value.items()}
    return value
