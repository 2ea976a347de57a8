"""``LLMLogProbBlock``: another name that old pipelines have for ``LLMBlock``."""

from __future__ import annotations

from .llm_block import LLMBlock

__all__ = ["LLMLogProbBlock"]


class LLMLogProbBlock(LLMBlock):
    """Does what ``LLMBlock`` does, as it always has; log probabilities are not part of its rows."""
