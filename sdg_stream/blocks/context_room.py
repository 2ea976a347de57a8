"""How many tokens a model's context leaves for a reply: estimated before a call, exact after a refusal.

Without the model's tokenizer a count is an estimate. So a record is only rejected here when no tokenizer
could make its prompt fit; all else is sent, since a server refuses for nothing what is too long, and says by
how much.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ..errors import RecordError

__all__ = ["ContextRoom", "prompt_chars", "stated_counts"]

MOST_CHARS = 16  # per token: far above what any text in any tokenizer has, but for long runs of one character
DENSE_CHARS = 2.5  # per token, where nothing is known yet and the estimate must not be too low
LEARNT = 8  # calls after which the measured ratio is believed
MARGIN = 1.05  # on estimated prompt tokens

_LIMIT = re.compile(r"context (?:length|size) (?:is |of )?(?:only )?\(?(\d+)|must be <= (\d+)", re.IGNORECASE)
_PROMPT = re.compile(
    r"(\d+) (?:in (?:the|your) (?:prompt|messages)|input tokens|tokens from the input|`inputs` tokens)",
    re.IGNORECASE,
)


class ContextRoom:
    """The room that one model's context leaves, with the characters a token that the calls so far had.

    ``limit`` is the number of tokens that prompt and reply may have together; None if nobody knows.
    """

    __slots__ = ("_calls", "_chars", "_tokens", "limit")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._calls = 0
        self._chars = 0
        self._tokens = 0

    def learn(self, chars: int, tokens: int) -> None:
        """A prompt of so many characters had so many tokens, the server says."""
        if chars > 0 and tokens > 0:
            self._calls += 1
            self._chars += chars
            self._tokens += tokens

    def fit(self, chars: int, max_tokens: int, *, clips: bool) -> int:
        """``max_tokens`` for a prompt of so many characters: as it is, or what is likely to fit (``clips``).

        Raises:
            RecordError: ``context_length``; the prompt alone cannot fit.
        """
        limit = self.limit
        if limit is None:
            return max_tokens
        if chars >= limit * MOST_CHARS:
            raise RecordError(
                "context_length",
                f"the prompt of {chars} characters has at least {chars // MOST_CHARS} tokens; "
                f"the model takes {limit}, the reply's included",
            )
        if not clips or self._calls < LEARNT:
            return max_tokens
        return max(1, min(max_tokens, limit - self._likely(chars)))

    def left(self, words: str, chars: int, max_tokens: int) -> int | None:
        """Tokens that a reply may have, by what a server says when it refuses; None if it leaves none.

        vLLM stops counting one token beyond what would have fitted. Such a count is only a lower bound: the
        estimate counts if it is higher, else half of the room is taken.
        """
        limit, prompt = stated_counts(words)
        limit = limit or self.limit
        if limit is None:
            return None
        if prompt is None:
            prompt = self._likely(chars)
        elif prompt + max_tokens == limit + 1:
            likely = self._likely(chars)
            prompt = likely if likely > prompt else (prompt + limit) // 2
        room = limit - prompt
        return room if 0 < room < max_tokens else None

    def _likely(self, chars: int) -> int:
        ratio = self._chars / self._tokens if self._calls >= LEARNT else DENSE_CHARS
        return math.ceil(chars / ratio * MARGIN)


def stated_counts(words: str) -> tuple[int | None, int | None]:
    """The context's length and the prompt's, in tokens, where a refusal states them.

    Known are the words of vLLM (three generations), llama-cpp-python, SGLang and TGI.
    """
    limit, prompt = _LIMIT.search(words), _PROMPT.search(words)
    return (
        int(limit.group(1) or limit.group(2)) if limit else None,
        int(prompt.group(1)) if prompt else None,
    )


def prompt_chars(prompt: str | list[dict[str, Any]]) -> int:
    """Characters of a prompt, or of the contents of its messages."""
    if isinstance(prompt, str):
        return len(prompt)
    return sum(len(str(message.get("content") or "")) for message in prompt)
