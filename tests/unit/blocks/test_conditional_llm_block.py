"""ConditionalLLMBlock: which template, which tags, which wrapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llm_workshop import Workshop, reject_of, rows_of

from sdg_stream.abc import Flow
from sdg_stream.blocks.conditional_llm_block import ConditionalLLMBlock
from sdg_stream.testing.scripted import ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

A = {"start_tags": ["[a]"], "end_tags": ["[/a]"]}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Prompt files of three kinds; ``other.yaml`` has tags of its own."""
    shop = Workshop(tmp_path)
    shop.write("red.yaml", "red {{q}}", **A)
    shop.write("blue.yaml", "blue {{q}} {{shade}}", **A)
    shop.write("other.yaml", "other {{q}}", start_tags=["[b]"], end_tags=["[/b]"])
    return shop


def config(*pairs: list[Any], **keys: Any) -> dict[str, Any]:
    """A config with these prompt files and keys."""
    return {"config_paths": list(pairs), "output_cols": ["a"], "selector_column_name": "kind", **keys}


def echo() -> ScriptedTeacher:
    """A teacher that gives the prompt back between the tags of both kinds."""
    return ScriptedTeacher(lambda request: f"[a]{prompt_text(request)}[/a][b]b[/b]")


async def test_the_selector_picks_the_template(shop: Workshop) -> None:
    """The value of the selector column decides which prompt is rendered."""
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "red"], ["blue.yaml", "blue"]), echo())
    assert [row["a"] for row in await rows_of(block, {"q": 1, "kind": "red"})] == ["red 1"]
    assert [row["a"] for row in await rows_of(block, {"q": 1, "kind": "blue", "shade": 2})] == ["blue 1 2"]
    assert shop.warnings == []


@pytest.mark.parametrize("value", ["green", None, ["red"], {}])
async def test_a_value_without_a_template_rejects(shop: Workshop, value: Any) -> None:
    """A value that has no prompt file, whatever its type, ends the record without a call."""
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "red"], ["blue.yaml", "blue"]), echo())
    error = await reject_of(block, {"q": 1, "kind": value})
    assert error.reason == "unknown_choice"
    assert 'known choices: "red", "blue"' in error.message


async def test_a_record_without_the_selector_column_rejects(shop: Workshop) -> None:
    """The selector column must be there if there is something to select."""
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "red"], ["blue.yaml", "blue"]), echo())
    assert (await reject_of(block, {"q": 1})).reason == "missing_column"


async def test_keys_need_not_be_text(shop: Workshop) -> None:
    """Numbers and null pick templates too, by equality."""
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", 1], ["other.yaml", None]), echo())
    assert len(await rows_of(block, {"q": 1, "kind": 1})) == 1
    assert len(await rows_of(block, {"q": 1, "kind": None})) == 1
    assert (await reject_of(block, {"q": 1, "kind": "1"})).reason == "unknown_choice"


async def test_a_single_entry_for_all(shop: Workshop) -> None:
    """One entry with the key All serves every record, with or without the selector column."""
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "All"]), echo())
    assert [row["a"] for row in await rows_of(block, {"q": 1})] == ["red 1"]
    assert [row["a"] for row in await rows_of(block, {"q": 2, "kind": "x"})] == ["red 2"]
    assert block.flow == Flow(reads=frozenset("q"), adds=("a",))


async def test_q_cond_3_all_is_ordinary_beside_others(shop: Workshop) -> None:
    """Q-COND-3: with several entries All is a key like any other."""
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "All"], ["blue.yaml", "blue"]), echo())
    assert [row["a"] for row in await rows_of(block, {"q": 1, "kind": "All"})] == ["red 1"]
    assert (await reject_of(block, {"q": 1, "kind": "red"})).reason == "unknown_choice"


async def test_of_equal_keys_the_last_counts(shop: Workshop) -> None:
    """A key given twice has the later template."""
    block = shop.build(ConditionalLLMBlock, config(["blue.yaml", "x"], ["red.yaml", "x"]), echo())
    assert [row["a"] for row in await rows_of(block, {"q": 1, "kind": "x"})] == ["red 1"]


@pytest.mark.parametrize("keys", [{}, {"model_prompt": "<<{{prompt}}>>"}])
async def test_q_cond_1_the_bare_prompt_is_sent(shop: Workshop, keys: dict[str, Any]) -> None:
    """Q-COND-1: neither chat template nor model_prompt are used, nor is a default family warned about."""
    teacher = echo()
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "All"], **keys), teacher, model_family=None)
    await rows_of(block, {"q": 1})
    assert prompt_text(teacher.requests[0]) == "red 1"
    assert shop.warnings == []


async def test_q_cond_1_the_chat_template_is_an_option(shop: Workshop) -> None:
    """Q-COND-1: with use_chat_template prompts are wrapped as LLMBlock does."""
    teacher = echo()
    keys = config(["red.yaml", "All"], use_chat_template=True)
    await rows_of(shop.build(ConditionalLLMBlock, keys, teacher, model_family="mixtral"), {"q": 1})
    assert prompt_text(teacher.requests[0]) == "<s> [INST] red 1 [/INST]"


async def test_q_cond_2_the_first_tags_parse_all_replies(shop: Workshop) -> None:
    """Q-COND-2: replies to every prompt file are read by the first one's tags, which is told."""
    keys = config(["red.yaml", "red"], ["other.yaml", "other"])
    block = shop.build(ConditionalLLMBlock, keys, echo())
    assert [row["a"] for row in await rows_of(block, {"q": 1, "kind": "other"})] == ["other 1"]
    assert shop.warnings == ["tags_disagree: ask: the tags of red.yaml parse the replies to all prompt files"]


def test_tags_that_are_not_used_may_disagree(shop: Workshop) -> None:
    """With a custom pattern the tags do not matter."""
    kwargs = {"parser_name": "custom", "parsing_pattern": "(.*)"}
    shop.build(
        ConditionalLLMBlock, config(["red.yaml", "red"], ["other.yaml", "other"], parser_kwargs=kwargs)
    )
    assert shop.warnings == []


async def test_choices_and_num_samples_work_as_in_llm_block(shop: Workshop) -> None:
    """Several choices, the num_samples column and rejects are those of LLMBlock."""
    shop.write("count.yaml", "{{num_samples}}", **A)
    teacher = ScriptedTeacher([["[a]x[/a]", "[a]y[/a]"], "no"])
    keys = {"gen_kwargs": {"n": 2}, "batch_kwargs": {"num_samples": 4}}
    block = shop.build(ConditionalLLMBlock, config(["count.yaml", "x"], **keys), teacher)
    rows = await rows_of(block, {"kind": "x"})
    assert rows == [{"kind": "x", "num_samples": 4, "a": a} for a in "xy"]
    assert (await reject_of(block, {"kind": "x"})).reason == "unparsed_reply"


def test_flow_needs_what_all_templates_need(shop: Workshop) -> None:
    """Columns of only some templates are not required, and keep the block from being one-to-one."""
    shop.write("red.yaml", "red {{q}}", start_tags=[""], end_tags=[""])
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "red"], ["blue.yaml", "blue"]))
    assert block.flow == Flow(reads=frozenset({"kind", "q"}), adds=("a",))
    block = shop.build(ConditionalLLMBlock, config(["red.yaml", "red"]))
    assert block.flow == Flow(reads=frozenset({"kind", "q"}), adds=("a",), one_to_one=True)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], "config_paths needs at least one pair"),
        ([["red.yaml"]], "$.config_paths[0]: "),
        ([["red.yaml", "x", "y"]], "$.config_paths[0]: "),
        ([["nowhere.yaml", "x"], ["gone.yaml", "y"]], "gone.yaml: cannot be read"),
    ],
)
def test_mistakes_in_the_prompt_files(shop: Workshop, pairs: list[list[Any]], words: str) -> None:
    """No entry, an entry that is no pair, and files that are not there are refused before any call."""
    assert words in shop.refused(ConditionalLLMBlock, config(*pairs))
