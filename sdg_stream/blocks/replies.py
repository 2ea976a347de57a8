"""Looks at the choices of a call: which are answers, and what comes off an answer before it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import anyio
from anyio import to_thread

from ..abc import Choice, Context
from ..errors import RecordError
from ..prompts.parsing import SlowReply
from ..prompts.patterns import PatternTooSlow
from ..prompts.reasoning import split_reasoning
from ..record import Columns
from .reply_options import ReplyConfig

__all__ = ["Reading", "ReplyReader", "nothing_left"]

SERVER_WORDS = 500  # characters of a reply that go into a reject

T = TypeVar("T")


class Reading(NamedTuple, Generic[T]):
    """What was taken from a choice: a value, or none and the ``reason`` why there is none."""

    choice: Choice
    reason: str
    value: T | None


class ReplyReader(Generic[T]):
    """Reads choices by the rules of one block's config, and counts in its context what is wrong with them.

    Args:
        config: the rules.
        context: keeps the counts.
        read: makes a value of an answer's text and of the extra columns; None if nothing is found in it. A
            :class:`~sdg_stream.prompts.parsing.SlowReply` from it is read in a worker thread, one at a time.
        splits: whether thoughts are to be split off.
    """

    def __init__(
        self,
        config: ReplyConfig,
        context: Context,
        read: Callable[[str, Columns], T | None],
        *,
        splits: bool,
    ) -> None:
        self._context = context
        self._read = read
        self._splits = splits
        self._keeps_cut = config.on_length == "keep"
        self._keeps_filtered = config.on_content_filter == "keep"
        self._keeps_empty = config.on_empty == "keep"
        self._reasoning_col = config.reasoning_col
        self._logprobs_col = config.logprobs_col
        self._plain = config.reasoning_col is None and config.logprobs_col is None
        self._one_slow: anyio.CapacityLimiter | None = None

    async def __call__(self, choice: Choice) -> Reading[T]:
        """The reading of one choice."""
        text, thoughts = choice.text, choice.reasoning
        if self._splits:
            split, text = split_reasoning(text)
            thoughts = thoughts or split
        end, reason = choice.finish_reason, ""
        if end in ("length", "content_filter"):
            reason = self._ended(end)
        if not reason and (not text or text.isspace()):
            reason = self._empty(choice, thoughts)
        elif "\0" in text:
            reason = "bad_encoding"
        if reason:
            if reason not in {"cut_off", "content_filter"}:  # those have counts of their own
                self._context.unparsed_replies += 1
            return Reading(choice, reason, None)
        try:
            value = self._read(text, {} if self._plain else self._extra(choice, thoughts))
        except SlowReply as slow:
            value, reason = await self._read_slowly(slow)
        if value is None:
            self._context.unparsed_replies += 1
            return Reading(choice, reason or "unparsed_reply", None)
        return Reading(choice, "", value)

    async def _read_slowly(self, slow: SlowReply[T | None]) -> tuple[T | None, str]:
        """The value, or why there is none, while everything else goes on."""
        self._one_slow = self._one_slow or anyio.CapacityLimiter(1)
        try:
            return await to_thread.run_sync(slow.again, limiter=self._one_slow, abandon_on_cancel=True), ""
        except PatternTooSlow:
            return None, "parse_timeout"

    def _ended(self, end: str) -> str:
        """Why a reply that did not end by itself is not to be used; empty if it is."""
        if end == "length":
            self._context.cut_replies += 1
            return "" if self._keeps_cut else "cut_off"
        self._context.filtered_replies += 1
        return "" if self._keeps_filtered else "content_filter"

    def _empty(self, choice: Choice, thoughts: str) -> str:
        """Why an empty reply is not to be used; some are, since old pipelines rely on it."""
        if choice.finish_reason == "content_filter":
            return "content_filter"
        if choice.refusal:
            return "refusal"
        if thoughts:
            return "only_reasoning"
        return "" if self._keeps_empty else "empty_reply"

    def _extra(self, choice: Choice, thoughts: str) -> Columns:
        extra: Columns = {}
        if self._reasoning_col is not None:
            extra[self._reasoning_col] = thoughts or None
        if self._logprobs_col is not None:
            extra[self._logprobs_col] = choice.logprobs
        return extra


_WHY = {
    "cut_off": "was cut off at max_tokens; raise gen_kwargs.max_tokens",
    "content_filter": "was ended by the server's content filter",
    "empty_reply": "is empty",
    "only_reasoning": "holds reasoning only, no answer: raise max_tokens, so that the model comes to one",
    "refusal": "is a refusal by the model",
    "bad_encoding": "holds NUL characters",
    "parse_timeout": "takes the pattern that is to read it too long; make that simpler, see parsing_pattern",
}


def nothing_left(readings: list[Reading[T]], missed: Callable[[str], str], note: str = "") -> RecordError:
    """The reject of a record of which no choice gave anything; the first choice is the one that is told.

    ``missed`` says why a text could not be read, ``note`` what else was tried.
    """
    choice, reason, _ = readings[0]
    if reason == "unparsed_reply":
        message = _unparsed(choice, len(readings), missed)
    else:
        which = "the reply" if len(readings) == 1 else f"the first of {len(readings)} replies"
        message = f"{which} {_WHY[reason]}"
    words = choice.refusal or choice.text or choice.reasoning
    return RecordError(reason, message + note, server=words[:SERVER_WORDS])


def _unparsed(choice: Choice, count: int, missed: Callable[[str], str]) -> str:
    text = choice.text.strip()
    replies = "the reply" if count == 1 else f"any of {count} replies"
    message = f"no row in {replies}: {missed(text)}"
    if not text:
        message += "; it is empty"
    if choice.finish_reason == "length":
        message += "; it was cut off at max_tokens"
    return message
