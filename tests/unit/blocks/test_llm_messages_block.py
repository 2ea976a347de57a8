"""LLMMessagesBlock: conversations in, answers out, untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llm_workshop import Workshop, reject_of, rows_of, sent

from sdg_stream.abc import Flow
from sdg_stream.blocks.llm_messages_block import LLMMessagesBlock
from sdg_stream.record import Record
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio

TALK = [{"role": "system", "content": "s", "name": "n"}, {"role": "user", "content": "u"}]


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A workshop without files."""
    return Workshop(tmp_path)


def config(**keys: Any) -> dict[str, Any]:
    """A config from ``messages`` to ``answer``."""
    return {"input_col": "messages", "output_col": "answer", **keys}


async def test_one_choice_is_its_text(shop: Workshop) -> None:
    """The messages are sent as they are to the chat endpoint, and the answer is not stripped."""
    teacher = ScriptedTeacher(["  hello \n"])
    block = shop.build(LLMMessagesBlock, config(), teacher)
    assert await rows_of(block, {"messages": TALK, "i": 1}) == [
        {"messages": TALK, "i": 1, "answer": "  hello \n"}
    ]
    [request] = teacher.requests
    assert (request.prompt, request.shape.api, request.depth, request.root) == (TALK, "chat", 3, 7)
    fresh = frozenset({"answer"})
    assert block.flow == Flow(reads=frozenset({"messages"}), adds=("answer",), fresh=fresh, one_to_one=True)


async def test_several_choices_are_a_list(shop: Workshop) -> None:
    """More than one choice gives a list of the texts that came, at most n."""
    teacher = ScriptedTeacher([[" a", "b "], ["c"], ["d", "e", "f"]])
    block = shop.build(LLMMessagesBlock, config(gen_kwargs={"n": 2, "temperature": 0.5}), teacher)
    answers = [(await rows_of(block, {"messages": TALK}))[0]["answer"] for _ in range(3)]
    assert answers == [[" a", "b "], ["c"], ["d", "e"]]
    assert shop.warnings == []


async def test_parameters(shop: Workshop) -> None:
    """Defaults are those of LLMBlock; max_num_tokens never applies; numeric text is a number."""
    teacher = ScriptedTeacher(lambda request: "x", model="m")
    for gen_kwargs in ({}, {"temperature": "0.25", "max_tokens": 12, "seed": 3}):
        keys = config(gen_kwargs=gen_kwargs)
        block = shop.build(LLMMessagesBlock, keys, teacher, name="gen_knowledge", max_num_tokens=77)
        await rows_of(block, {"messages": TALK})
    assert [sent(request) for request in teacher.requests] == [
        {"model": "m", "temperature": 0.0, "max_tokens": 4096},
        {"model": "m", "temperature": 0.25, "max_tokens": 12, "seed": 3},
    ]


async def test_several_choices_are_asked_for_warmly(shop: Workshop) -> None:
    """At temperature 0 several choices would be the same, so it becomes 0.7, with a warning."""
    teacher = ScriptedTeacher(["x"])
    await rows_of(shop.build(LLMMessagesBlock, config(gen_kwargs={"n": 2}), teacher), {"messages": TALK})
    assert sent(teacher.requests[0])["temperature"] == 0.7
    assert shop.warnings[0].startswith("temperature_raised: ask: ")


async def test_q_msg_1_scaled_choices(shop: Workshop) -> None:
    """Q-MSG-1: n scaled is the number of instructions here too."""
    keys = config(gen_kwargs={"n": "scaled", "temperature": 0.7})
    block = shop.build(LLMMessagesBlock, keys, ScriptedTeacher(["a"]), num_instructions=3)
    assert (await rows_of(block, {"messages": TALK}))[0]["answer"] == ["a", "a", "a"]
    assert "n is scaled" in shop.refused(LLMMessagesBlock, keys, num_instructions=0)


@pytest.mark.parametrize(
    ("columns", "reason", "column"),
    [
        ({"messages": TALK, "answer": "old"}, "bad_value", "answer"),
        ({"q": "x"}, "missing_column", "messages"),
        ({"messages": "text"}, "bad_value", "messages"),
        ({"messages": []}, "bad_value", "messages"),
        ({"messages": ["text"]}, "bad_value", "messages"),
        ({"messages": None}, "bad_value", "messages"),
    ],
)
async def test_what_is_no_conversation_rejects(
    shop: Workshop, columns: dict[str, Any], reason: str, column: str
) -> None:
    """A record without messages, or with an answer already, ends without a call and names the column."""
    teacher = ScriptedTeacher([])
    error = await reject_of(shop.build(LLMMessagesBlock, config(), teacher), columns)
    assert error.reason == reason
    assert repr(column) in error.message
    assert not teacher.requests


async def test_what_a_call_cost_is_noted(shop: Workshop) -> None:
    """With provenance on, the record carries the call's cost."""
    record = Record(0, {"messages": TALK}, calls=[])
    await shop.build(LLMMessagesBlock, config(), ScriptedTeacher(["x"])).apply(record)
    assert record.calls is not None
    assert [call["block"] for call in record.calls] == ["ask"]


def test_no_model_at_all_is_refused(shop: Workshop) -> None:
    """Somebody has to name a model if there is a teacher."""
    teacher = ScriptedTeacher([], model="")
    assert "no model to ask" in shop.refused(LLMMessagesBlock, config(), teacher=teacher)


def test_values_that_json_does_not_have_are_refused(shop: Workshop) -> None:
    """What cannot be sent is seen before the first call."""
    keys = config(gen_kwargs={"extra_body": {"a": {1: 2}}})
    assert "cannot be sent as JSON" in shop.refused(LLMMessagesBlock, keys)
