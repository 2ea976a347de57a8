"""Structured output over real sockets: a pipeline file with a schema beside it, and rows that obey it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import sdg_stream as sdg
from sdg_stream.abc import Api
from sdg_stream.prompts.assembly import PARTS
from sdg_stream.simulator import SimulatorSettings
from sdg_stream.simulator.server import serve

pytestmark = pytest.mark.anyio

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "minLength": 1},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "level": {"enum": ["easy", "hard"]},
    },
    "required": ["question", "score", "level"],
    "additionalProperties": False,
}


def write_pipeline(folder: Path) -> Path:
    """A pipeline of one block, its prompt file and its schema."""
    (folder / "pair.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    prompt = {**dict.fromkeys(PARTS, ""), "generation": "Ask something about {{topic}}."}
    (folder / "ask.yaml").write_text(yaml.safe_dump(prompt), encoding="utf-8")
    config = {
        "config_path": "ask.yaml",
        "output_cols": ["question", "score", "level"],
        "response_schema": "pair.json",
    }
    block = {"name": "ask", "type": "LLMBlock", "config": config}
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(yaml.safe_dump({"version": "1.0", "blocks": [block]}), encoding="utf-8")
    return pipeline


@pytest.mark.parametrize("structured", ["response_format", "guided_json", "structured_outputs"])
@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_rows_obey_the_schema(tmp_path: Path, structured: str, api: Api) -> None:
    """Whichever way the server takes a schema, its replies become rows that the schema allows."""
    pipeline = sdg.Pipeline.load(write_pipeline(tmp_path))
    rows = [{"topic": f"topic {number}"} for number in range(5)]
    async with (
        serve(SimulatorSettings(latency="zero")) as server,
        sdg.connect(server.url, api=api) as teacher,
    ):
        teacher.structured = structured
        async with pipeline.stream(rows, teacher, order="input") as results:
            made = [row async for row in results]
    assert [row.pop("topic") for row in made] == [row["topic"] for row in rows]
    for row in made:
        jsonschema.validate(row, SCHEMA)
