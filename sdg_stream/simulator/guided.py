"""Replies whose form the client dictates: one of some choices, or an instance of a JSON schema."""

from __future__ import annotations

from typing import Any

import orjson

from .compose import Writer
from .tags import kind_of
from .task import verdict_words

__all__ = ["choose", "write_json"]

_DEEPEST = 12


def choose(writer: Writer, choices: list[str]) -> str:
    """One of the choices; where they are a judge's two words, the good one about as often as elsewhere."""
    words = verdict_words(f"{choices[0]} or {choices[-1]}") or verdict_words(f"{choices[-1]} or {choices[0]}")
    if len(choices) == 2 and words:
        return words[not writer.good]
    return writer.draw.choice(choices)


def write_json(writer: Writer, schema: Any) -> str:
    """A small instance of a JSON schema, as JSON text.

    Understood are type, properties, items and their bounds, enum, const, anyOf, oneOf, allOf and local
    references; a text is made for its property's name, as for a tag of that name.
    """
    return orjson.dumps(_Instance(writer, schema).value(schema, "", 0)).decode()


class _Instance:
    def __init__(self, writer: Writer, root: Any) -> None:
        self.writer = writer
        self.root = root

    def value(self, schema: Any, name: str, depth: int) -> Any:  # noqa: PLR0911 - a table of schema forms
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return None if depth > _DEEPEST else self._text({}, name)
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), name, depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.writer.draw.choice(schema["enum"])
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                return self.value(schema[key][0], name, depth + 1)
        kind = schema.get("type") or (
            "object" if "properties" in schema else "array" if "items" in schema else "string"
        )
        kind = kind[0] if isinstance(kind, list) else kind
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number":
                return self._number(schema, name)
            case "boolean":
                return self.writer.good
            case "null":
                return None
            case _:
                return self._text(schema, name)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        names = properties if depth < _DEEPEST // 2 else schema.get("required", ())
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 1)
        count = self.writer.draw.randint(least, max(least, min(schema.get("maxItems", 3), least + 2)))
        return [self.value(schema.get("items", {}), name, depth + 1) for _ in range(count)]

    def _number(self, schema: dict[str, Any], name: str) -> int:
        if kind_of(name) == "score" and "minimum" not in schema and "maximum" not in schema:
            return self.writer.score()
        low = int(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
        high = int(schema.get("maximum", schema.get("exclusiveMaximum", low + 11) - 1))
        return self.writer.draw.randint(low, max(low, high))

    def _text(self, schema: dict[str, Any], name: str) -> str:
        text = self.writer.content(kind_of(name))
        if len(text) < schema.get("minLength", 0):
            text = text.ljust(schema["minLength"], ".")
        return text[: schema.get("maxLength", len(text))]

    def _resolve(self, reference: str) -> Any:
        target = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(step, {}) if isinstance(target, dict) and step else target
        return target
