"""Runs another block several times on the same record, and gives all results.

The nested block keeps its kind: a row block stays fusable, an async block makes all its calls for a record at
once, a group block waits for all records. Each iteration has its own index in the record's path, so that
calls with equal prompts are told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import anyio

from ..abc import AsyncBlock, Block, BlockConfig, Context, Flow, GroupBlock, RowBlock
from ..config.decode import decode_struct
from ..config.yaml import Document
from ..errors import ConfigError, Problem, RecordError, first_leaf
from ..record import Columns, Record

__all__ = ["IterBlock"]


class _OwnKeys(BlockConfig, frozen=True, kw_only=True):
    """The keys of the ``config`` mapping that are not the nested block's."""

    num_iters: int
    block_type: str

    def __post_init__(self) -> None:
        if self.num_iters < 0:
            raise ValueError(f"num_iters is {self.num_iters}; it cannot be negative")


class IterBlock(Block["IterBlock.Config"]):
    """Runs a block ``num_iters`` times; made by :meth:`create`, which gives a block of the nested one's kind.

    In a pipeline file the nested block's keys stand next to ``num_iters`` and ``block_type``, or in a mapping
    of their own under ``block_config``.

    An iteration that fails for a record is left out, with a notice; if nothing at all is left of the record
    because of failures, it ends with the first of them. No iterations filter every record.
    """

    class Config(_OwnKeys, frozen=True, kw_only=True):
        """What to run, and how often.

        Attributes:
            num_iters: number of times, 0 or more.
            block_type: type of the nested block.
            block_config: the nested block's own config.
        """

        block_config: BlockConfig

    @classmethod
    def decode(
        cls, document: Document, path: str, data: Any, problems: list[Problem], context: Context
    ) -> BlockConfig | None:
        """Own keys by this block, all others by the nested block."""
        keys = dict(data) if isinstance(data, dict) else data
        nested = {}
        if isinstance(data, dict):
            nested = {key: keys.pop(key) for key in data if key not in ("num_iters", "block_type")}
        own = decode_struct(document, path, keys, _OwnKeys, problems)
        if own is None:
            return None
        try:
            kind = context.resolve(own.block_type)
        except ConfigError as error:
            place = f"{path}.block_type"
            problems.extend(document.problem(place, problem.message) for problem in error.problems)
            return None
        if list(nested) == ["block_config"]:
            path, nested = f"{path}.block_config", nested["block_config"]
        config = kind.decode(document, path, nested, problems, context)
        if config is None:
            return None
        return cls.Config(num_iters=own.num_iters, block_type=own.block_type, block_config=config)

    @classmethod
    def create(cls, config: Config, context: Context) -> Block[Any]:
        """A row, async or group block that runs the nested block."""
        nested = context.resolve(config.block_type).create(config.block_config, context)
        if isinstance(nested, RowBlock):
            return _RowIter(config, context, nested)
        if isinstance(nested, AsyncBlock):
            return _AsyncIter(config, context, nested)
        if isinstance(nested, GroupBlock):
            return _GroupIter(config, context, nested)
        raise TypeError(f"{type(nested).__name__} is none of RowBlock, AsyncBlock and GroupBlock")


class _Failures:
    """Iterations of one block that failed; a notice tells of the 1st, 10th, 100th and so on."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lost = 0

    def settle(self, errors: dict[int, RecordError], *, anything_left: bool) -> None:
        """Raise the first failure for a record (or a group) if nothing is left of it, else count them."""
        if errors and not anything_left:
            raise errors[min(errors)]
        for _, error in sorted(errors.items()):
            self._lost += 1
            if str(self._lost).strip("0") == "1":
                self._context.warn(
                    "iteration_failed",
                    f"iterations that failed so far: {self._lost}; their records go on with the other ones."
                    f" The latest: {error.reason}: {error.message}",
                )


def _flow_of(nested: Block[Any]) -> Flow | None:
    flow = nested.flow
    return flow and Flow(reads=flow.reads, adds=flow.adds, drops=flow.drops, fresh=flow.fresh)


class _RowIter(RowBlock[IterBlock.Config]):
    """Iterations of a row block."""

    def __init__(self, config: IterBlock.Config, context: Context, nested: RowBlock[Any]) -> None:
        super().__init__(config, context)
        self._nested = nested
        self._failures = _Failures(context)

    @property
    def flow(self) -> Flow | None:
        """The nested block's, for any number of results."""
        return _flow_of(self._nested)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The results of all iterations, in order."""
        results: list[Columns] = []
        errors: dict[int, RecordError] = {}
        for iteration in range(self.config.num_iters):
            try:
                results += list(self._nested.apply(dict(columns)))
            except RecordError as error:
                errors[iteration] = error
        self._failures.settle(errors, anything_left=bool(results))
        return results


class _AsyncIter(AsyncBlock[IterBlock.Config]):
    """Iterations of an async block, all at a time."""

    def __init__(self, config: IterBlock.Config, context: Context, nested: AsyncBlock[Any]) -> None:
        super().__init__(config, context)
        self.uses_teacher = nested.uses_teacher
        self._nested = nested
        self._failures = _Failures(context)

    @property
    def flow(self) -> Flow | None:
        """The nested block's, for any number of results."""
        return _flow_of(self._nested)

    async def apply(self, record: Record) -> Sequence[Columns]:
        """The results of all iterations, in order."""
        copies = [record.fork(dict(record.columns), index) for index in range(self.config.num_iters)]
        outcomes: list[Sequence[Columns]] = [()] * len(copies)
        errors: dict[int, RecordError] = {}

        async def run(iteration: int, copy: Record) -> None:
            try:
                outcomes[iteration] = await self._nested.apply(copy)
            except RecordError as error:
                errors[iteration] = error

        stopped: BaseException | None = None
        try:
            async with anyio.create_task_group() as group:
                for iteration, copy in enumerate(copies):
                    group.start_soon(run, iteration, copy)
        except ExceptionGroup as several:
            stopped = first_leaf(several)
        _keep_calls(record, copies)
        if stopped is not None:
            raise stopped
        self._failures.settle(errors, anything_left=any(outcomes))
        return [columns for outcome in outcomes for columns in outcome]


class _GroupIter(GroupBlock[IterBlock.Config]):
    """Iterations of a group block, one after the other."""

    def __init__(self, config: IterBlock.Config, context: Context, nested: GroupBlock[Any]) -> None:
        super().__init__(config, context)
        self._nested = nested
        self._failures = _Failures(context)

    @property
    def flow(self) -> Flow | None:
        """The nested block's, for any number of results."""
        return _flow_of(self._nested)

    def apply(self, records: list[Record]) -> Iterable[Record]:
        """The results of the first iteration for all records, then those of the second, and so on."""
        results: list[Record] = []
        errors: dict[int, RecordError] = {}
        for iteration in range(self.config.num_iters):
            copies = [record.fork(dict(record.columns), iteration) for record in records]
            try:
                results += list(self._nested.apply(copies))
            except RecordError as error:
                errors[iteration] = error
        self._failures.settle(errors, anything_left=bool(results))
        return results


def _keep_calls(record: Record, copies: Iterable[Record]) -> None:
    """Give the record what its copies' calls cost; a copy starts with the calls that the record has."""
    if record.calls is None:
        return
    before = len(record.calls)
    for copy in copies:
        record.calls += (copy.calls or [])[before:]
