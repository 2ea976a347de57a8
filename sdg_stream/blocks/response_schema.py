"""Structured output: a JSON schema is sent with each request, and replies are read and checked by it.

Servers take the schema in different places, see :func:`schema_params`. Whatever a server makes of it, a reply
only counts if it is JSON that the schema allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import orjson

from ..abc import Context
from ..config.yaml import load_yaml
from ..errors import ConfigError
from ..prompts.parsing import AT_ONCE, PATIENCE, SlowReply
from ..prompts.patterns import Pattern, PatternTooSlow
from .gen_kwargs import GenKwargs

__all__ = ["SchemaParser", "load_schema", "schema_params"]

_FENCE = "```"
_LANGUAGE = re.compile(r"[\w-]*")  # behind a fence
_OTHER_WAYS = (
    "response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
)  # fmt: skip


def load_schema(context: Context, schema: Mapping[str, Any] | str, kwargs: GenKwargs) -> dict[str, Any]:
    """The schema of a block's config: a mapping, or the path of a JSON or YAML file beside the pipeline.

    Raises:
        ConfigError: the file holds no mapping, or ``gen_kwargs`` dictate the replies' form too.
    """
    for key in _OTHER_WAYS:
        if getattr(kwargs, key) is not None or key in kwargs.extra_body:
            raise ConfigError(f"{context.name}: response_schema and gen_kwargs.{key} exclude each other")
    if not isinstance(schema, str):
        return dict(schema)
    document = load_yaml(context.find(schema))
    if not isinstance(document.data, dict):
        raise ConfigError(document.problem("$", "a JSON schema is a mapping"))
    return document.data


def schema_params(context: Context, schema: dict[str, Any]) -> dict[str, Any]:
    """The request parameter that tells the server of the schema.

    ``response_format`` is OpenAI's and what vLLM, llama.cpp, Ollama and SGLang take at both APIs;
    ``guided_json`` is the own way of older vLLMs, ``structured_outputs`` that of newer ones. ``strict`` is
    set where the schema obeys OpenAI's rules for it, since OpenAI refuses others.
    """
    way = getattr(context.teacher, "structured", "response_format")
    if way == "guided_json":
        return {"guided_json": schema}
    if way == "structured_outputs":
        return {"structured_outputs": {"json": schema}}
    name = re.sub(r"[^A-Za-z0-9_-]", "_", context.name)[:64]
    wanted = {"name": name, "schema": schema, "strict": _is_strict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def _is_strict(schema: Any) -> bool:
    """Whether a schema obeys OpenAI's rules: an object, and every object closed with all keys required."""
    return schema.get("type") == "object" and all(
        part.get("additionalProperties") is False and set(part["properties"]) <= set(part.get("required", ()))
        for part in _parts(schema)
        if isinstance(part.get("properties"), dict)
    )


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and everything in it that is a mapping."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _parts(value)


class SchemaParser:
    """Implements :class:`~sdg_stream.prompts.parsing.Parser` for replies that are JSON.

    An object is a row, a list of objects a row for each; properties become the columns of the same name, null
    for one that is missing and need not be there. Code fences around the JSON are taken off.

    Raises:
        ConfigError: jsonschema is not installed, the schema is not one, refers to other documents, allows
            something else than objects or lists of objects, or has no property for a column.
    """

    def __init__(self, name: str, schema: dict[str, Any], columns: Sequence[str]) -> None:
        self._errors = _validator(name, schema, AT_ONCE).iter_errors
        self._errors_later = _validator(name, schema, PATIENCE).iter_errors
        self.columns = tuple(dict.fromkeys(columns))
        self.one_row = schema.get("type") == "object"
        known = _properties(schema if self.one_row else schema.get("items"))
        if known is None:
            raise ConfigError(
                f"{name}: response_schema must be of type object with properties, or a list of such objects"
            )
        if not self.columns:
            raise ConfigError(f"{name}: no reply can be read: output_cols is empty")
        if unknown := [column for column in self.columns if column not in known]:
            words = f"response_schema has no property {unknown[0]!r}; it has: {', '.join(known) or 'none'}"
            raise ConfigError(f"{name}: {words}")

    def parse(self, text: str) -> list[dict[str, Any]]:
        """The rows in a reply; none if it is not JSON that the schema allows.

        Raises:
            SlowReply: a ``pattern`` of the schema takes longer than 50 ms to be matched.
        """
        try:
            data = _decoded(text)
        except orjson.JSONDecodeError:
            return []
        try:
            return self._rows(data, self._errors)
        except PatternTooSlow:
            raise SlowReply(partial(self._rows, data, self._errors_later)) from None

    def _rows(self, data: Any, errors: Callable[[Any], Iterator[Any]]) -> list[dict[str, Any]]:
        if next(errors(data), None) is not None:
            return []
        rows = data if isinstance(data, list) else [data]
        return [{column: row.get(column) for column in self.columns} for row in rows]

    def missed(self, text: str) -> str:
        """What is wrong with a reply that gave no row."""
        try:
            data = _decoded(text)
        except orjson.JSONDecodeError as error:
            return f"it is not JSON ({error})"
        try:
            wrong = next(self._errors(data), None)
        except PatternTooSlow as slow:
            return f"a pattern of response_schema was {slow}"
        if wrong is None:
            return "it is an empty list"
        return f"response_schema does not allow it: {wrong.json_path}: {wrong.message[:200]}"


def _properties(schema: Any) -> dict[str, Any] | None:
    """The properties of an object's schema; None if it is something else's."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return None
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else None


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        begin = text.find(_FENCE) + len(_FENCE)
        end = text.find(_FENCE, begin)
        if begin < len(_FENCE) or end < 0:
            raise
    language = _LANGUAGE.match(text, begin)
    return orjson.loads(text[language.end() if language else begin : end])


def _validator(name: str, schema: dict[str, Any], seconds: float) -> Any:
    """What checks replies; it gives each ``pattern`` of the schema so many seconds at most."""
    import jsonschema  # noqa: PLC0415 - slow to import
    import referencing  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigError(f"{name}: response_schema: {error.json_path}: {error.message}") from error
    registry = referencing.Registry().with_resource("", DRAFT202012.create_resource(schema))
    for part in _parts(schema):
        if isinstance(part.get("patternProperties"), dict):  # matched by re, which cannot be stopped
            raise ConfigError(
                f"{name}: response_schema: patternProperties is not supported; name the properties"
            )
        reference = part.get("$ref")
        if isinstance(reference, str):
            try:
                registry.resolver("").lookup(reference)
            except referencing.exceptions.Unresolvable as error:
                words = f"{name}: response_schema refers to {reference!r}, which is not in it"
                raise ConfigError(words) from error

    def pattern(validator: Any, source: str, instance: Any, _schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "string") and not _compiled(source).matches(instance, seconds):
            yield jsonschema.ValidationError(f"{instance!r} does not match {source!r}")

    extend: Any = jsonschema.validators.extend
    return extend(kind, {"pattern": pattern})(schema, registry=registry)


@cache
def _compiled(source: str) -> Pattern:
    return Pattern(source, dotall=False)
