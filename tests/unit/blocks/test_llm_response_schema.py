"""Structured output: what is asked of servers, and which replies become rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llm_workshop import Workshop, reject_of, rows_of, sent

from sdg_stream.blocks.llm_block import LLMBlock
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio

PAIR: dict[str, Any] = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "score": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["question", "score"],
}
CLOSED = {**PAIR, "required": ["question", "score", "why"], "additionalProperties": False}
PAIRS = {"type": "array", "items": PAIR}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A prompt file without tags."""
    shop = Workshop(tmp_path)
    shop.write("ask.yaml", "{{q}}")
    return shop


def config(schema: Any = PAIR, *columns: str, **keys: Any) -> dict[str, Any]:
    """A config with a schema."""
    cols = list(columns or ("question", "score", "why"))
    return {"config_path": "ask.yaml", "output_cols": cols, "response_schema": schema, **keys}


@pytest.mark.parametrize(
    ("structured", "key", "value"),
    [
        (
            "response_format",
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "gen_Q_A", "schema": PAIR, "strict": False}},
        ),
        ("guided_json", "guided_json", PAIR),
        ("structured_outputs", "structured_outputs", {"json": PAIR}),
    ],
)
@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_the_schema_is_sent_as_the_server_takes_it(
    shop: Workshop, structured: Any, key: str, value: Any, api: Any
) -> None:
    """Each server gets the parameter that it knows, and no other."""
    teacher = ScriptedTeacher(['{"question": "q", "score": 1}'], structured=structured, api=api)
    await rows_of(shop.build(LLMBlock, config(), teacher, name="gen Q&A"), {"q": 1})
    asked = sent(teacher.requests[0])
    assert asked.pop(key) == value
    assert set(asked) == {"model", "temperature", "max_tokens"}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (PAIR, False),
        ({**CLOSED, "required": ["question"]}, False),
        ({**CLOSED, "properties": {**PAIR["properties"], "why": PAIR}}, False),
        ({**CLOSED, "properties": {**PAIR["properties"], "why": CLOSED}}, True),
    ],
    ids=["closed", "open", "not all required", "open inside", "closed inside"],
)
async def test_strict_is_for_schemas_that_obey_its_rules(shop: Workshop, schema: Any, strict: bool) -> None:
    """OpenAI refuses others under strict, so it is not set for them."""
    teacher = ScriptedTeacher(lambda request: "{}")
    await reject_of(shop.build(LLMBlock, config(schema), teacher), {"q": 1})
    assert sent(teacher.requests[0])["response_format"]["json_schema"]["strict"] is strict


@pytest.mark.parametrize(
    "reply",
    [
        '{"question": "q?", "score": 3}',
        '\n {"score": 3, "question": "q?", "more": []} ',
        '```json\n{"question": "q?", "score": 3}\n```',
        '```\n{"question": "q?", "score": 3}```',
        'Here it is:\n```json\n{"question": "q?", "score": 3}\n```\nEnjoy!',
        '<think>{"question": ""}</think>{"question": "q?", "score": 3}',
    ],
)
async def test_an_object_is_a_row(shop: Workshop, reply: str) -> None:
    """Properties become columns by name, in the order of output_cols; what need not be there is null."""
    block = shop.build(LLMBlock, config(), ScriptedTeacher([reply]))
    [row] = await rows_of(block, {"q": 1})
    assert list(row.items()) == [("q", 1), ("question", "q?"), ("score", 3), ("why", None)]
    assert block.flow is not None
    assert (block.flow.one_to_one, block.flow.adds) == (True, ("question", "score", "why"))


async def test_a_list_is_a_row_for_each_object(shop: Workshop) -> None:
    """A schema for a list gives as many rows as the list has objects."""
    rows = [{"question": "a", "score": 1}, {"question": "b", "score": 2, "why": "c"}]
    block = shop.build(LLMBlock, config(PAIRS, "question", "why"), ScriptedTeacher([json.dumps(rows)]))
    made = await rows_of(block, {"q": 1})
    assert made == [{"q": 1, "question": "a", "why": None}, {"q": 1, "question": "b", "why": "c"}]
    assert block.flow is not None
    assert not block.flow.one_to_one


@pytest.mark.parametrize(
    ("schema", "reply", "words"),
    [
        (PAIR, "no JSON", "it is not JSON"),
        (PAIR, '{"question": "q", "score"', "it is not JSON"),
        (PAIR, '{"question": "q"}', "response_schema does not allow it: $: 'score' is a required property"),
        (
            PAIR,
            '{"question": "q", "score": "3"}',
            "response_schema does not allow it: $.score: '3' is not of type",
        ),
        (PAIR, "[]", "response_schema does not allow it: $: [] is not of type 'object'"),
        (PAIRS, "[]", "it is an empty list"),
        (PAIR, "```json\nnone\n```", "it is not JSON"),
        (PAIR, "", "it is not JSON"),
    ],
)
async def test_other_replies_are_not_parsed(shop: Workshop, schema: Any, reply: str, words: str) -> None:
    """What is not JSON, or not allowed, rejects with what is wrong about it, and is counted."""
    block = shop.build(LLMBlock, config(schema, "question"), ScriptedTeacher([reply]))
    error = await reject_of(block, {"q": 1})
    assert error.reason == "unparsed_reply"
    assert words in error.message
    assert block.context.unparsed_replies == 1


async def test_parse_retries_apply(shop: Workshop) -> None:
    """A reply that the schema does not allow can be asked for again."""
    teacher = ScriptedTeacher(["{}", '{"question": "q", "score": 1}'])
    block = shop.build(LLMBlock, config(parse_retries=1), teacher)
    assert (await rows_of(block, {"q": 1}))[0]["question"] == "q"
    assert "response_format" in sent(teacher.requests[1])


@pytest.mark.parametrize("name", ["pair.json", "pair.yaml"])
async def test_a_schema_from_a_file(shop: Workshop, name: str) -> None:
    """A path is a JSON or YAML file beside the pipeline."""
    (shop.folder / name).write_text(json.dumps(PAIR), encoding="utf-8")
    block = shop.build(LLMBlock, config(name), ScriptedTeacher(['{"question": "q", "score": 1}']))
    assert (await rows_of(block, {"q": 1}))[0]["score"] == 1


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (config("none.json"), "none.json: cannot be read"),
        (config("ask.txt"), "ask.txt:1: $: a JSON schema is a mapping"),
        (config({"type": "text"}), "ask: response_schema: $.type: 'text' is not valid"),
        (config({"type": "string"}), "must be of type object with properties, or a list"),
        (config({"type": "array", "items": {"type": "string"}}), "must be of type object with properties"),
        (config({"type": "object"}), "must be of type object with properties"),
        (config(PAIR, "answer"), "response_schema has no property 'answer'; it has: question, score, why"),
        (config(output_cols=[]), "output_cols is empty"),
        (config({**PAIR, "not": {"$ref": "#/$defs/x"}}), "refers to '#/$defs/x', which is not in it"),
        (config({**PAIR, "not": {"$ref": "http://127.0.0.1/x"}}), "refers to 'http://127.0.0.1/x'"),
        (config(gen_kwargs={"guided_json": {}}), "response_schema and gen_kwargs.guided_json exclude"),
        (
            config(gen_kwargs={"extra_body": {"response_format": 1}}),
            "response_schema and gen_kwargs.response_f",
        ),
    ],
)
def test_useless_schemas_are_refused(shop: Workshop, keys: dict[str, Any], words: str) -> None:
    """Mistakes in the schema are seen before the first call, and no address is opened."""
    (shop.folder / "ask.txt").write_text("[]", encoding="utf-8")
    assert words in shop.refused(LLMBlock, keys)


def test_tags_are_not_needed_nor_used(shop: Workshop) -> None:
    """With a schema a prompt file's tags and a parser are no matter, and nothing is warned about."""
    shop.write("ask.yaml", "{{q}}", start_tags=["[a]"], end_tags=[""])
    shop.build(LLMBlock, config(), ScriptedTeacher([]))
    assert shop.warnings == []
