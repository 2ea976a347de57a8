"""From the five parts of a prompt config to the source of its template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PARTS", "assemble", "missing_parts", "part_at"]

PARTS = ("system", "introduction", "principles", "examples", "generation")
"""The parts of a prompt config, in the order in which they are joined."""


def assemble(config: Mapping[str, Any]) -> str:
    """The template source: the parts as they are, joined by newlines; null and absent ones are empty."""
    return "\n".join(_text(config, part) for part in PARTS)


def missing_parts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts that the config has no key for."""
    return tuple(part for part in PARTS if part not in config)


def part_at(config: Mapping[str, Any], line: int) -> tuple[str, int]:
    """Which part a line of the template source comes from, and its number in that part, both from 1."""
    for part in PARTS:
        lines = _text(config, part).count("\n") + 1
        if line <= lines:
            return part, line
        line -= lines
    return PARTS[-1], lines


def _text(config: Mapping[str, Any], part: str) -> str:
    value = config.get(part)
    return "" if value is None else str(value)
