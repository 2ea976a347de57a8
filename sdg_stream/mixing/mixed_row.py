"""One row of a dataset as a row of a mixed training file: ``messages``, ``metadata``, ``id``, ``unmask``."""

from __future__ import annotations

import json
from typing import Any

from ..errors import RecordError
from ..record import Columns

__all__ = ["mixed_row"]

_KEPT = ("id", "messages", "metadata", "unmask")


def mixed_row(row: Columns, system_prompt: str | None) -> Columns | None:
    """A row as it goes into a mixed file; None if a message that is not of the system has no content.

    Every other column moves into ``metadata``, behind what is there, and that becomes JSON as text. All
    system messages get the prompt, and if there is none it is put first; None leaves messages as they are.
    White space is content.

    Raises:
        RecordError: the row has no sound ``messages`` or ``metadata``.
    """
    messages = _messages(row)
    if any(message["role"] != "system" and not message.get("content") for message in messages):
        return None
    return {
        "messages": messages if system_prompt is None else _prompted(messages, system_prompt),
        "metadata": json.dumps(_metadata(row)),
        "id": row.get("id"),
        "unmask": row.get("unmask") or False,
    }


def _messages(row: Columns) -> list[Columns]:
    messages = row.get("messages")
    if not isinstance(messages, list):
        words = "is no list" if "messages" in row else "is missing"
        raise RecordError("bad_row", f"the column 'messages' {words}")
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            raise RecordError("bad_row", "a message is not a mapping with a role")
    return messages


def _prompted(messages: list[Columns], prompt: str) -> list[Columns]:
    system = False
    for message in messages:
        if message["role"] == "system":
            message["content"] = prompt
            system = True
    return messages if system else [{"role": "system", "content": prompt}, *messages]


def _metadata(row: Columns) -> Any:
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError as error:
            raise RecordError("bad_row", f"the column 'metadata' is text, but not JSON: {error}") from None
    if metadata is None:
        metadata = {}
    moved = {column: value for column, value in row.items() if column not in _KEPT}
    if moved and not isinstance(metadata, dict):
        words = f"is no mapping, and {next(iter(moved))!r} has to go there"
        raise RecordError("bad_row", f"the column 'metadata' {words}")
    return {**metadata, **moved} if moved else metadata
