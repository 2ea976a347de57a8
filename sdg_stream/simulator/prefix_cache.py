"""Which beginnings of prompts the simulated teacher remembers: blocks of 16 tokens, least recently used out.

As in vLLM, only whole blocks are shared, and a block is known by everything before it as well.
"""

from __future__ import annotations

from .prompt_text import CHARACTERS_PER_TOKEN

__all__ = ["BLOCK_TOKENS", "PrefixCache"]

BLOCK_TOKENS = 16
_BLOCK_CHARACTERS = BLOCK_TOKENS * CHARACTERS_PER_TOKEN


class PrefixCache:
    """Remembers the blocks of up to ``capacity_tokens`` tokens of prompts."""

    def __init__(self, capacity_tokens: int) -> None:
        self._capacity = capacity_tokens // BLOCK_TOKENS
        self._blocks: dict[int, None] = {}  # in order of use, the oldest first

    def take(self, prompt: str) -> int:
        """Tokens of the prompt's beginning that were remembered; from now on all of it is."""
        blocks = self._blocks
        key = 0
        hits = 0
        hitting = True
        for start in range(0, len(prompt) - _BLOCK_CHARACTERS + 1, _BLOCK_CHARACTERS):
            key = hash((key, prompt[start : start + _BLOCK_CHARACTERS]))
            if key in blocks:
                del blocks[key]
                hits += hitting
            else:
                hitting = False
            blocks[key] = None
        while len(blocks) > self._capacity:
            del blocks[next(iter(blocks))]
        return hits * BLOCK_TOKENS

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
