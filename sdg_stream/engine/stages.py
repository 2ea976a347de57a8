"""The coroutine bodies of stages: take a record, apply, tell the tracker, hand on.

A worker never holds a slot of the teacher while it waits on a channel, and each stage tells the tracker how
many records it makes of one *before* it sends them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import anyio

from ..abc import AsyncBlock, GroupBlock
from ..errors import RecordError
from ..record import Columns, Record
from .chain import Chain
from .channel import Channel
from .plan import PlannedBlock
from .stats import BlockStats
from .tracker import Gate, Tracker, Window

__all__ = ["GateOutlet", "Outlet", "StageBase", "call_stage", "gate_stage", "group_stage", "rows_stage"]


class Outlet(Protocol):
    """Where a stage sends its records: a channel, or a gate."""

    async def send(self, record: Record) -> None:
        """Hand a record over."""

    def close(self) -> None:
        """Nothing more will be sent."""


class GateOutlet:
    """The sending end of a gate: never waits."""

    def __init__(self, gate: Gate, tracker: Tracker, segment: int) -> None:
        self._gate = gate
        self._tracker = tracker
        self._segment = segment

    async def send(self, record: Record) -> None:
        """Let the gate hold the record until its root is done."""
        self._tracker.arrived(record, self._segment)

    def close(self) -> None:
        """Nothing more will arrive."""
        self._gate.close()


class StageBase:
    """What all stage bodies share: the chain, the tracker's segment, and handing results on."""

    def __init__(self, chain: Chain, tracker: Tracker, segment: int, outlet: Outlet) -> None:
        self.chain = chain
        self.tracker = tracker
        self.segment = segment
        self.outlet = outlet

    async def hand_on(self, record: Record, results: list[Columns]) -> None:
        """Send what became of a record, after telling the tracker how many that is."""
        count = len(results)
        if count == 1:
            record.columns = results[0]
            await self.outlet.send(record)
            return
        self.tracker.changed(record.root, self.segment, count - 1)
        for index, columns in enumerate(results):
            await self.outlet.send(record.fork(columns, index))


async def rows_stage(inlet: Channel, base: StageBase) -> None:
    """A stage of row blocks alone: one coroutine."""
    run, hand_on = base.chain.run, base.hand_on
    try:
        while True:
            record = await inlet.receive()
            await hand_on(record, run(record.columns, record))
    except anyio.EndOfStream:
        base.outlet.close()


async def gate_stage(gate: Gate, base: StageBase) -> None:
    """A stage of row blocks that takes its records from a gate, root after root."""
    run, hand_on = base.chain.run, base.hand_on
    while (found := await gate.next()) is not None:
        for record in found[1]:
            await hand_on(record, run(record.columns, record))
    base.outlet.close()


async def group_stage(
    gate: Gate, planned: PlannedBlock, base: StageBase, window: Window, done: Callable[[int], bool]
) -> None:
    """A barrier: all records at once through a group block, then root after root through the chain.

    Of a root that is ``done``, settled before, the block has to see the records; they end here.
    """
    roots: list[int] = []
    records: list[Record] = []
    while (found := await gate.next()) is not None:
        roots.append(found[0])
        records.extend(found[1])
    by_root: dict[int, list[Record]] = {}
    for record in _apply_group(planned, records, base):
        by_root.setdefault(record.root, []).append(record)
    came: dict[int, int] = {}
    for record in records:
        came[record.root] = came.get(record.root, 0) + 1
    records.clear()
    for root in roots:
        leaving = sorted(by_root.pop(root, ()), key=lambda record: record.path)
        if done(root):
            leaving = []
        delta = len(leaving) - came.get(root, 0)
        if delta:
            base.tracker.changed(root, base.segment, delta)
        if leaving:
            await window.enter(root)
        for record in leaving:
            await base.hand_on(record, base.chain.run(record.columns, record))
    base.outlet.close()


def _apply_group(planned: PlannedBlock, records: list[Record], base: StageBase) -> Sequence[Record]:
    block, stats = planned.block, planned.stats
    if not isinstance(block, GroupBlock):
        raise TypeError(f"{stats.name!r} is not a group block")
    stats.records_in += len(records)
    came: dict[int, int] = {}
    for record in records:
        came[record.root] = came.get(record.root, 0) + 1
    try:
        results = list(block.apply(list(records))) if records else []
    except RecordError as error:
        for record in records:
            base.tracker.roots[record.root].tally[stats.slot] += 1
            base.tracker.reject(record, stats, error, record.columns)
        return []
    except Exception as bug:
        bug.add_note(f"in block {stats.name!r} ({stats.type}), {len(records)} records at its barrier")
        raise
    left = dict.fromkeys(came, 0)
    for record in results:
        left[record.root] += 1
    for root, count in came.items():
        _count_group(stats, base.tracker.roots[root].tally, count, left[root])
    return results


def _count_group(stats: BlockStats, tally: list[int], came: int, left: int) -> None:
    filtered = max(0, came - left)
    stats.records_out += left
    stats.filtered += filtered
    slot = stats.slot
    tally[slot : slot + 3] = (tally[slot] + came, tally[slot + 1] + left, tally[slot + 2] + filtered)


def _ask_of(planned: PlannedBlock) -> Callable[[Record], Awaitable[Sequence[Columns]]]:
    if not isinstance(planned.block, AsyncBlock):
        raise TypeError(f"{planned.stats.name!r} is not an async block")
    return planned.block.apply


class _Calls(StageBase):
    """What the workers of one async stage share."""

    def __init__(self, base: StageBase, head: list[PlannedBlock], workers: Callable[[], int]) -> None:
        super().__init__(base.chain, base.tracker, base.segment, base.outlet)
        self.head = head
        self.asks = [(_ask_of(planned), planned.stats) for planned in head]
        self.workers_allowed = workers
        self.workers = 1
        self.idle = 0

    async def ask(self, index: int, record: Record) -> Sequence[Columns]:
        """One async block on one record; a reject gives nothing."""
        apply, stats = self.asks[index]
        tally, slot = self.tracker.roots[record.root].tally, stats.slot
        stats.records_in += 1
        tally[slot] += 1
        columns = record.columns
        try:
            results = await apply(record)
        except RecordError as error:
            self.tracker.reject(record, stats, error, columns)
            return ()
        except Exception as bug:
            bug.add_note(f"in block {stats.name!r} ({stats.type}), root {record.root}")
            raise
        stats.records_out += len(results)
        tally[slot + 1] += len(results)
        if not results:
            stats.filtered += 1
            tally[slot + 2] += 1
        return results

    async def ask_all(self, record: Record) -> Sequence[Columns]:
        """The stage's one-to-one blocks side by side on one record, their columns merged in block order."""
        found: list[dict[str, Any] | None] = [None] * len(self.head)
        shells = [
            Record(record.root, dict(record.columns), record.path, None if record.calls is None else [])
            for _ in self.head
        ]

        async def one(index: int) -> None:
            results = await self.ask(index, shells[index])
            if results:
                found[index] = results[0]
            else:
                tasks.cancel_scope.cancel()  # the record has ended: its other answers are not needed

        async with anyio.create_task_group() as tasks:
            for index in range(len(self.head)):
                tasks.start_soon(one, index)
        merged = record.columns
        for planned, result, shell in zip(self.head, found, shells, strict=True):
            if result is None:
                return ()
            flow = planned.block.flow
            for name in flow.adds if flow else ():
                merged[name] = result[name]
            if record.calls is not None and shell.calls:
                record.calls.extend(shell.calls)
        return (merged,)


async def call_stage(
    inlet: Channel, head: list[PlannedBlock], base: StageBase, workers: Callable[[], int]
) -> None:
    """A stage of async blocks: as many workers as there is work for, up to ``workers()``."""
    shared = _Calls(base, head, workers)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_worker, shared, inlet, tasks)
    base.outlet.close()


async def _worker(shared: _Calls, inlet: Channel, tasks: anyio.abc.TaskGroup) -> None:
    single = len(shared.head) == 1
    while True:
        try:
            record = inlet.take()
            if record is None:
                shared.idle += 1
                try:
                    record = await inlet.receive()
                finally:
                    shared.idle -= 1
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return
        if not shared.idle and shared.workers < shared.workers_allowed():
            shared.workers += 1
            tasks.start_soon(_worker, shared, inlet, tasks)
        results = await (shared.ask(0, record) if single else shared.ask_all(record))
        await _finish(shared, record, results)


async def _finish(shared: _Calls, record: Record, results: Sequence[Columns]) -> None:
    """Run the rest of the stage on an answer, and hand it on."""
    run = shared.chain.run
    if len(results) == 1:
        await shared.hand_on(record, run(results[0], record))
        return
    leaving: list[Columns] = []
    for columns in results:
        leaving.extend(run(columns, record))
    await shared.hand_on(record, leaving)
