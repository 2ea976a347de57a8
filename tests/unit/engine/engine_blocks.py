"""Small blocks for engine tests, and a shortcut that runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import anyio

from sdg_stream.abc import AsyncBlock, Block, BlockConfig, Context, Flow, GroupBlock, RowBlock
from sdg_stream.engine.plain import PlainLedger
from sdg_stream.engine.plan import Order, PlannedBlock, make_plan
from sdg_stream.engine.run import Engine
from sdg_stream.errors import RecordError
from sdg_stream.events import Event, RunReport
from sdg_stream.io.iterables import IterableSource
from sdg_stream.record import Columns, Record
from sdg_stream.testing.edges import ListSink


class Row(RowBlock[BlockConfig]):
    """A row block from a function."""

    def __init__(self, name: str, function: Callable[[Columns], Iterable[Columns]]) -> None:
        super().__init__(BlockConfig(), Context(name))
        self.function = function

    def apply(self, columns: Columns) -> Iterable[Columns]:
        return self.function(columns)


class Call(AsyncBlock[BlockConfig]):
    """An async block from a coroutine function."""

    def __init__(
        self,
        name: str,
        function: Callable[[Record], Awaitable[Sequence[Columns]]],
        flow: Flow | None = None,
    ) -> None:
        super().__init__(BlockConfig(), Context(name))
        self.function = function
        self._flow = flow

    @property
    def flow(self) -> Flow | None:
        return self._flow

    async def apply(self, record: Record) -> Sequence[Columns]:
        return await self.function(record)


class Group(GroupBlock[BlockConfig]):
    """A group block from a function."""

    def __init__(self, name: str, function: Callable[[list[Record]], Iterable[Record]]) -> None:
        super().__init__(BlockConfig(), Context(name))
        self.function = function

    def apply(self, records: list[Record]) -> Iterable[Record]:
        return self.function(records)


def planned(block: Block[Any], **entry: Any) -> PlannedBlock:
    """A block as a pipeline file entry."""
    return PlannedBlock(block, type(block).__name__, **entry)


def engine_of(
    blocks: Sequence[PlannedBlock],
    rows: Iterable[Columns] | AsyncIterator[Columns],
    order: Order = "input",
    **more: Any,
) -> tuple[Engine, ListSink]:
    """An engine over blocks and rows, and the sink that it fills."""
    sink = ListSink()
    rejects = more.pop("rejects", ListSink())
    engine = Engine(
        make_plan(blocks, order),
        name="test",
        source=IterableSource(rows),
        ledger=PlainLedger(more.pop("sink", sink), rejects),
        **more,
    )
    return engine, sink


async def run(
    blocks: Sequence[PlannedBlock], rows: Iterable[Columns], order: Order = "input", **more: Any
) -> tuple[RunReport, list[Columns], list[Columns]]:
    """Run blocks over rows: the report, the rows, and the rejects."""
    rejects = ListSink()
    engine, sink = engine_of(blocks, rows, order, rejects=rejects, **more)
    with anyio.fail_after(20):
        report = await engine.run()
    assert sink.closed
    assert report.roots == report.accepted + report.filtered + report.rejected
    assert report.pending == 0
    return report, sink.rows, rejects.rows


async def yields(times: int) -> None:
    """Give other tasks so many turns: makes later records overtake earlier ones without any clock."""
    for _ in range(times):
        await anyio.lowlevel.checkpoint()


def fail_on(column: str, value: Any) -> Callable[[Columns], Iterable[Columns]]:
    """A row function that rejects one value."""

    def apply(columns: Columns) -> Iterable[Columns]:
        if columns[column] == value:
            raise RecordError("bad_value", f"{column} is {value}")
        return (columns,)

    return apply


class Events(list[Event]):
    """A hook that keeps all events."""

    def __call__(self, event: Event, /) -> None:
        self.append(event)

    def of(self, kind: type) -> list[Any]:
        """The events of one kind."""
        return [event for event in self if isinstance(event, kind)]
