"""The two older formats of training rows, and the rows of the test file."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..record import Columns
from .qa import question_of, response_of

__all__ = ["messages_row", "rows_for_test", "train_row"]

_PAIRS = 3  # of a knowledge sample that are used for testing


def train_row(row: Columns, system_prompt: str) -> Columns | None:
    """``system``, ``user`` and ``assistant`` of a usable row; None if the response is empty."""
    assistant = (response_of(row) or "").strip()
    if not assistant:
        return None
    user = f"{question_of(row)}{_below(row.get('context'))}"
    return {"system": system_prompt, "user": user.strip(), "assistant": assistant}


def messages_row(train: Columns) -> Columns:
    """A row of :func:`train_row` as ``messages``, with the system prompt in ``metadata`` (JSON as text)."""
    return {
        "messages": [
            {"content": train["user"], "role": "user"},
            {"content": train["assistant"], "role": "assistant"},
        ],
        "metadata": json.dumps({"system": train["system"]}),
    }


def rows_for_test(sample: Columns, system_prompt: str | None) -> Iterator[Columns]:
    """``user``, ``assistant`` and, unless the prompt is empty, ``system``, of a leaf node's sample.

    A knowledge sample gives one row for each of its first three pairs, with its document below the question;
    a skill sample gives one.
    """
    system = {"system": system_prompt} if system_prompt else {}
    for question, context, answer in _pairs(sample):
        yield {"user": f"{question}{_below(context)}".strip(), "assistant": answer.strip(), **system}


def _pairs(sample: Columns) -> Iterator[tuple[str, object, str]]:
    if "icl_query_1" not in sample:
        grounded = sample.get("leaf_node_type") == "grounded_skill"
        context = sample.get("seed_context") if grounded else None
        yield sample["seed_question"], context, sample["seed_response"]
        return
    for number in range(1, _PAIRS + 1):
        question, answer = sample.get(f"icl_query_{number}"), sample.get(f"icl_response_{number}")
        if question is not None and answer is not None:
            yield question, sample.get("icl_document"), answer


def _below(context: object) -> str:
    return f"\n{context}" if isinstance(context, str) and context else ""
