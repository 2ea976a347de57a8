"""Reply shapes of real servers, as their documentation and sources show them, decoded one by one.

The shapes are hand-written files in ``tests/contract/replies``, one for each server; ``source`` says where a
file's shapes come from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from sdg_stream.abc import CallShape, Choice
from sdg_stream.teacher.refusals import refusal_reason
from sdg_stream.teacher.wire import decode_reply, server_words

FOLDER = Path(__file__).parents[2] / "contract" / "replies"


def shapes() -> list[Any]:
    """All recorded shapes, named by server and case."""
    return [
        pytest.param(case, id=f"{file.stem}: {case['name']}")
        for file in sorted(FOLDER.glob("*.json"))
        for case in json.loads(file.read_text(encoding="utf-8"))["cases"]
    ]


def body_of(case: dict[str, Any]) -> bytes:
    """The bytes of a case's reply."""
    return case["raw"].encode() if "raw" in case else orjson.dumps(case["body"])


@pytest.mark.parametrize("case", [one for one in shapes() if one.values[0]["status"] == 200])
def test_replies_are_decoded(case: dict[str, Any]) -> None:
    """Texts, reasons, thoughts, refusals, log probabilities and tokens are what the server meant."""
    shape = CallShape.make(case["api"], {"model": "m", "n": case["n"]})
    decoded = decode_reply(body_of(case), shape)
    assert decoded.choices == [msgspec.convert(choice, Choice) for choice in case["choices"]]
    assert decoded.tokens == (tuple(case["tokens"]) if case["tokens"] else None)


@pytest.mark.parametrize("case", [one for one in shapes() if one.values[0]["status"] != 200])
def test_refusals_are_told_apart(case: dict[str, Any]) -> None:
    """What ends a record, what ends the run, and the server's words for people."""
    body = body_of(case)
    assert refusal_reason(case["status"], body) == case["reason"]
    assert case["words"] in server_words(body)


@pytest.mark.parametrize("server", ["vllm", "openai", "azure", "ollama", "tgi", "llama_cpp"])
def test_every_server_has_its_shapes(server: str) -> None:
    """Each of the servers that are promised to work has replies and refusals, with their source."""
    recorded = json.loads((FOLDER / f"{server}.json").read_text(encoding="utf-8"))
    assert recorded["source"]
    assert {case["status"] == 200 for case in recorded["cases"]} == {True, False}
