"""``LLMMessagesBlock``: a column holds whole conversations, the teacher's answer goes into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..abc import AsyncBlock, BlockConfig, Context, Flow
from ..config.yaml import Document
from ..errors import Problem, RecordError
from ..record import Columns, Record
from .again import Again
from .asker import make_asker
from .gen_kwargs import GenKwargs, asks_logprobs, decode_config
from .record_errors import missing_column, taken_column
from .replies import ReplyReader, nothing_left
from .reply_options import ReplyConfig, added_columns

__all__ = ["LLMMessagesBlock", "LLMMessagesConfig"]

WARM = 0.7  # temperature of several choices; at 0 they would all be the same


class LLMMessagesConfig(ReplyConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of ``LLMMessagesBlock``, beside those of every block that asks.

    With more than one choice a dropped one is left out of the lists, and the columns for thoughts and log
    probabilities are lists too.

    Attributes:
        input_col: column of messages, each a mapping with ``role`` and ``content``.
        output_col: new column for the answer: text, or a list of texts for more than one choice.
        model_id: the model to ask unless the settings name one.
        gen_kwargs: request parameters.
    """

    input_col: str
    output_col: str
    model_id: str | None = None
    gen_kwargs: GenKwargs = msgspec.field(default_factory=GenKwargs)


class LLMMessagesBlock(AsyncBlock[LLMMessagesConfig]):
    """Sends the messages as they are to the chat endpoint; the answer is not stripped or parsed."""

    Config = LLMMessagesConfig

    def __init__(self, config: LLMMessagesConfig, context: Context) -> None:
        super().__init__(config, context)
        kwargs, clips = config.gen_kwargs, config.on_context_overflow == "clip"
        self.asker = make_asker(
            context, config.model_id, kwargs, api="chat", capped=False, clips=clips, endpoint=config.endpoint
        )
        if self.asker.shape.n > 1 and kwargs.temperature <= 0:
            context.warn("temperature_raised", f"several choices need a temperature above 0; taking {WARM}")
            kwargs = msgspec.structs.replace(kwargs, temperature=WARM)
            self.asker = make_asker(
                context,
                config.model_id,
                kwargs,
                api="chat",
                capped=False,
                clips=clips,
                endpoint=config.endpoint,
            )
        self._added = added_columns(context.name, config, [config.output_col], asks_logprobs(kwargs))
        self._read = ReplyReader(config, context, self._answer, splits=config.split_reasoning == "auto")
        again = Again(self.asker, context, kwargs, lengthens=config.on_length == "retry")
        self._again = again if again.ever else None

    @classmethod
    def decode(
        cls, document: Document, path: str, data: Any, problems: list[Problem], context: Context
    ) -> BlockConfig | None:
        """The ``config`` mapping as the block's struct, mistakes listed."""
        del context
        return decode_config(document, path, data, cls.Config, problems)

    async def apply(self, record: Record) -> Sequence[Columns]:
        """The record with the answer in its new column."""
        columns = record.columns
        if taken := [column for column in self._added if column in columns]:
            raise taken_column(taken, columns)
        messages, n = self._messages(columns), self.asker.shape.n
        completion = await self.asker.ask(record, messages)
        readings = [await self._read(choice) for choice in completion.choices[:n]]
        note = ""
        if self._again is not None:
            note = await self._again.improve(record, messages, readings, self._read)
        answers = [reading.value for reading in readings if reading.value is not None]
        if not answers:
            raise nothing_left(readings, str, note)  # no text is ever unparsed here
        if n == 1:
            return [{**columns, **answers[0]}]
        return [{**columns, **{name: [answer[name] for answer in answers] for name in self._added}}]

    def _answer(self, text: str, extra: Columns) -> Columns:
        return {self.config.output_col: text, **extra}

    @property
    def flow(self) -> Flow:
        """Needs the messages, adds the answer."""
        reads, added = frozenset({self.config.input_col}), self._added
        return Flow(reads=reads, adds=added, fresh=frozenset(added), one_to_one=True)

    def _messages(self, columns: Columns) -> list[dict[str, Any]]:
        column = self.config.input_col
        if column not in columns:
            raise missing_column([column], columns)
        messages = columns[column]
        if not (isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages)):
            raise RecordError("bad_value", f"the column {column!r} holds no list of messages")
        return messages
