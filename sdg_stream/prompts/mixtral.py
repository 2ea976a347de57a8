"""The chat template of Mistral's instruct models: ``[INST]`` around what the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["render"]

_ROLES = ("user", "assistant")


def render(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """The text of a conversation. ``<s>`` is literal; a system message goes before the first user text.

    Raises:
        ValueError: after an optional system message the roles are not user, assistant, user, ...
    """
    del add_generation_prompt  # ``[/INST]`` is all there is
    system = ""
    if messages and messages[0]["role"] == "system":
        system, messages = f"{messages[0]['content']}\n\n", messages[1:]
    text = "<s>"
    for number, message in enumerate(messages):
        if message["role"] != _ROLES[number % 2]:
            raise ValueError("after an optional system message, user and assistant take turns")
        if message["role"] == "assistant":
            text += f" {message['content']}</s>"
        else:
            text += f" [INST] {system if number == 0 else ''}{message['content']} [/INST]"
    return text.strip()
