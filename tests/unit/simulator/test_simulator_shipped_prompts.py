"""Every prompt that the project ships gets replies that its own block can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from sdg_stream.prompts.assembly import assemble
from sdg_stream.prompts.parsing import Parser, RegexParser, TagParser
from sdg_stream.prompts.template import compile_template
from sdg_stream.simulator import SimulatorSettings
from sdg_stream.simulator.replies import request_key, write_replies
from sdg_stream.simulator.wire import read_completion

PIPELINES = Path(__file__).parents[3] / "pipelines"
SEEDS = {
    file.stem: [orjson.loads(line) for line in file.read_bytes().splitlines() if line]
    for file in sorted((PIPELINES / "examples" / "seeds").glob("*.jsonl"))
}


def llm_blocks() -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Each shipped LLM block with an id and its prompt file."""
    for file in sorted(PIPELINES.rglob("*.yaml")):
        for block in yaml.safe_load(file.read_text()).get("blocks") or ():
            config = block.get("config") or {}
            if "config_path" in config:
                name = f"{file.relative_to(PIPELINES).with_suffix('')}:{block['name']}"
                yield name, (file.parent / config["config_path"]).resolve(), config


BLOCKS = list(llm_blocks())


def inputs() -> Iterator[dict[str, Any]]:
    """Columns for any shipped prompt, from the sample seeds and from what earlier blocks would have added."""
    for knowledge in SEEDS["knowledge"]:
        for skill in SEEDS["grounded_skills"][:3]:
            made = {
                "question": knowledge["icl_query_1"],
                "response": knowledge["icl_response_1"],
                "context": skill["seed_context"],
                "num_samples": 5,
                "text": knowledge["document"],
                "topic": skill["task_description"],
                "answer_a": knowledge["icl_response_1"],
                "answer_b": knowledge["icl_response_2"],
            }
            yield {**knowledge, **skill, **made}


def parser_of(prompt: dict[str, Any], config: dict[str, Any]) -> Parser:
    """The parser that the block would use."""
    options = config.get("parser_kwargs") or {}
    if options.get("parser_name") == "custom":
        cleanup = options.get("parser_cleanup_tags", ())
        return RegexParser(options["parsing_pattern"], config["output_cols"], cleanup)
    return TagParser(prompt["start_tags"], prompt["end_tags"], config["output_cols"])


@pytest.mark.parametrize(("name", "file", "config"), BLOCKS, ids=[name for name, _, _ in BLOCKS])
def test_shipped_blocks_can_read_the_replies(name: str, file: Path, config: dict[str, Any]) -> None:
    """Every reply gives rows, and no value in them is empty."""
    settings = SimulatorSettings()
    prompt = yaml.safe_load(file.read_text())
    template, parser = compile_template(assemble(prompt)), parser_of(prompt, config)
    extra = (config.get("gen_kwargs") or {}).get("extra_body") or {}
    for columns in inputs():
        text = template.render(columns).strip()
        asked = read_completion(orjson.dumps({"prompt": text, "max_tokens": 4096, "n": 2, **extra}), settings)
        for reply in write_replies(settings, asked, text, request_key(settings, asked, text)):
            rows = parser.parse(reply.text)
            assert rows, f"{name} reads nothing in {reply.text!r}"
            assert all(value for row in rows for value in row.values())


def test_there_are_shipped_blocks() -> None:
    """The pipelines are where this test looks for them."""
    assert len(BLOCKS) > 20
