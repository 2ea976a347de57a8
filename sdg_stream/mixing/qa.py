"""Question and response of a generated row, whichever pipeline made it."""

from __future__ import annotations

from ..record import Columns

__all__ = ["question_of", "response_of", "unusable"]


def question_of(row: Columns) -> str | None:
    """Column ``question``; without one, ``output`` up to and with its first question mark.

    Empty if ``output`` has no question mark; None if there is no text to take it from.
    """
    if "question" in row:
        return _text(row["question"])
    output = _text(row.get("output"))
    if not output:
        return None
    question, mark, _ = output.partition("?")
    return question.strip() + mark if mark else ""


def response_of(row: Columns) -> str | None:
    """Column ``response``; without one, what follows the first question mark of ``output``, or all of it.

    None if there is no text to take it from.
    """
    if "response" in row:
        return _text(row["response"])
    output = _text(row.get("output"))
    if output is None:
        return None
    all_of_it, mark, response = output.partition("?")
    return (response if mark else all_of_it).strip()


def unusable(row: Columns, *, knowledge: bool) -> str:
    """Why no training row can be made of a generated row, in a few words; empty if one can be."""
    if knowledge and not _text(row.get("document")):
        return "no document"
    if question_of(row) is None:
        return "no question" if "question" in row or "output" not in row else "no output"
    if response_of(row) is None:
        return "no response"
    return ""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
