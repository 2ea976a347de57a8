"""LLMBlock: from a record to its rows."""

from __future__ import annotations

import logging
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import pytest
from llm_workshop import Workshop, reject_of, rows_of, sent

from sdg_stream.abc import Choice, Completion, Flow
from sdg_stream.blocks.asking import AskingBlock
from sdg_stream.blocks.llm_block import LLMBlock
from sdg_stream.errors import RecordError
from sdg_stream.record import Record
from sdg_stream.testing.scripted import ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

WHOLE = {"start_tags": [""], "end_tags": [""]}
TWO = {"start_tags": ["[a]", "[b]"], "end_tags": ["[/a]", "[/b]"]}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Prompt files: ``whole.yaml`` takes the whole reply, ``two.yaml`` has tags for two columns."""
    shop = Workshop(tmp_path)
    shop.write("whole.yaml", "{{q}}", **WHOLE)
    shop.write("two.yaml", "{{q}}", **TWO)
    return shop


def config(path: str, *columns: str, **keys: Any) -> dict[str, Any]:
    """A block's ``config`` mapping."""
    return {"config_path": path, "output_cols": list(columns), **keys}


async def test_a_record_becomes_its_rows(shop: Workshop) -> None:
    """Rows come match by match; new columns come last in order, overwritten ones keep their place."""
    teacher = ScriptedTeacher([" [a]1[/a][b]x[/b] [a]2[/a][b]y[/b] "])
    block = shop.build(LLMBlock, config("two.yaml", "z", "q"), teacher)
    rows = await rows_of(block, {"p": 0, "q": "old", "s": 1})
    assert rows == [{"p": 0, "q": "x", "s": 1, "z": "1"}, {"p": 0, "q": "y", "s": 1, "z": "2"}]
    assert [list(row) for row in rows] == [["p", "q", "s", "z"]] * 2


async def test_the_request_says_whose_it_is(shop: Workshop) -> None:
    """A request carries the block's depth and the record's place; all requests share one shape."""
    teacher = ScriptedTeacher(["x", "y"])
    block = shop.build(LLMBlock, config("whole.yaml", "a"), teacher)
    await rows_of(block, {"q": "hi"})
    await rows_of(block, {"q": "ho"})
    first, second = teacher.requests
    assert (first.prompt, first.depth, first.root, first.path) == ("hi", 3, 7, (1, 2))
    assert first.shape is second.shape


async def test_the_default_parameters(shop: Workshop) -> None:
    """Temperature 0 and 4096 tokens, and no n for a single choice; model first."""
    teacher = ScriptedTeacher(["x"])
    await rows_of(shop.build(LLMBlock, config("whole.yaml", "a"), teacher), {"q": "hi"})
    expected = {"model": "scripted", "temperature": 0.0, "max_tokens": 4096}
    assert list(sent(teacher.requests[0]).items()) == list(expected.items())


async def test_several_choices_give_their_rows_in_order(shop: Workshop) -> None:
    """Choice by choice, then match by match; a choice without a match is counted and left out."""
    shop.write("one.yaml", "{{q}}", start_tags=["[a]"], end_tags=["[/a]"])
    teacher = ScriptedTeacher([["[a]1[/a][a]2[/a]", "none", "[a]3[/a]"]])
    block = shop.build(LLMBlock, config("one.yaml", "a", gen_kwargs={"n": 3}), teacher)
    assert [row["a"] for row in await rows_of(block, {"q": "hi"})] == ["1", "2", "3"]
    assert block.context.unparsed_replies == 1
    assert sent(teacher.requests[0])["n"] == 3


async def test_q_llm_1_too_few_choices_stay_with_their_record(shop: Workshop) -> None:
    """Q-LLM-1: the block uses the choices that came for the record, however many, but never more than n."""
    teacher = ScriptedTeacher([["x"], ["y", "z", "w"]])
    block = shop.build(LLMBlock, config("whole.yaml", "a", gen_kwargs={"n": 2}), teacher)
    assert [row["a"] for row in await rows_of(block, {"q": "one"})] == ["x"]
    assert [row["a"] for row in await rows_of(block, {"q": "two"})] == ["y", "z"]


async def test_no_choice_at_all_rejects(shop: Workshop) -> None:
    """A completion without choices ends the record."""
    block = shop.build(LLMBlock, config("whole.yaml", "a"), ScriptedTeacher([Completion([])]))
    assert (await reject_of(block, {"q": "hi"})).reason == "unparsed_reply"


async def test_an_unparsed_reply_rejects_with_its_words(shop: Workshop) -> None:
    """A record without any row ends, saying which tags found nothing, with the begin of the first reply."""
    teacher = ScriptedTeacher([["[a]1[/a] " + "y" * 600, "no"]])
    block = shop.build(LLMBlock, config("two.yaml", "a", "b", gen_kwargs={"n": 2}), teacher)
    error = await reject_of(block, {"q": "hi"})
    assert error.reason == "unparsed_reply"
    assert error.message == "no row in any of 2 replies: column 'b': nothing between '[b]' and '[/b]'"
    assert error.server.startswith("[a]1[/a] yyy")
    assert len(error.server) == 500
    assert block.context.unparsed_replies == 2


async def test_an_unparsed_reply_says_why_if_it_can(shop: Workshop) -> None:
    """An empty reply and one that hit max_tokens are told apart from one that does not follow the format."""
    teacher = ScriptedTeacher(["", Completion([Choice("[a]unfinished", "length")])])
    block = shop.build(LLMBlock, config("two.yaml", "a", "b"), teacher)
    assert (await reject_of(block, {"q": "hi"})).message.endswith("; it is empty")
    assert (await reject_of(block, {"q": "hi"})).message.endswith("; it was cut off at max_tokens")


@pytest.mark.parametrize(("reply", "value"), [(" some\ntext \n", "some\ntext"), ("", None), (" \n\t", None)])
async def test_without_tags_an_empty_reply_is_null(shop: Workshop, reply: str, value: str | None) -> None:
    """The stripped reply is the value; an empty one is null and no reject."""
    block = shop.build(LLMBlock, config("whole.yaml", "a"), ScriptedTeacher([reply]))
    assert await rows_of(block, {"q": "hi"}) == [{"q": "hi", "a": value}]
    assert block.context.unparsed_replies == 0


async def test_a_missing_column_rejects_without_a_call(shop: Workshop) -> None:
    """A record that cannot be rendered costs nothing."""
    teacher = ScriptedTeacher([])
    error = await reject_of(shop.build(LLMBlock, config("whole.yaml", "a"), teacher), {"p": 1})
    assert (error.reason, error.message) == ("missing_column", "prompt template: 'q' is undefined")
    assert not teacher.requests


async def test_q_llm_2_a_refused_request_ends_its_record_only(shop: Workshop) -> None:
    """Q-LLM-2: what the teacher raises for one record passes through, and the block goes on."""
    teacher = ScriptedTeacher([RecordError("refused", "too long"), "fine"])
    block = shop.build(LLMBlock, config("whole.yaml", "a"), teacher)
    assert (await reject_of(block, {"q": "one"})).reason == "refused"
    assert await rows_of(block, {"q": "two"}) == [{"q": "two", "a": "fine"}]


async def test_num_samples_is_a_column(shop: Workshop) -> None:
    """batch_kwargs.num_samples can be used by the prompt and stays; a column of that name is not touched."""
    shop.write("count.yaml", "{{num_samples}}", **WHOLE)
    teacher = ScriptedTeacher(prompt_text)
    keys = {"batch_kwargs": {"num_samples": 30, "batched": True}}
    block = shop.build(LLMBlock, config("count.yaml", "a", **keys), teacher)
    assert await rows_of(block, {"q": 1}) == [{"q": 1, "num_samples": 30, "a": "30"}]
    assert await rows_of(block, {"num_samples": 5}) == [{"num_samples": 5, "a": "5"}]
    assert block.flow == Flow(adds=("num_samples", "a"), one_to_one=True)


async def test_prompts_are_wrapped_for_a_completions_endpoint(shop: Workshop) -> None:
    """The family's chat template goes around the rendered prompt."""
    teacher = ScriptedTeacher(["x"])
    block = shop.build(LLMBlock, config("whole.yaml", "a"), teacher, model_family="mixtral")
    await rows_of(block, {"q": "hi"})
    assert teacher.requests[0].prompt == "<s> [INST] hi [/INST]"


async def test_a_chat_endpoint_gets_one_bare_user_message(shop: Workshop) -> None:
    """Where the server wraps prompts itself, neither family nor model_prompt are used."""
    teacher = ScriptedTeacher(["x"], api="chat")
    keys = {"model_prompt": "<<{{prompt}}>>"}
    await rows_of(
        shop.build(LLMBlock, config("whole.yaml", "a", **keys), teacher, model_family=None), {"q": "hi"}
    )
    assert teacher.requests[0].prompt == [{"role": "user", "content": "hi"}]
    assert teacher.requests[0].shape.api == "chat"
    assert shop.warnings == []


@pytest.mark.parametrize(
    ("model_prompt", "prompt"),
    [
        (None, "<|user|>\nhi\n<|assistant|>"),
        ("", "hi"),
        ("\n<{{prompt}}> ", "<hi>"),
        ("{{messages[0].role}}: {{messages[0]['content']}} {{add_generation_prompt}}", "user: hi True"),
    ],
)
async def test_model_prompt(shop: Workshop, model_prompt: str | None, prompt: str) -> None:
    """A model_prompt is used instead of the family's template; empty means none at all, null the family's."""
    teacher = ScriptedTeacher(["x"])
    keys = config("whole.yaml", "a", model_prompt=model_prompt)
    await rows_of(shop.build(LLMBlock, keys, teacher, model_family="merlinite"), {"q": "hi"})
    assert teacher.requests[0].prompt == prompt


@pytest.mark.parametrize(
    ("model_prompt", "words"),
    [("{{q}}", "'q' is undefined"), ("{% if %}", "model_prompt, line 1"), ("{{prompt+1}}", "TypeError")],
)
def test_a_useless_model_prompt_is_refused(shop: Workshop, model_prompt: str, words: str) -> None:
    """A model_prompt that cannot be compiled or rendered is seen at once."""
    assert words in shop.refused(LLMBlock, config("whole.yaml", "a", model_prompt=model_prompt))


async def test_the_family_of_the_settings_wins(shop: Workshop) -> None:
    """Settings beat the block, the block beats the guess from the model's name."""
    teacher = ScriptedTeacher(lambda request: "x", model="mixtral-8x7b")
    for settings, block in [("merlinite", "llama"), (None, "llama"), (None, None)]:
        keys = config("whole.yaml", "a", model_family=block)
        await rows_of(shop.build(LLMBlock, keys, teacher, model_family=settings), {"q": "hi"})
    assert [prompt_text(request)[:8] for request in teacher.requests] == ["<|user|>", "<|begin_", "<s> [INS"]
    assert shop.warnings == []


async def test_q_prompt_4_the_default_family_is_told(shop: Workshop) -> None:
    """Q-PROMPT-4: a model that tells no family gets merlinite's template, with a warning."""
    teacher = ScriptedTeacher(["x"], model="Meta-Llama-3")
    await rows_of(shop.build(LLMBlock, config("whole.yaml", "a"), teacher, model_family=None), {"q": "hi"})
    assert prompt_text(teacher.requests[0]) == "<|user|>\nhi\n<|assistant|>"
    assert [warning.split(":")[0] for warning in shop.warnings] == ["default_family"]


async def test_which_model_is_asked(shop: Workshop) -> None:
    """The settings' model, else the block's, else the teacher's own."""
    teacher = ScriptedTeacher(lambda request: "x", model="of-teacher")
    for settings, block in [("of-settings", "of-block"), (None, "of-block"), (None, None)]:
        keys = config("whole.yaml", "a", model_id=block)
        await rows_of(shop.build(LLMBlock, keys, teacher, model_id=settings), {"q": "hi"})
    asked = [request.shape.model for request in teacher.requests]
    assert asked == ["of-settings", "of-block", "of-teacher"]


async def test_q_llm_5_gen_kwargs_model_beats_all_but_tells_no_family(shop: Workshop) -> None:
    """Q-LLM-5: gen_kwargs.model is asked, while the family is guessed from the name that it replaced."""
    teacher = ScriptedTeacher(["x"])
    keys = config("whole.yaml", "a", model_id="llama-3", gen_kwargs={"model": "other"})
    block = shop.build(LLMBlock, keys, teacher, model_family=None, model_id="mixtral-8x7b")
    await rows_of(block, {"q": "hi"})
    assert (teacher.requests[0].shape.model, prompt_text(teacher.requests[0])[:3]) == ("other", "<s>")


def test_no_model_at_all_is_refused(shop: Workshop) -> None:
    """With a teacher that serves no known model somebody has to name one; a check does without."""
    teacher = ScriptedTeacher([], model="")
    assert "ask: no model to ask" in shop.refused(LLMBlock, config("whole.yaml", "a"), teacher=teacher)
    shop.build(LLMBlock, config("whole.yaml", "a"))
    shop.build(LLMBlock, config("whole.yaml", "a", gen_kwargs={"model": "m"}), teacher)


@pytest.mark.parametrize(
    ("name", "setting", "tokens"),
    [
        ("gen_knowledge", 100, 100),
        ("other", 100, 2048),
        ("gen_knowledge", 4096, 2048),
        ("gen_knowledge", None, 2048),
    ],
)
async def test_q_llm_6_max_num_tokens_is_for_one_name(
    shop: Workshop, name: str, setting: int | None, tokens: int
) -> None:
    """Q-LLM-6: max_num_tokens reaches a block called gen_knowledge; its default and null count as not set."""
    teacher = ScriptedTeacher(["x"])
    keys = config("whole.yaml", "a", gen_kwargs={"max_tokens": 2048})
    await rows_of(shop.build(LLMBlock, keys, teacher, name=name, max_num_tokens=setting), {"q": "hi"})
    assert sent(teacher.requests[0])["max_tokens"] == tokens


async def test_scaled_choices(shop: Workshop) -> None:
    """``n: scaled`` is the run's number of instructions, which must be there."""
    teacher = ScriptedTeacher(["x"])
    keys = config("whole.yaml", "a", gen_kwargs={"n": "scaled"})
    assert len(await rows_of(shop.build(LLMBlock, keys, teacher, num_instructions=4), {"q": "hi"})) == 4
    for missing in (None, 0):
        assert "ask: gen_kwargs.n is scaled" in shop.refused(LLMBlock, keys, num_instructions=missing)


@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_what_a_call_cost_is_noted(shop: Workshop, api: Any) -> None:
    """With provenance on, the record carries each call's cost and a digest of what was sent."""
    teacher = ScriptedTeacher(["two words"], api=api)
    record = Record(0, {"q": "one two three"}, calls=[{"block": "before"}])
    await shop.build(LLMBlock, config("whole.yaml", "a"), teacher).apply(record)
    prompt = teacher.requests[0].prompt
    data = prompt.encode() if isinstance(prompt, str) else orjson.dumps(prompt)
    assert record.calls == [
        {"block": "before"},
        {
            "block": "ask",
            "prompt_digest": blake2b(data, digest_size=8).hexdigest(),
            "model": "scripted",
            "endpoint": "scripted",
            "attempts": 1,
            "prompt_tokens": 3,
            "completion_tokens": 2,
        },
    ]


async def test_a_block_for_a_check_cannot_ask(shop: Workshop) -> None:
    """Without a teacher everything is checked, and asking is a bug of the caller."""
    with pytest.raises(RuntimeError, match="without a teacher"):
        await shop.build(LLMBlock, config("whole.yaml", "a")).apply(Record(0, {"q": "hi"}))


@pytest.mark.parametrize(
    ("template", "columns", "keys", "flow"),
    [
        ("{{q}}{{p}}", ["a"], {}, Flow(reads=frozenset("qp"), adds=("a",), one_to_one=True)),
        ("{{q}}", ["a"], {"gen_kwargs": {"n": 2}}, Flow(reads=frozenset("q"), adds=("a",))),
        ("{{q}}{% if p %}x{% endif %}", ["a"], {}, Flow(reads=frozenset("q"), adds=("a",))),
        (
            "{{q}}{{num_samples}}",
            ["a"],
            {"batch_kwargs": {"num_samples": 1}},
            Flow(reads=frozenset("q"), adds=("num_samples", "a"), one_to_one=True),
        ),
    ],
)
def test_flow(shop: Workshop, template: str, columns: list[str], keys: dict[str, Any], flow: Flow) -> None:
    """One-to-one is a block with one whole reply for each record that surely reads all it may look at."""
    shop.write("flow.yaml", template, **WHOLE)
    assert shop.build(LLMBlock, config("flow.yaml", *columns, **keys)).flow == flow


def test_flow_of_tags_is_not_one_to_one(shop: Workshop) -> None:
    """With tags a reply may have any number of rows."""
    assert shop.build(LLMBlock, config("two.yaml", "a", "b")).flow == Flow(
        reads=frozenset("q"), adds=("a", "b")
    )


def test_q_parse_1_columns_that_are_never_written_are_told(shop: Workshop) -> None:
    """Q-PARSE-1: output columns beyond the tags are not part of the flow, and are warned about."""
    block = shop.build(LLMBlock, config("two.yaml", "a", "b", "c", "d"))
    assert block.flow == Flow(reads=frozenset("q"), adds=("a", "b"))
    assert shop.warnings == ["columns_never_written: ask: no tags for c, d: never written"]


def test_q_parse_2_a_start_tag_alone_is_refused_with_its_place(shop: Workshop) -> None:
    """Q-PARSE-2: the prompt file and its line are named."""
    shop.write("starts.yaml", "{{q}}", start_tags=["[a]"], end_tags=[""])
    assert "starts.yaml:6: $.start_tags: ask: column 'a'" in shop.refused(
        LLMBlock, config("starts.yaml", "a")
    )


def test_q_parse_3_nothing_to_parse_by_is_refused(shop: Workshop) -> None:
    """Q-PARSE-3: no tags, or no columns, are seen before the first call."""
    shop.write("bare.yaml", "{{q}}")
    assert "no reply can be read" in shop.refused(LLMBlock, config("bare.yaml", "a"))
    assert "no reply can be read" in shop.refused(LLMBlock, config("two.yaml"))


async def test_custom_parsing(shop: Workshop) -> None:
    """``parser_name: custom`` reads replies by a pattern; the prompt file needs no tags then."""
    shop.write("bare.yaml", "{{q}}")
    kwargs = {
        "parser_name": "custom",
        "parsing_pattern": r"Q(.*?)A(.*?)$",
        "parser_cleanup_tags": ["[END]"],
        "x": 1,
    }
    block = shop.build(
        LLMBlock,
        config("bare.yaml", "q", "a", parser_kwargs=kwargs),
        ScriptedTeacher(["Q one A two[END]", "no"]),
    )
    assert await rows_of(block, {"q": "hi"}) == [{"q": "one", "a": "two"}]
    assert "parsing_pattern matches nowhere: Q(.*?)A" in (await reject_of(block, {"q": "hi"})).message


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"parser_name": "custom"}, "ask: the custom parser needs a parsing_pattern"),
        ({"parser_name": "custom", "parsing_pattern": "(a"}, "not a regular expression"),
        ({"parser_name": "custom", "parsing_pattern": "a"}, "no group for b"),
        ({"parser_cleanup_tags": "[END]"}, "$.parser_kwargs.parser_cleanup_tags: expected a list"),
    ],
)
def test_a_useless_parser_is_refused(shop: Workshop, kwargs: dict[str, Any], words: str) -> None:
    """A custom parser that can never give a row is seen before the first call."""
    assert words in shop.refused(LLMBlock, config("two.yaml", "a", "b", parser_kwargs=kwargs))


def test_a_pattern_that_is_not_used_is_told(shop: Workshop) -> None:
    """Any parser name but custom means tags; a pattern beside it is probably meant."""
    kwargs = {"parser_name": "Custom", "parsing_pattern": "(x)"}
    shop.build(LLMBlock, config("two.yaml", "a", "b", parser_kwargs=kwargs))
    assert [warning.split(":")[0] for warning in shop.warnings] == ["pattern_not_used"]


def test_all_mistakes_are_told_at_once(shop: Workshop) -> None:
    """A broken prompt file, an unknown family and a missing number are one error with three problems."""
    shop.write("broken.yaml", "{% if q %}", **WHOLE)
    keys = config("broken.yaml", "a", model_family="Llama", gen_kwargs={"n": "scaled"})
    message = shop.refused(LLMBlock, keys, model_family=None, num_instructions=None)
    assert [word in message for word in ("endif", "unknown model family 'Llama'", "n is scaled")] == [
        True
    ] * 3


def test_asking_blocks_are_quiet(shop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    """A sound block tells nothing, neither as a warning nor in the log."""
    with caplog.at_level(logging.DEBUG):
        assert isinstance(
            shop.build(LLMBlock, config("two.yaml", "a", "b"), ScriptedTeacher([])), AskingBlock
        )
    assert (shop.warnings, caplog.records) == ([], [])
