"""The chat template of Llama 3.1 and later, for conversations without tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["render"]

_DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"  # the template's own defaults


def render(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """The text of a conversation; ``<|begin_of_text|>`` is literal, a system message joins the header.

    Raises:
        ValueError: a message is the result of a tool.
    """
    system = ""
    if messages and messages[0]["role"] == "system":
        system, messages = messages[0]["content"].strip(), messages[1:]
    text = f"<|begin_of_text|>{_header('system')}{_DATES}{system}<|eot_id|>"
    for message in messages:
        if message["role"] in {"tool", "ipython"}:
            raise ValueError("tool messages are not part of this chat template")
        text += f"{_header(message['role'])}{message['content'].strip()}<|eot_id|>"
    if add_generation_prompt:
        text += _header("assistant")
    return text.strip()


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"
