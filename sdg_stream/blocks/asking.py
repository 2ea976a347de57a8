"""What the blocks that render a prompt and parse the replies have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ParamSpec, TypeVar

import msgspec

from ..abc import AsyncBlock, BlockConfig, Context, Flow
from ..config.yaml import Document
from ..errors import ConfigError, Problem
from ..prompts.parsing import Parser, RegexParser, SlowReply, TagParser
from ..record import Columns, Record
from .again import Again
from .asker import make_asker, named_model
from .gen_kwargs import GenKwargs, asks_logprobs, decode_config
from .prompt_file import PromptFile, load_prompt
from .replies import ReplyReader, nothing_left
from .reply_options import ReplyConfig, added_columns
from .response_schema import SchemaParser, load_schema, schema_params
from .wrapping import chat_wrapper

__all__ = ["AskingBlock", "AskingConfig", "BatchKwargs", "ParserKwargs"]

NUM_SAMPLES = "num_samples"

P = ParamSpec("P")
T = TypeVar("T")


class ParserKwargs(msgspec.Struct, frozen=True, kw_only=True):
    """How replies are read: ``parser_name: custom`` by a pattern, anything else by tags."""

    parser_name: str | None = None
    parsing_pattern: str | None = None
    parser_cleanup_tags: list[str] | None = None


class BatchKwargs(msgspec.Struct, frozen=True, kw_only=True):
    """``num_samples`` becomes a column that prompts can use. Other keys (``batched``) mean nothing."""

    num_samples: int | None = None


class AskingConfig(ReplyConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of every block that renders a prompt and parses the replies, beside those of all that ask.

    Attributes:
        output_cols: the columns that replies are parsed into.
        model_id: the model to ask unless the settings name one.
        model_family: chat template to wrap prompts in unless the settings name one; guessed from the model.
        model_prompt: a Jinja template of ``prompt`` to use instead; empty text sends the bare prompt.
        gen_kwargs: request parameters.
        parser_kwargs: how replies are read.
        batch_kwargs: the ``num_samples`` column.
        parse_retries: how often a reply in which nothing is found, or an empty one, is asked for again: with
            a new seed, and at temperature 0.7 where the block's is 0, which would give the same reply.
        response_schema: a JSON schema, or the path of a file that holds one. It is sent along, and replies
            are read as JSON that it allows: properties become the ``output_cols`` of the same name. Tags
            and ``parser_kwargs`` are not used then. Needs the extra ``schema``.
    """

    output_cols: tuple[str, ...]
    model_id: str | None = None
    model_family: str | None = None
    model_prompt: str | None = None
    gen_kwargs: GenKwargs = msgspec.field(default_factory=GenKwargs)
    parser_kwargs: ParserKwargs = msgspec.field(default_factory=ParserKwargs)
    batch_kwargs: BatchKwargs = msgspec.field(default_factory=BatchKwargs)
    parse_retries: Annotated[int, msgspec.Meta(ge=0)] = 0
    response_schema: dict[str, Any] | str | None = None


A = TypeVar("A", bound=AskingConfig)


class AskingBlock(AsyncBlock[A]):
    """Renders a prompt for each record, asks, and gives a record for each row found in the choices.

    ``prompts`` are the block's prompt files by path. Replies are parsed by the tags of the first one.
    ``wrap`` makes the text to send of a rendered prompt; ``wraps`` says whether the block wants that at all.
    """

    def __init__(self, config: A, context: Context, paths: Sequence[str], *, wraps: bool) -> None:
        super().__init__(config, context)
        problems: list[Problem] = []
        kwargs, teacher = config.gen_kwargs, context.teacher
        model = named_model(context, config.model_id) or kwargs.model or ""
        loaded = {path: _attempt(problems, load_prompt, path, context) for path in paths}
        first = loaded[paths[0]]
        schema: dict[str, Any] | None = None
        if config.response_schema is not None:
            schema = _attempt(problems, load_schema, context, config.response_schema, kwargs)
        parser = _attempt(problems, _make_parser, context, config, first, schema)
        asker = _attempt(
            problems,
            make_asker,
            context,
            config.model_id,
            kwargs,
            clips=config.on_context_overflow == "clip",
            extra=schema_params(context, schema) if schema else None,
            endpoint=config.endpoint,
        )
        wrap = _attempt(
            problems,
            chat_wrapper,
            context,
            family=config.model_family,
            model_prompt=config.model_prompt,
            model=model,
            used=wraps and teacher is not None and teacher.api == "completions",
        )
        added = parser.columns if parser else config.output_cols
        columns = _attempt(problems, added_columns, context.name, config, added, asks_logprobs(kwargs))
        if problems or not (parser and asker and wrap and first and columns is not None):
            raise ConfigError(problems)
        self.prompts = {path: prompt for path, prompt in loaded.items() if prompt is not None}
        self.parser, self.asker, self.wrap, self._added = parser, asker, wrap, columns
        splits = config.split_reasoning == "auto" and not (schema is None and _reads_thoughts(config, first))
        self._read = ReplyReader(config, context, self._rows, splits=splits)
        again = Again(
            asker, context, kwargs, lengthens=config.on_length == "retry", parse_retries=config.parse_retries
        )
        self._again = again if again.ever else None
        num_samples = config.batch_kwargs.num_samples
        self._given: Columns = {} if num_samples is None else {NUM_SAMPLES: num_samples}

    @classmethod
    def decode(
        cls, document: Document, path: str, data: Any, problems: list[Problem], context: Context
    ) -> BlockConfig | None:
        """The ``config`` mapping as the block's struct, mistakes listed."""
        del context
        return decode_config(document, path, data, cls.Config, problems)

    @abstractmethod
    def prompt(self, columns: Columns) -> str:
        """The text to send for a record.

        Raises:
            RecordError: these columns make no prompt.
        """

    async def apply(self, record: Record) -> Sequence[Columns]:
        """The record's columns with those of each row, choice by choice."""
        columns = record.columns
        if self._given and NUM_SAMPLES not in columns:
            columns = {**columns, **self._given}
        prompt = self.prompt(columns)
        completion = await self.asker.ask(record, prompt)
        readings = [await self._read(choice) for choice in completion.choices[: self.asker.shape.n]]
        note = ""
        if self._again is not None:
            note = await self._again.improve(record, prompt, readings, self._read)
        results = [{**columns, **row} for reading in readings for row in reading.value or ()]
        if not results:
            raise nothing_left(readings, self.parser.missed, note)
        return results

    def _rows(self, text: str, extra: Columns) -> list[Columns] | None:
        try:
            return _with_extra(self.parser.parse(text.strip()), extra)
        except SlowReply as slow:
            again = slow.again
            raise SlowReply(lambda: _with_extra(again(), extra)) from None

    def _flow(self, required: frozenset[str], names: frozenset[str]) -> Flow:
        """The flow of a block whose prompts always need ``required`` and may look at ``names``.

        It is one-to-one only if it surely reads all that it may read: otherwise it could be asked beside
        a block that writes what it would have looked at.
        """
        given = self._given.keys()
        one_to_one = names - given <= required and self.parser.one_row and self.asker.shape.n == 1
        return Flow(
            reads=required - given,
            adds=tuple(dict.fromkeys((*given, *self._added))),
            one_to_one=one_to_one,
        )


def _attempt(problems: list[Problem], build: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Build something; None, with its mistakes listed, where that fails. So one look finds all mistakes."""
    try:
        return build(*args, **kwargs)
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _with_extra(rows: list[Columns], extra: Columns) -> list[Columns] | None:
    if not rows:
        return None
    return [{**row, **extra} for row in rows] if extra else rows


def _reads_thoughts(config: AskingConfig, prompt: PromptFile) -> bool:
    """Whether the block's own tags or pattern are about a model's thoughts."""
    kwargs = config.parser_kwargs
    if kwargs.parser_name == "custom":
        return "think" in (kwargs.parsing_pattern or "").lower()
    return any("think" in (tag or "").lower() for tag in (*prompt.start_tags, *prompt.end_tags))


def _make_parser(
    context: Context, config: AskingConfig, prompt: PromptFile | None, schema: dict[str, Any] | None
) -> Parser | None:
    kwargs = config.parser_kwargs
    if config.response_schema is not None:
        return None if schema is None else SchemaParser(context.name, schema, config.output_cols)
    if kwargs.parser_name == "custom":
        if kwargs.parsing_pattern is None:
            raise ConfigError(f"{context.name}: the custom parser needs a parsing_pattern")
        try:
            return RegexParser(kwargs.parsing_pattern, config.output_cols, kwargs.parser_cleanup_tags or ())
        except ValueError as error:
            raise ConfigError(f"{context.name}: {error}") from error
    if kwargs.parsing_pattern is not None:
        context.warn("pattern_not_used", "parsing_pattern is only read with parser_name: custom")
    return None if prompt is None else _tag_parser(context, config, prompt)


def _tag_parser(context: Context, config: AskingConfig, prompt: PromptFile) -> TagParser:
    try:
        parser = TagParser(prompt.start_tags, prompt.end_tags, config.output_cols)
    except ValueError as error:
        raise ConfigError(prompt.document.problem("$.start_tags", f"{context.name}: {error}")) from error
    if lost := [column for column in config.output_cols if column not in parser.columns]:
        context.warn("columns_never_written", f"no tags for {', '.join(lost)}: never written")
    return parser
