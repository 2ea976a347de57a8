"""From what a client sent to the words a person meant: chat templates and message lists taken off.

A reply must not depend on how its prompt travelled, so a prompt inside a chat template, the same prompt in a
list, and the same prompt as a chat message all come out of here as one text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["CHARACTERS_PER_TOKEN", "join_messages", "token_count", "unwrap"]

CHARACTERS_PER_TOKEN = 4  # a token of English text has about four characters; here it has exactly four

_TEMPLATES = {  # how a prompt in a chat template ends: where its user text begins and ends
    "[/INST]": ("[INST]", "[/INST]"),
    "<|assistant|>": ("<|user|>", "<|assistant|>"),
    "<|start_header_id|>assistant<|end_header_id|>": (
        "<|start_header_id|>user<|end_header_id|>",
        "<|eot_id|>",
    ),
    "<|im_start|>assistant": ("<|im_start|>user", "<|im_end|>"),
    "<|start_of_role|>assistant<|end_of_role|>": (
        "<|start_of_role|>user<|end_of_role|>",
        "<|end_of_text|>",
    ),
    "<start_of_turn>model": ("<start_of_turn>user", "<end_of_turn>"),
}


def token_count(text: str) -> int:
    """Simulated tokens of a text: four characters each, at least one for any text."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def unwrap(prompt: str) -> str:
    """The user's words of a prompt that a client put into a well-known chat template; else the prompt."""
    text = prompt.strip()
    if not text.endswith((">", "]", "assistant", "model")):
        return text
    for tail, (opening, closing) in _TEMPLATES.items():
        if text.endswith(tail):
            begin = text.rfind(opening)
            end = text.find(closing, begin + len(opening))
            if begin >= 0 and end >= 0:
                return text[begin + len(opening) : end].strip()
    return text


def join_messages(contents: Iterable[str]) -> str:
    """The texts of a chat's messages as one prompt; a single message is that message."""
    return "\n\n".join(content.strip() for content in contents if content.strip())
