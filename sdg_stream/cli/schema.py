"""The JSON schema of pipeline files, derived from the structs that read them."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from ..catalog import BLOCKS, resolve_block
from ..config.pipeline_file import BlockEntry, DataMixing

__all__ = ["pipeline_schema"]

_REF = "#/$defs/{name}"


def pipeline_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of a pipeline file with the built-in blocks.

    A block's ``config`` is checked by its ``type``; types that are not built in may have any config.
    """
    configs = {name: resolve_block(name).Config for name in BLOCKS}
    structs = [BlockEntry, DataMixing, *dict.fromkeys(configs.values())]
    schemas, definitions = msgspec.json.schema_components(structs, ref_template=_REF)
    refs = dict(zip(structs, schemas, strict=True))
    definitions["BlockEntry"]["allOf"] = [
        {
            "if": {"properties": {"type": {"const": name}}},
            "then": {"properties": {"config": refs[config]}},
        }
        for name, config in configs.items()
    ]
    definitions["BlockEntry"]["properties"]["type"] = {
        "anyOf": [
            {"enum": list(BLOCKS)},
            {"type": "string", "description": "module:Class, or an entry point"},
        ]
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sdg_stream pipeline",
        "type": "object",
        "required": ["version", "blocks"],
        "properties": {
            "version": {"type": "string", "pattern": r"^\d+\.\d+$"},
            "blocks": {"type": "array", "items": refs[BlockEntry]},
            "datamixing": refs[DataMixing],
        },
        "$defs": definitions,
    }
    return _with_short_names(schema)


def _with_short_names(schema: dict[str, Any]) -> dict[str, Any]:
    """Configs that are nested in their block are called by the block's name, without its module."""
    text = re.sub(r"sdg_stream\.blocks\.\w+\.(\w+)\.Config", r"\1", json.dumps(schema))
    short: dict[str, Any] = json.loads(text)
    # IterBlock takes the nested block's keys next to its own, and they are that block's to check.
    nested = short["$defs"]["IterBlock"]
    nested["additionalProperties"] = True
    nested["required"].remove("block_config")
    nested["properties"]["block_config"] = {"type": "object"}
    return short
