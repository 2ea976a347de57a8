"""Training rows of skills: the generated row as it is, with messages added."""

from __future__ import annotations

from ..record import Columns
from .qa import question_of, response_of
from .randomness import row_id

__all__ = ["SKILL_ROWS", "skill_row"]

SKILL_ROWS = 30
"""How many rows of each skill are mixed in."""


def skill_row(row: Columns, system_prompt: str, leaf: str, number: int) -> Columns:
    """All columns of a usable row, then ``id``, ``messages`` (system, user, assistant) and ``unmask``."""
    question, response = (question_of(row) or "").strip(), (response_of(row) or "").strip()
    return {
        **row,
        "id": row_id(leaf, "skill", str(number), question, response),
        "messages": [
            {"content": system_prompt, "role": "system"},
            {"content": question, "role": "user"},
            {"content": response, "role": "assistant"},
        ],
        "unmask": False,
    }
