"""The schemas of qna.yaml files, from the package of those who keep them, applied with jsonschema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from ..config.yaml import Document
from ..errors import Problem

__all__ = ["complaints", "version_of"]

_SHOWN = 200  # characters of a complaint; what is wrong stands at its end


def version_of(contents: dict[Any, Any]) -> int:
    """The version of the schema that a file asks for; 1 if it says nothing that can be understood."""
    try:
        return int(contents.get("version", 1))
    except (ValueError, TypeError, OverflowError):
        return 1


def complaints(document: Document, folder: str, version: int) -> Iterator[Problem]:
    """What the schema of ``folder`` (``knowledge`` or ``compositional_skills``) has against a document."""
    schema = _schema(folder, version)
    if schema is None:
        known = ", ".join(str(number) for number in _versions())
        words = f"there is no schema of version {version} for {folder}; versions: {known}"
        yield document.problem("$.version", words)
    elif schema.get("deprecated"):
        words = f"schema version {version} of {folder} is not supported any more"
        yield document.problem("$.version", schema.get("description", words))
    else:
        for error in _validator(folder, version).iter_errors(document.data):
            yield document.problem(_path(error.absolute_path), _words(error))


def _words(error: Any) -> str:
    if error.validator == "minItems":  # its own words begin with the whole list
        return f"must have at least {error.validator_value} items, has {len(error.instance)}"
    words: str = error.message
    return words if len(words) <= _SHOWN else f"… {words[-_SHOWN:]}"


def _path(parts: Any) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


@cache
def _versions() -> tuple[int, ...]:
    from instructlab.schema import schema_versions  # noqa: PLC0415 -- 30 ms

    return tuple(int(folder.name[1:]) for folder in schema_versions())


@cache
def _schema(name: str, version: int) -> dict[str, Any] | None:
    from instructlab.schema import schema_base  # noqa: PLC0415

    if version not in _versions():
        return None
    text = schema_base().joinpath(f"v{version}", f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _validator(name: str, version: int) -> Any:
    from jsonschema.validators import validator_for  # noqa: PLC0415 -- 100 ms
    from referencing import Registry, Resource  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

    def retrieve(uri: str) -> Any:
        contents = _schema(uri.removeprefix("./").removesuffix(".json"), version)
        return Resource.from_contents(contents, default_specification=DRAFT202012)

    schema: Any = _schema(name, version)
    return validator_for(schema)(schema, registry=Registry(retrieve=retrieve))  # type: ignore[call-arg]
