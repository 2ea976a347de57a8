"""LLMLogProbBlock is LLMBlock by another name."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_workshop import Workshop, rows_of

from sdg_stream.blocks.llm_logprob_block import LLMLogProbBlock
from sdg_stream.testing.scripted import ScriptedTeacher


@pytest.mark.anyio
async def test_it_parses_replies_as_llm_block_does(tmp_path: Path) -> None:
    """The rows are parsed replies; no log probabilities are asked for."""
    shop = Workshop(tmp_path)
    shop.write("p.yaml", "{{q}}", start_tags=["[a]"], end_tags=["[/a]"])
    teacher = ScriptedTeacher([["[a]1[/a]", "[a]2[/a]"]])
    keys = {"config_path": "p.yaml", "output_cols": ["a"], "gen_kwargs": {"n": 2}}
    assert await rows_of(shop.build(LLMLogProbBlock, keys, teacher), {"q": "hi"}) == [
        {"q": "hi", "a": "1"},
        {"q": "hi", "a": "2"},
    ]
    assert b"logprobs" not in teacher.requests[0].shape.head
