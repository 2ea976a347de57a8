"""Rows 51 and 52 of the fault catalogue: patterns that never come to an end, and those that are none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
import yaml

import sdg_stream as sdg
from sdg_stream.abc import AsyncBlock, Context
from sdg_stream.blocks.llm_block import LLMBlock
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.prompts import parsing
from sdg_stream.prompts.assembly import PARTS
from sdg_stream.record import Record
from sdg_stream.testing.run_blocks import make_block, run_blocks
from sdg_stream.testing.scripted import Reply, ScriptedTeacher

pytestmark = pytest.mark.anyio

EVIL = "(a+)+$"
BAIT = "a" * 25_000 + "b"
MAX_LAG = 0.1  # seconds


def block_of(folder: Path, replies: list[Reply], **keys: Any) -> AsyncBlock[Any]:
    """A block that reads the replies by a pattern."""
    prompt = {**dict.fromkeys(PARTS, ""), "generation": "Write."}
    (folder / "ask.yaml").write_text(yaml.safe_dump(prompt), encoding="utf-8")
    config = {"config_path": "ask.yaml", "output_cols": ["x"], "model_prompt": "", **keys}
    block = make_block(LLMBlock, config, Context("ask", base_dir=folder, teacher=ScriptedTeacher(replies)))
    assert isinstance(block, AsyncBlock)
    return block


def by(pattern: str) -> dict[str, str]:
    """``parser_kwargs`` for a pattern."""
    return {"parser_name": "custom", "parsing_pattern": pattern}


class Heart:
    """Beats all the time; ``lag`` is the longest time that it could not."""

    def __init__(self) -> None:
        self.lag = 0.0

    async def beat(self) -> None:
        """Until cancelled."""
        last = time.monotonic()
        while True:
            await anyio.sleep(0.001)
            now = time.monotonic()
            self.lag, last = max(self.lag, now - last), now


async def test_row_51_a_pattern_without_end_rejects_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 KB that would take longer than the world stands: a reject, and the loop hardly notices."""
    monkeypatch.setattr(parsing, "PATIENCE", 0.3)
    block, heart = block_of(tmp_path, [BAIT] * 3, parser_kwargs=by(EVIL)), Heart()
    errors: list[RecordError] = []

    async def ask(root: int) -> None:
        with pytest.raises(RecordError) as caught:
            await block.apply(Record(root, {}))
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heart.beat)
        async with anyio.create_task_group() as asking:
            for root in range(3):
                asking.start_soon(ask, root)
        tasks.cancel_scope.cancel()
    assert [error.reason for error in errors] == ["parse_timeout"] * 3
    assert "takes the pattern that is to read it too long" in errors[0].message
    assert errors[0].server == "a" * 500
    assert block.context.unparsed_replies == 3
    assert heart.lag < MAX_LAG


async def test_row_51_a_slow_pattern_gets_its_time(tmp_path: Path) -> None:
    """A reply for which 50 ms are not enough is read in a thread, and the row is what it would have been."""
    slow = r"<q>(.*?)<a>(.*?)<end>"
    text = "<q>" * 300 + "<a>" * 300 + "<q>one<a>two<end>"
    block = block_of(tmp_path, [text], parser_kwargs=by(slow), output_cols=["q", "a"], reasoning_col="why")
    [row] = await block.apply(Record(0, {}))
    assert (row["a"], row["why"]) == ("<a>" * 299 + "<q>one<a>two", None)


async def test_row_51_other_choices_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several choices those that can be read in time give rows; the others are counted."""
    monkeypatch.setattr(parsing, "PATIENCE", 0.05)
    kwargs = {"gen_kwargs": {"n": 3, "temperature": 1}, "parser_kwargs": by(EVIL)}
    block = block_of(tmp_path, [["aaa", BAIT, "aa"]], **kwargs)
    assert [row["x"] for row in await block.apply(Record(0, {}))] == ["aaa", "aa"]
    assert block.context.unparsed_replies == 1


async def test_row_51_waiting_for_a_pattern_can_be_cancelled(tmp_path: Path) -> None:
    """Nobody waits for the thread; it ends by itself."""
    block = block_of(tmp_path, [BAIT], parser_kwargs=by(EVIL))
    started = time.monotonic()
    with anyio.move_on_after(0.1):
        await block.apply(Record(0, {}))
    assert time.monotonic() - started < 1


async def test_row_51_patterns_of_a_schema_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``pattern`` in a response_schema is matched within the same limits; a fast one works as ever."""
    pytest.importorskip("jsonschema")
    monkeypatch.setattr("sdg_stream.blocks.response_schema.PATIENCE", 0.1)
    schema = {
        "type": "object",
        "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}},
        "required": ["x"],
    }
    replies: list[Reply] = [orjson.dumps({"x": text}).decode() for text in ("aaa", BAIT, "no")]
    outcome = await run_blocks([block_of(tmp_path, replies, response_schema=schema)], [{}, {}, {}])
    assert outcome.rows == [{"x": "aaa"}]
    assert [error.reason for _, error in outcome.rejects] == ["parse_timeout", "unparsed_reply"]
    with pytest.raises(ConfigError, match="patternProperties is not supported"):
        block_of(tmp_path, [], response_schema={**schema, "patternProperties": {EVIL: {}}})


async def test_row_51_a_fence_that_does_not_end_is_found_at_once(tmp_path: Path) -> None:
    """A reply that ends in endless white space behind a code fence costs nothing to refuse."""
    pytest.importorskip("jsonschema")
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    block, started = (
        block_of(tmp_path, ["```json" + " \n" * 50_000], response_schema=schema),
        time.monotonic(),
    )
    with pytest.raises(RecordError, match="it is not JSON"):
        await block.apply(Record(0, {}))
    assert time.monotonic() - started < 0.1


@pytest.mark.parametrize(
    ("pattern", "columns", "words"),
    [
        ("(a", ["x"], "not a regular expression: missing ), unterminated subpattern at position 0"),
        ("x[", ["x"], "not a regular expression: unterminated character set at position 1"),
        ("(a)(b)", ["x", "y", "z"], "parsing_pattern has no group for z, so no reply can give a whole row"),
    ],
)
def test_row_52_a_pattern_that_cannot_work_is_seen_at_load(
    tmp_path: Path, pattern: str, columns: list[str], words: str
) -> None:
    """Before any call, with file, line and position: no regular expression, too few groups."""
    prompt = {**dict.fromkeys(PARTS, ""), "generation": "Write."}
    (tmp_path / "ask.yaml").write_text(yaml.safe_dump(prompt), encoding="utf-8")
    config = {"config_path": "ask.yaml", "output_cols": columns, "parser_kwargs": by(pattern)}
    pipeline = {"version": "1.0", "blocks": [{"name": "ask", "type": "LLMBlock", "config": config}]}
    (tmp_path / "p.yaml").write_text(json.dumps(pipeline, indent=1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        sdg.Pipeline.load(tmp_path / "p.yaml")
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{tmp_path}/p.yaml:7: $.blocks[0].config: ask: ")
    assert words in str(caught.value)
