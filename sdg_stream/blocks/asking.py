"""What the blocks that render a prompt and parse the replies have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import msgspec

from ..abc import AsyncBlock, BlockConfig, Choice, Context, Flow
from ..config.yaml import Document
from ..errors import ConfigError, Problem, RecordError
from ..prompts.parsing import Parser, RegexParser, TagParser
from ..record import Columns, Record
from .asker import make_asker, named_model
from .gen_kwargs import GenKwargs, decode_config
from .prompt_file import PromptFile, load_prompt
from .wrapping import chat_wrapper

__all__ = ["AskingBlock", "AskingConfig", "BatchKwargs", "ParserKwargs"]

SERVER_WORDS = 500  # characters of a reply that go into a reject
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


class AskingConfig(BlockConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of every block that renders a prompt and parses the replies.

    Attributes:
        output_cols: the columns that replies are parsed into.
        model_id: the model to ask unless the settings name one.
        model_family: chat template to wrap prompts in unless the settings name one; guessed from the model.
        model_prompt: a Jinja template of ``prompt`` to use instead; empty text sends the bare prompt.
        gen_kwargs: request parameters.
        parser_kwargs: how replies are read.
        batch_kwargs: the ``num_samples`` column.
    """

    output_cols: tuple[str, ...]
    model_id: str | None = None
    model_family: str | None = None
    model_prompt: str | None = None
    gen_kwargs: GenKwargs = msgspec.field(default_factory=GenKwargs)
    parser_kwargs: ParserKwargs = msgspec.field(default_factory=ParserKwargs)
    batch_kwargs: BatchKwargs = msgspec.field(default_factory=BatchKwargs)


A = TypeVar("A", bound=AskingConfig)


class AskingBlock(AsyncBlock[A]):
    """Renders a prompt for each record, asks, and gives a record for each row found in the choices.

    ``prompts`` are the block's prompt files by path. Replies are parsed by the tags of the first one.
    ``wrap`` makes the text to send of a rendered prompt; ``wraps`` says whether the block wants that at all.
    """

    def __init__(self, config: A, context: Context, paths: Sequence[str], *, wraps: bool) -> None:
        super().__init__(config, context)
        problems: list[Problem] = []
        model = named_model(context, config.model_id) or config.gen_kwargs.model or ""
        teacher = context.teacher
        loaded = {path: _attempt(problems, load_prompt, path, context) for path in paths}
        first = loaded[paths[0]]
        parser = None if first is None else _attempt(problems, _make_parser, context, config, first)
        asker = _attempt(problems, make_asker, context, config.model_id, config.gen_kwargs)
        wrap = _attempt(
            problems,
            chat_wrapper,
            context,
            family=config.model_family,
            model_prompt=config.model_prompt,
            model=model,
            used=wraps and teacher is not None and teacher.api == "completions",
        )
        if problems or parser is None or asker is None or wrap is None:
            raise ConfigError(problems)
        self.prompts = {path: prompt for path, prompt in loaded.items() if prompt is not None}
        self.parser, self.asker, self.wrap = parser, asker, wrap
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
        completion = await self.asker.ask(record, self.prompt(columns))
        choices = completion.choices[: self.asker.shape.n]
        results: list[Columns] = []
        unparsed = 0
        for choice in choices:
            rows = self.parser.parse(choice.text.strip())
            if not rows:
                unparsed += 1
            for row in rows:
                results.append({**columns, **row})
        self.context.unparsed_replies += unparsed
        if not results:
            raise self._nothing_found(choices)
        return results

    def _flow(self, required: frozenset[str], names: frozenset[str]) -> Flow:
        """The flow of a block whose prompts always need ``required`` and may look at ``names``.

        It is one-to-one only if it surely reads all that it may read: otherwise it could be asked beside
        a block that writes what it would have looked at.
        """
        given = self._given.keys()
        one_to_one = names - given <= required and self.parser.one_row and self.asker.shape.n == 1
        return Flow(
            reads=required - given,
            adds=tuple(dict.fromkeys((*given, *self.parser.columns))),
            one_to_one=one_to_one,
        )

    def _nothing_found(self, choices: Sequence[Choice]) -> RecordError:
        first = choices[0]
        text = first.text.strip()
        replies = "the reply" if len(choices) == 1 else f"any of {len(choices)} replies"
        message = f"no row in {replies}: {self.parser.missed(text)}"
        if not text:
            message += "; it is empty"
        if first.finish_reason == "length":
            message += "; it was cut off at max_tokens"
        return RecordError("unparsed_reply", message, server=first.text[:SERVER_WORDS])


def _attempt(problems: list[Problem], build: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Build something; None, with its mistakes listed, where that fails. So one look finds all mistakes."""
    try:
        return build(*args, **kwargs)
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _make_parser(context: Context, config: AskingConfig, prompt: PromptFile) -> Parser:
    kwargs = config.parser_kwargs
    if kwargs.parser_name == "custom":
        if kwargs.parsing_pattern is None:
            raise ConfigError(f"{context.name}: the custom parser needs a parsing_pattern")
        try:
            return RegexParser(kwargs.parsing_pattern, config.output_cols, kwargs.parser_cleanup_tags or ())
        except ValueError as error:
            raise ConfigError(f"{context.name}: {error}") from error
    if kwargs.parsing_pattern is not None:
        context.warn("pattern_not_used", "parsing_pattern is only read with parser_name: custom")
    try:
        parser = TagParser(prompt.start_tags, prompt.end_tags, config.output_cols)
    except ValueError as error:
        raise ConfigError(prompt.document.problem("$.start_tags", f"{context.name}: {error}")) from error
    if lost := [column for column in config.output_cols if column not in parser.columns]:
        context.warn("columns_never_written", f"no tags for {', '.join(lost)}: never written")
    return parser
