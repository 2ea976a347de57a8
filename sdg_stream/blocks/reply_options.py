"""The config keys by which a block says what becomes of replies that are not whole, sound answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..abc import BlockConfig
from ..errors import ConfigError

__all__ = ["ReplyConfig", "added_columns"]


class ReplyConfig(BlockConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of every block that asks the teacher. The defaults keep every reply, as pipelines always have.

    A record of which nothing is left ends as a reject with the reason that is named here.

    Attributes:
        endpoint: the pool of endpoints to ask, those given as ``NAME=URL``; empty for the default one.
        on_length: what becomes of a reply that ended at ``max_tokens``: ``keep`` it as if it were whole,
            ``drop`` it (``cut_off``), or ``retry``: ask again with twice the tokens, up to eight times the
            block's, and drop what is cut off even then.
        on_content_filter: ``keep`` or ``drop`` (``content_filter``) what the server's content filter left of
            a reply; one of which it left nothing is always dropped.
        on_empty: ``keep`` or ``drop`` (``empty_reply``) a reply without text.
        on_context_overflow: what becomes of a record whose prompt and ``max_tokens`` are more than the
            model takes: ``reject`` it (``context_length``), or ``clip`` its ``max_tokens`` to what is left.
        split_reasoning: ``auto`` splits thoughts off (``<think>...</think>`` at the begin of a reply) unless
            the block reads its replies by such tags itself; ``never`` leaves them in.
        reasoning_col: column for the thoughts, split off here or by the server; null where there are none.
        logprobs_col: column for the choice's ``logprobs`` object as the server sent it; ``gen_kwargs`` must
            ask for it.
    """

    endpoint: str = ""
    on_length: Literal["keep", "drop", "retry"] = "keep"
    on_content_filter: Literal["keep", "drop"] = "keep"
    on_empty: Literal["keep", "drop"] = "keep"
    on_context_overflow: Literal["reject", "clip"] = "reject"
    split_reasoning: Literal["auto", "never"] = "auto"
    reasoning_col: str | None = None
    logprobs_col: str | None = None


def added_columns(name: str, config: ReplyConfig, outputs: Sequence[str], asked: bool) -> tuple[str, ...]:
    """The columns that a block writes: its outputs, and those that the config adds.

    ``asked`` says whether log probabilities are asked for.

    Raises:
        ConfigError: columns would overwrite each other, or nothing would fill one.
    """
    extra = [column for column in (config.reasoning_col, config.logprobs_col) if column is not None]
    for column in extra:
        if column in outputs or extra.count(column) > 1:
            raise ConfigError(f"{name}: the column {column!r} would be written twice")
    if config.logprobs_col is not None and not asked:
        raise ConfigError(f"{name}: logprobs_col stays empty unless gen_kwargs.logprobs asks for them")
    return tuple(dict.fromkeys((*outputs, *extra)))
