"""The chat template of Merlinite and of the Granite 7B models: one header line for each turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["render"]


def render(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """The text of a conversation; turns of unknown roles are left out, as the models' own template does.

    The newline after the last header is stripped: that is the prompt the shipped pipelines were tuned on.
    """
    turns = [_turn(message["role"], message["content"]) for message in messages]
    text = "".join(turns)
    if messages and messages[-1]["role"] == "assistant":
        text = text.removesuffix("\n")
    if messages and add_generation_prompt:
        text += "<|assistant|>\n"
    return text.strip()


def _turn(role: str, content: str) -> str:
    match role:
        case "system" | "user":
            return f"<|{role}|>\n{content}\n"
        case "assistant":
            return f"<|assistant|>\n{content}<|endoftext|>\n"
        case "pretraining":
            return f"<|pretrain|>{content}<|endoftext|><|/pretrain|>"
        case _:
            return ""
