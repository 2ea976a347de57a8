"""Plain data into msgspec structs, listing every mistake with its path instead of stopping at the first.

msgspec itself stops at the first mistake and does not know the nearest key; so each field is converted on
its own here, and only the places that are wrong cost anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from ..errors import Problem
from .yaml import Document

__all__ = ["decode_struct", "nearest", "shown"]

T = TypeVar("T", bound=msgspec.Struct)

_NAMES = {"str": "text", "object": "a mapping", "array": "a list", "bool": "true or false", "null": "null"}


def decode_struct(
    document: Document, path: str, data: Any, struct: type[T], problems: list[Problem]
) -> T | None:
    """Convert a mapping to ``struct``; None, with the mistakes appended to ``problems``, if it has any.

    Text that reads as a number is taken where a number is wanted, as upstream does.
    """
    if not isinstance(data, dict):
        problems.append(document.problem(path, f"expected a mapping, got {shown(data)}"))
        return None
    before = len(problems)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    if struct.__struct_config__.forbid_unknown_fields:
        for key in data:
            if key not in fields:
                problems.append(document.problem(f"{path}.{key}", unknown_key(str(key), fields)))
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in data:
            values[field.name] = _decode_field(document, f"{path}.{key}", data[key], field.type, problems)
        elif field.required:
            problems.append(document.problem(path, f"the key {key!r} is missing"))
    if len(problems) > before:
        return None
    try:
        return struct(**values)
    except (ValueError, TypeError) as error:  # raised by the struct's own __post_init__
        problems.append(document.problem(path, str(error)))
        return None


def _decode_field(document: Document, path: str, value: Any, kind: Any, problems: list[Problem]) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return decode_struct(document, path, value, kind, problems)
    if get_origin(kind) is dict and isinstance(value, dict):  # msgspec does not say which key was wrong
        inner = get_args(kind)[1]
        return {
            key: _decode_field(document, f"{path}.{key}", item, inner, problems)
            for key, item in value.items()
        }
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        words, _, inner = str(error).partition(" - at `$")
        where = f"{path}{inner.rstrip('`')}"
        expected, got, _ = words.partition(", got ")
        if got:
            words = f"{_friendly(expected)}, got {shown(_value_at(value, inner.rstrip('`')))}"
        problems.append(document.problem(where, words[0].lower() + words[1:]))
        return None


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The message for a key that nothing reads, naming the nearest one that something does."""
    names = sorted(known)
    close = nearest(key, names)
    hint = f"did you mean {close!r}?" if close else f"known keys: {', '.join(names) or 'none'}"
    return f"unknown key {key!r}; {hint}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like ``word``, or None if none is."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def shown(value: Any) -> str:
    """A value as a person would write it in YAML, cut to a readable length."""
    if value is None:
        return "null"
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _friendly(expected: str) -> str:
    kinds, of_length, length = expected.removeprefix("Expected ").partition(" of length")
    names = [_NAMES.get(kind, kind) for kind in kinds.strip("`").split(" | ")]
    return f"expected {' or '.join(names)}{of_length}{length}"


def _value_at(value: Any, inner: str) -> Any:
    """Follow msgspec's path (``[0].name``; ``[...]`` for any mapping value) as far as it is exact."""
    for step in inner.replace("]", "").replace("[", ".").split("."):
        if not step:
            continue
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            break
    return value
