"""Made-up log probabilities, in the two shapes in which the two endpoints send them."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from .prompt_text import CHARACTERS_PER_TOKEN

__all__ = ["chat_logprobs", "text_logprobs"]


def _tokens(text: str) -> list[str]:
    return [text[at : at + CHARACTERS_PER_TOKEN] for at in range(0, len(text), CHARACTERS_PER_TOKEN)]


def _logprob(token: str, rank: int) -> float:
    """A made-up log probability, always the same for the same token, lower for lower ranks."""
    return -(crc32(token.encode("utf-8")) % 1000) / 1000 - 2.0 * rank


def _alternatives(token: str, count: int) -> dict[str, float]:
    return {token if not rank else f"{token}~{rank}": _logprob(token, rank) for rank in range(count)}


def text_logprobs(text: str, count: int) -> dict[str, Any]:
    """Log probabilities of a text completion, with ``count`` alternatives a token."""
    tokens = _tokens(text)
    return {
        "tokens": tokens,
        "token_logprobs": [_logprob(token, 0) for token in tokens],
        "top_logprobs": [_alternatives(token, count) for token in tokens],
        "text_offset": [index * CHARACTERS_PER_TOKEN for index in range(len(tokens))],
    }


def chat_logprobs(text: str, count: int) -> dict[str, Any]:
    """Log probabilities of a chat completion, with ``count`` alternatives a token."""

    def entry(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8"))}

    return {
        "content": [
            {
                **entry(token, _logprob(token, 0)),
                "top_logprobs": [entry(*item) for item in _alternatives(token, count).items()],
            }
            for token in _tokens(text)
        ]
    }
