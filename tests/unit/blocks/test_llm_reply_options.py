"""What blocks do with replies that are cut off, filtered, empty, only thoughts, refused or not parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llm_workshop import Workshop, reject_of, rows_of, sent

from sdg_stream.abc import Choice
from sdg_stream.blocks.llm_block import LLMBlock
from sdg_stream.blocks.llm_messages_block import LLMMessagesBlock
from sdg_stream.errors import RecordError
from sdg_stream.record import Record
from sdg_stream.testing.scripted import Reply, ScriptedTeacher

pytestmark = pytest.mark.anyio

CUT = Choice("half a sent", "length")
FILTERED = Choice("the begin", "content_filter")
THOUGHT = Choice("", "length", reasoning="so it")
TALK = [{"role": "user", "content": "u"}]


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Prompt files: ``whole.yaml`` takes the whole reply, ``tags.yaml`` what is between tags."""
    shop = Workshop(tmp_path)
    shop.write("whole.yaml", "{{q}}", start_tags=[""], end_tags=[""])
    shop.write("tags.yaml", "{{q}}", start_tags=["[a]"], end_tags=["[/a]"])
    shop.write("thoughts.yaml", "{{q}}", start_tags=["<think>"], end_tags=["</think>"])
    return shop


def config(path: str = "whole.yaml", **keys: Any) -> dict[str, Any]:
    """A config that writes the column ``a``."""
    return {"config_path": path, "output_cols": ["a"], **keys}


def talk(**keys: Any) -> dict[str, Any]:
    """A config of LLMMessagesBlock."""
    return {"input_col": "m", "output_col": "a", **keys}


async def test_by_default_every_reply_is_kept_and_counted(shop: Workshop) -> None:
    """Cut off, filtered and empty replies are what they always were: replies."""
    block = shop.build(LLMBlock, config(), ScriptedTeacher([CUT, FILTERED, ""]))
    assert [(await rows_of(block, {"q": 1}))[0]["a"] for _ in range(3)] == ["half a sent", "the begin", None]
    counts = block.context
    assert (counts.cut_replies, counts.filtered_replies, counts.unparsed_replies) == (1, 1, 0)


@pytest.mark.parametrize(
    ("keys", "reply", "reason", "words"),
    [
        (
            {"on_length": "drop"},
            CUT,
            "cut_off",
            "the reply was cut off at max_tokens; raise gen_kwargs.max_tokens",
        ),
        (
            {"on_content_filter": "drop"},
            FILTERED,
            "content_filter",
            "the reply was ended by the server's content",
        ),
        ({"on_empty": "drop"}, Choice(" \n"), "empty_reply", "the reply is empty"),
        ({}, THOUGHT, "only_reasoning", "raise max_tokens"),
        ({}, Choice("<think>so it", "length"), "only_reasoning", "raise max_tokens"),
        ({}, Choice("", refusal="I cannot."), "refusal", "the reply is a refusal"),
        ({}, Choice("", "content_filter"), "content_filter", "the reply was ended by"),
        ({}, Choice("a\0b"), "bad_encoding", "the reply holds NUL characters"),
    ],
    ids=["cut", "filtered", "empty", "thoughts", "thoughts in the text", "refusal", "all filtered", "nul"],
)
@pytest.mark.parametrize("kind", [LLMBlock, LLMMessagesBlock])
async def test_what_is_dropped_says_why(
    shop: Workshop, kind: Any, keys: dict[str, Any], reply: Choice, reason: str, words: str
) -> None:
    """A record without any usable reply ends with its own reason and with what the model did say."""
    block = shop.build(kind, config(**keys) if kind is LLMBlock else talk(**keys), ScriptedTeacher([reply]))
    error = await reject_of(block, {"q": 1, "m": TALK})
    assert (error.reason, error.server) == (reason, reply.refusal or reply.text or reply.reasoning)
    assert words in error.message
    counts = block.context
    assert counts.cut_replies == (reply.finish_reason == "length")
    assert counts.unparsed_replies == (reason not in {"cut_off", "content_filter"})


async def test_good_choices_make_up_for_dropped_ones(shop: Workshop) -> None:
    """Of several choices the usable ones count; the first one is told where none is."""
    keys = config(on_length="drop", gen_kwargs={"n": 3})
    teacher = ScriptedTeacher([["x", CUT, "y"], [CUT, THOUGHT, CUT]])
    block = shop.build(LLMBlock, keys, teacher)
    assert [row["a"] for row in await rows_of(block, {"q": 1})] == ["x", "y"]
    assert (await reject_of(block, {"q": 1})).message.startswith("the first of 3 replies was cut off")


async def test_messages_leave_dropped_choices_out(shop: Workshop) -> None:
    """A list of answers, thoughts and log probabilities holds the usable choices only, side by side."""
    keys = talk(
        on_length="drop",
        reasoning_col="r",
        logprobs_col="l",
        gen_kwargs={"n": 3, "temperature": 1, "logprobs": True},
    )
    reply: list[str | Choice] = [
        Choice(" x", reasoning="so", logprobs={"content": []}),
        CUT,
        "<think>or</think>\ny",
    ]
    block = shop.build(LLMMessagesBlock, keys, ScriptedTeacher([reply]))
    [row] = await rows_of(block, {"m": TALK})
    assert row == {"m": TALK, "a": [" x", "y"], "r": ["so", "or"], "l": [{"content": []}, None]}


async def test_thoughts_are_split_off_and_kept_if_wanted(shop: Workshop) -> None:
    """The answer alone is parsed; reasoning_col has the thoughts, the server's or those in the text."""
    replies: list[Reply] = [
        "<think>[a]no[/a]</think>[a]yes[/a]",
        Choice("[a]1[/a]", reasoning="why"),
        "[a]2[/a]",
    ]
    block = shop.build(LLMBlock, config("tags.yaml", reasoning_col="r"), ScriptedTeacher(replies))
    rows = [(await rows_of(block, {"q": 1}))[0] for _ in replies]
    assert [(row["a"], row["r"]) for row in rows] == [("yes", "[a]no[/a]"), ("1", "why"), ("2", None)]
    assert block.flow is not None
    assert block.flow.adds == ("a", "r")


async def test_thoughts_stay_where_the_block_wants_them(shop: Workshop) -> None:
    """``never`` leaves the text alone, and so does a block that reads its replies by such tags."""
    reply = "<think>so</think>x"
    block = shop.build(LLMBlock, config(split_reasoning="never"), ScriptedTeacher([reply]))
    assert (await rows_of(block, {"q": 1}))[0]["a"] == reply
    block = shop.build(LLMBlock, config("thoughts.yaml"), ScriptedTeacher([reply]))
    assert (await rows_of(block, {"q": 1}))[0]["a"] == "so"
    pattern = {"parser_name": "custom", "parsing_pattern": "<think>(.*?)</think>"}
    block = shop.build(LLMBlock, config("tags.yaml", parser_kwargs=pattern), ScriptedTeacher([reply]))
    assert (await rows_of(block, {"q": 1}))[0]["a"] == "so"


@pytest.mark.parametrize(
    ("api", "wanted", "asked"),
    [
        ("completions", 2, {"logprobs": 2}),
        ("chat", 2, {"logprobs": True, "top_logprobs": 2}),
        ("chat", True, {"logprobs": True}),
    ],
)
async def test_log_probabilities_are_kept_as_they_came(
    shop: Workshop, api: Any, wanted: Any, asked: dict[str, Any]
) -> None:
    """Each API is asked in its own way; the choice's object is the column, null if the server sent none."""
    teacher = ScriptedTeacher([Choice("x", logprobs={"tokens": ["x"]}), "y"], api=api)
    block = shop.build(LLMBlock, config(logprobs_col="l", gen_kwargs={"logprobs": wanted}), teacher)
    assert [(await rows_of(block, {"q": 1}))[0]["l"] for _ in range(2)] == [{"tokens": ["x"]}, None]
    assert asked.items() <= sent(teacher.requests[0]).items()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"logprobs_col": "l"}, "ask: logprobs_col stays empty unless gen_kwargs.logprobs asks"),
        ({"logprobs_col": "l", "gen_kwargs": {"logprobs": False}}, "ask: logprobs_col stays empty"),
        ({"reasoning_col": "a"}, "ask: the column 'a' would be written twice"),
        ({"reasoning_col": "l", "logprobs_col": "l"}, "ask: the column 'l' would be written twice"),
        ({"on_length": "repeat"}, "$.on_length"),
        ({"parse_retries": -1}, "$.parse_retries"),
    ],
)
def test_useless_options_are_refused(shop: Workshop, keys: dict[str, Any], words: str) -> None:
    """Columns that clash or stay empty, and values that mean nothing, are seen before the first call."""
    assert words in shop.refused(LLMBlock, config(**keys))


async def test_cut_off_replies_are_asked_for_with_more_tokens(shop: Workshop) -> None:
    """Twice the tokens each time, all else unchanged, until the reply is whole."""
    teacher = ScriptedTeacher([CUT, CUT, "a whole sentence"])
    block = shop.build(LLMBlock, config(on_length="retry", gen_kwargs={"max_tokens": 100}), teacher)
    assert (await rows_of(block, {"q": 1}))[0]["a"] == "a whole sentence"
    params = [sent(request) for request in teacher.requests]
    assert [one.pop("max_tokens") for one in params] == [100, 200, 400]
    assert params == [{"model": "scripted", "temperature": 0.0}] * 3
    assert block.context.cut_replies == 2


async def test_a_reply_that_stays_cut_off_is_dropped(shop: Workshop) -> None:
    """At eight times the block's tokens it ends; the message says how often it was asked."""
    teacher = ScriptedTeacher([CUT] * 4)
    error = await reject_of(shop.build(LLMBlock, config(on_length="retry"), teacher), {"q": 1})
    assert (error.reason, len(teacher.requests)) == ("cut_off", 4)
    assert error.message.endswith("; asked 4 times")
    assert teacher.requests[-1].shape.max_tokens == 8 * 4096


async def test_more_tokens_are_no_more_than_the_context_has(shop: Workshop) -> None:
    """A longer reply is clipped to what the server says is left, and not asked for where nothing more is."""
    words = (
        "maximum context length is 1000 tokens. However, you requested 1300 tokens (500 in the prompt, 800"
    )
    refused = RecordError("context_length", "too long", server=words)
    teacher = ScriptedTeacher([CUT, refused, CUT, refused])
    block = shop.build(LLMBlock, config(on_length="retry", gen_kwargs={"max_tokens": 400}), teacher)
    error = await reject_of(block, {"q": 1})
    assert [request.shape.max_tokens for request in teacher.requests] == [400, 800, 500, 1600]
    assert error.reason == "cut_off"
    assert error.message.endswith("; asked again: the context leaves 500 tokens for the reply")


async def test_only_the_cut_off_choices_are_asked_for_again(shop: Workshop) -> None:
    """Whole choices stay, in their place; a seed moves on, so that no choice is answered twice."""
    teacher = ScriptedTeacher([["x", CUT, "z", CUT], ["y", CUT], ["w"]])
    keys = config(
        on_length="retry", gen_kwargs={"n": 4, "seed": 42, "temperature": 1, "max_completion_tokens": 9}
    )
    rows = await rows_of(shop.build(LLMBlock, keys, teacher), {"q": 1})
    assert [row["a"] for row in rows] == ["x", "y", "z", "w"]
    asked = [sent(request) for request in teacher.requests]
    assert [(one.get("n"), one["seed"]) for one in asked] == [(4, 42), (2, 46), (None, 50)]
    assert [one["max_completion_tokens"] for one in asked] == [9, 8192, 16384]


async def test_messages_are_asked_with_more_tokens_too(shop: Workshop) -> None:
    """LLMMessagesBlock asks again for an answer that was cut off."""
    teacher = ScriptedTeacher([CUT, "whole"])
    block = shop.build(LLMMessagesBlock, talk(on_length="retry"), teacher)
    assert (await rows_of(block, {"m": TALK}))[0]["a"] == "whole"
    assert [request.prompt for request in teacher.requests] == [TALK, TALK]


@pytest.mark.parametrize("first", ["no tags", "", THOUGHT, Choice("", refusal="no")])
async def test_unparsed_replies_are_asked_for_again(shop: Workshop, first: Any) -> None:
    """A new seed, and a temperature above 0: the same question would get the same answer."""
    teacher = ScriptedTeacher([first, "[a]x[/a]"])
    block = shop.build(LLMBlock, config("tags.yaml", parse_retries=2), teacher)
    assert (await rows_of(block, {"q": 1}))[0]["a"] == "x"
    assert (block.context.parse_retries, block.context.unparsed_replies) == (1, 1)
    before, again = (sent(request) for request in teacher.requests)
    assert (before["temperature"], again["temperature"]) == (0.0, 0.7)
    assert "seed" not in before
    assert 0 < again["seed"] <= 2**31


async def test_seeds_of_asking_again(shop: Workshop) -> None:
    """Without a seed it comes from the record's place, the same in every run; a given one moves on by n."""

    async def seeds(root: int, **kwargs: Any) -> list[int]:
        teacher = ScriptedTeacher(lambda request: "no tags")
        keys = config("tags.yaml", parse_retries=2, gen_kwargs={"temperature": 0.4, **kwargs})
        block = shop.build(LLMBlock, keys, teacher)
        with pytest.raises(RecordError):
            await block.apply(Record(root, {"q": 1}, (1,)))
        asked = [sent(request) for request in teacher.requests]
        assert {one["temperature"] for one in asked} == {0.4}
        return [one["seed"] for one in asked[1:]]

    assert await seeds(3) == await seeds(3)
    assert len({*await seeds(3), *await seeds(4)}) == 4
    assert await seeds(3, seed=42) == [43, 44]
    assert await seeds(3, seed=42, n=5) == [47, 52]


async def test_what_never_parses_says_how_often_it_was_asked(shop: Workshop) -> None:
    """The reject tells of the last reply; content that a filter took is not asked for again."""
    teacher = ScriptedTeacher(["one", "two", "three"])
    error = await reject_of(shop.build(LLMBlock, config("tags.yaml", parse_retries=2), teacher), {"q": 1})
    assert (error.reason, error.server) == ("unparsed_reply", "three")
    assert error.message == "no row in the reply: column 'a': nothing between '[a]' and '[/a]'; asked 3 times"
    teacher = ScriptedTeacher([FILTERED])
    keys = config("tags.yaml", parse_retries=2, on_content_filter="drop")
    assert (await reject_of(shop.build(LLMBlock, keys, teacher), {"q": 1})).reason == "content_filter"


async def test_whole_replies_are_asked_for_again_if_they_are_empty_and_unwanted(shop: Workshop) -> None:
    """``on_empty: drop`` makes an empty reply one to ask for again; kept ones are not."""
    teacher = ScriptedTeacher(["", "x"])
    block = shop.build(LLMBlock, config(parse_retries=1, on_empty="drop"), teacher)
    assert (await rows_of(block, {"q": 1}))[0]["a"] == "x"
    block = shop.build(LLMBlock, config(parse_retries=1), ScriptedTeacher([""]))
    assert (await rows_of(block, {"q": 1}))[0]["a"] is None


async def test_cut_off_and_unparsed_choices_are_asked_for_side_by_side(shop: Workshop) -> None:
    """Each kind gets its own call with its own seeds; one call that fails costs nothing that is there."""
    teacher = ScriptedTeacher([["[a]1[/a]", CUT, "odd"], ["[a]2[/a]"], RecordError("teacher_failed", "down")])
    keys = config("tags.yaml", on_length="retry", parse_retries=1, gen_kwargs={"n": 3, "seed": 1})
    rows = await rows_of(shop.build(LLMBlock, keys, teacher), {"q": 1})
    assert [row["a"] for row in rows] == ["1", "2"]
    longer, odd = (sent(request) for request in teacher.requests[1:])
    assert (longer["seed"], longer["max_tokens"], longer["temperature"]) == (4, 8192, 0.0)
    assert (odd["seed"], odd["max_tokens"], odd["temperature"]) == (5, 4096, 0.7)


async def test_every_call_is_noted(shop: Workshop) -> None:
    """With provenance on, calls that were made again are costs of the record too."""
    record = Record(0, {"q": 1}, calls=[])
    teacher = ScriptedTeacher([CUT, "whole"])
    await shop.build(LLMBlock, config(on_length="retry"), teacher).apply(record)
    assert record.calls is not None
    assert len(record.calls) == 2
