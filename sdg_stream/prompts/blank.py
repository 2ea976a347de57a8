"""The chat template ``blank``: the prompt and nothing else, for base models and for servers that wrap it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["render"]


def render(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """The contents of the messages, one below the other."""
    del add_generation_prompt  # there is no header to add
    return "\n".join(message["content"] for message in messages).strip()
