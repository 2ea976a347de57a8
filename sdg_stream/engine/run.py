"""The run: one task group from feed to commit, and the account of what became of every root."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio

from ..abc import Sink, Source, SourceItem
from ..errors import OutputError, RecordError, SdgStreamError, first_leaf
from ..events import Event, EventHook, Notice, Progress, RunFinished, RunReport
from ..record import Columns, Record
from .chain import Chain
from .channel import Channel
from .grouping import GroupedChannel
from .limits import Governor, Limits
from .plan import Plan, Stage
from .stages import GateOutlet, Outlet, StageBase, call_stage, gate_stage, group_stage, rows_stage
from .stats import RunStats
from .tracker import Gate, Reject, RootState, Tracker, Window
from .watchdog import watch_loop

__all__ = ["Engine"]

FLUSH_SECONDS = 0.05
SYNC_SECONDS = 1.0
PROGRESS_SECONDS = 0.5
GRACE_SECONDS = 10.0  # for writing what is settled when a run is stopped
MIN_WINDOW = 2048  # roots
WINDOW_PER_SLOT = 64  # roots: room behind one that takes as long as so many others
ROWS_WINDOW = 256  # of a pipeline that asks nobody: nothing in it takes long
LOOK_AHEAD = MIN_WINDOW // 2  # input rows that may wait for the first stage, grouped by their documents


class Engine:
    """Runs one plan once.

    Args:
        plan: the stages.
        name: what reports call the pipeline.
        source: where roots come from.
        sink: where the rows of settled roots go.
        rejects: where rejects go, as rows; None keeps only their counts.
        slots: sequences the teacher takes now; decides how many workers ask.
        hook: told of events.
        limit: stop after so many input rows.
        limits: a target and budgets; where they end the feed, the report's ``stopped`` says so.
        tokens: (prompt tokens, reply tokens) that the teacher has used, for limits.
        provenance: name of the column that tells each row's origin; None for none.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        name: str,
        source: Source,
        sink: Sink[Any],
        rejects: Sink[Any] | None = None,
        slots: Callable[[], int] = lambda: 64,
        hook: EventHook | None = None,
        limit: int | None = None,
        limits: Limits | None = None,
        tokens: Callable[[], tuple[int, int]] = lambda: (0, 0),
        provenance: str | None = None,
        teacher_report: Callable[[], Any] | None = None,
    ) -> None:
        self.plan = plan
        self.source = source
        self.sink = sink
        self.rejects = rejects
        self.stats = RunStats(name, [planned.stats for planned in plan.blocks])
        self._slots = slots
        self._hook = hook
        self._limit = limit
        self._provenance = provenance
        self._teacher_report = teacher_report
        self._sinks = [sink] if rejects is None else [rejects, sink]
        self._channels: list[Channel] = []
        asks = any(stage.kind == "calls" for stage in plan.stages)
        self._window = Window(lambda: max(MIN_WINDOW, WINDOW_PER_SLOT * slots()) if asks else ROWS_WINDOW)
        self._final_window = self._window
        self._tracker = Tracker(self._make_gates())
        self._governor: Governor | None = None
        if limits:
            steered = all(stage.kind != "group" for stage in plan.stages)
            self._governor = Governor(limits, tokens=tokens, steered=steered)
            self._tracker.gates[-1].told = self._governor.root_settled

    # ------------------------------------------------------------ running

    async def run(self) -> RunReport:
        """Run to the end of the input.

        Raises whatever stops a run: a block's bug as itself, with its place as a note; TeacherUnusable;
        OutputError. What was settled before that is in the sink.
        """
        try:
            async with anyio.create_task_group() as beats:
                beats.start_soon(self._flush_beat)
                beats.start_soon(self._progress_beat)
                beats.start_soon(watch_loop, self._told_blocking)
                async with anyio.create_task_group() as tasks:
                    self._wire(tasks)
                beats.cancel_scope.cancel()
            await self._close()
        except BaseException as error:
            leaf = first_leaf(error)
            with anyio.move_on_after(GRACE_SECONDS, shield=True):
                await self._salvage(leaf)
            if isinstance(leaf, OutputError):  # what was put is not all written
                self.stats.rows = min(self.stats.rows, getattr(self.sink, "rows_written", self.stats.rows))
            words = "cancelled" if isinstance(leaf, anyio.get_cancelled_exc_class()) else type(leaf).__name__
            self._emit(RunFinished(report=self.report(stopped=words)))
            if leaf is error:
                raise
            raise leaf from leaf.__cause__  # as it was raised: the groups around it say nothing more
        report = self.report(stopped=self._governor.stopped if self._governor else "")
        self._emit(RunFinished(report=report))
        return report

    def report(self, **more: Any) -> RunReport:
        """The account as it is now."""
        teacher = self._teacher_report() if self._teacher_report else None
        return self.stats.report(
            teacher=teacher, input=self.source.name, output=self.sink.name, **self._rejects_name(), **more
        )

    def _rejects_name(self) -> dict[str, str]:
        return {"rejects_file": self.rejects.name} if self.rejects is not None and self.stats.rejects else {}

    async def _close(self) -> None:
        for channel in self._channels:
            channel.abandon()
        await self.source.aclose()
        for sink in self._sinks:
            await sink.aclose()

    async def _salvage(self, error: BaseException) -> None:
        """After a failure: commit what is settled and close everything; the failure itself stays the news."""
        for channel in self._channels:
            channel.abandon()
        with suppress(SdgStreamError):
            gate = self._tracker.gates[-1]
            while not isinstance(error, OutputError) and (found := gate.take()) is not None:
                await self._commit(*found)
        closing = [self.source.aclose, *(sink.aclose for sink in self._sinks)]
        for close in closing:
            with suppress(SdgStreamError):
                await close()

    # ------------------------------------------------------------ wiring

    def _make_gates(self) -> list[Gate]:
        gates = []
        for stage in self.plan.stages:
            if stage.gated:
                barrier = stage.kind == "group"
                gates.append(Gate(ordered=True, window=self._final_window if barrier else None))
                if barrier:
                    self._final_window = Window(self._window.size)
        gates.append(Gate(ordered=self.plan.order == "input"))
        return gates

    def _wire(self, tasks: anyio.abc.TaskGroup) -> None:
        """Start every stage from the last to the first, then the feed."""
        stages, gates = self.plan.stages, self._tracker.gates
        segment = len(gates) - 1
        outlet: Outlet = GateOutlet(gates[segment], self._tracker, segment)
        tasks.start_soon(self._commit_all, gates[segment])
        window = self._final_window
        windows = [gate.window for gate in gates if gate.window is not None]
        for stage in reversed(stages):
            base = StageBase(Chain(stage.steps, self._reject), self._tracker, segment, outlet)
            if stage.gated:
                segment -= 1
                gate = gates[segment]
                outlet = GateOutlet(gate, self._tracker, segment)
                if stage.kind == "group":
                    tasks.start_soon(group_stage, gate, stage.head[0], base, window)
                    window = windows.pop()
                else:
                    tasks.start_soon(gate_stage, gate, base)
                continue
            first = stage is stages[0] and self._looks_ahead
            inlet = GroupedChannel(LOOK_AHEAD) if first else Channel()
            self._channels.append(inlet)
            self._start(tasks, stage, inlet, base)
            outlet = inlet
        tasks.start_soon(self._feed, outlet)

    @property
    def _looks_ahead(self) -> bool:
        """Whether input rows wait in groups: where the teacher is asked, and no budget may end the run."""
        return self._governor is None and any(stage.kind == "calls" for stage in self.plan.stages)

    def _start(self, tasks: anyio.abc.TaskGroup, stage: Stage, inlet: Channel, base: StageBase) -> None:
        if stage.kind == "rows":
            tasks.start_soon(rows_stage, inlet, base)
        else:
            # Workers that wait between two attempts hold no slot: twice as many keep all slots in use.
            tasks.start_soon(call_stage, inlet, stage.head, base, lambda: 2 * self._slots() + 16)

    # ------------------------------------------------------------ feed and commit

    async def _feed(self, outlet: Outlet) -> None:
        governor, read = self._governor, self.source.read
        while items := await (governor.read(read) if governor else read()):
            for item in items:
                if self._limit is not None and self.stats.roots >= self._limit:
                    break
                if governor is not None and not await governor.room():
                    break
                await self._open(item, outlet)
            else:
                continue
            break
        outlet.close()

    async def _open(self, item: SourceItem, outlet: Outlet) -> None:
        """Open a root for an input row, waiting while too many are open."""
        stats, tracker = self.stats, self._tracker
        root = stats.roots
        await self._window.enter(root)
        stats.roots += 1
        tracker.open(root)
        record = Record(root, {}, (), None if self._provenance is None else [])
        if isinstance(item, RecordError):
            stats.input.count_reject(item.reason)
            tracker.reject(record, stats.input.name, item, None)
            tracker.changed(root, 0, -1)
        else:
            record.columns = item
            await outlet.send(record)

    async def _commit_all(self, gate: Gate) -> None:
        while (found := await gate.next()) is not None:
            await self._commit(*found)
        if self._tracker.roots:
            raise RuntimeError(f"{len(self._tracker.roots)} roots never settled; this is a bug")

    async def _commit(self, root: int, records: list[Record]) -> None:
        """Write a settled root: its rows in one append, and its rejects."""
        state, stats, sink = self._tracker.forget(root), self.stats, self.sink
        rows = []
        for record in records:
            if self._provenance is not None:
                record.columns[self._provenance] = {
                    "root": root,
                    "path": list(record.path),
                    "calls": record.calls,
                }
            try:
                rows.append(sink.prepare(record.columns))
            except RecordError as error:
                self._reject_in(state, record, error)
        if state.rejects:
            await self._commit_rejects(root, state)
        if rows:
            await sink.put(rows)
            stats.rows += len(rows)
            stats.accepted += 1
        elif state.rejects:
            stats.rejected += 1
        else:
            stats.filtered += 1
        self._final_window.leave(root)
        if self._governor is not None:
            self._governor.root_committed(len(rows), lost=len(records) - len(rows))

    async def _commit_rejects(self, root: int, state: RootState) -> None:
        self.stats.rejects += len(state.rejects)
        self.stats.roots_with_rejects += 1
        if self._hook is not None:
            for reject in state.rejects:
                self._hook(reject.event(root))
        if self.rejects is None:
            return
        rows = []
        for reject in state.rejects:
            row = reject.row(root)
            try:
                rows.append(self.rejects.prepare(row))
            except RecordError:  # its columns cannot be written: keep what can
                row["columns"] = {name: repr(value) for name, value in (reject.columns or {}).items()}
                rows.append(self.rejects.prepare(row))
        await self.rejects.put(rows)

    # ------------------------------------------------------------ telling

    def _reject(self, record: Record, stage: str, error: RecordError, columns: Columns | None) -> None:
        self._tracker.reject(record, stage, error, columns)

    def _reject_in(self, state: RootState, record: Record, error: RecordError) -> None:
        self.stats.output.count_reject(error.reason)
        state.rejects.append(Reject(record.path, self.stats.output.name, error, record.columns))

    def _emit(self, event: Event) -> None:
        if self._hook is not None:
            self._hook(event)

    def _told_blocking(self, block: str, seconds: float) -> None:
        message = (
            f"block {block!r} held up the event loop for {seconds:.1f} s or more: nothing else can run "
            "meanwhile. Make it an AsyncBlock that does the work in a thread (anyio.to_thread.run_sync)"
        )
        self._emit(Notice(code="blocking_block", level="warning", message=message))

    async def _flush_beat(self) -> None:
        beats = round(SYNC_SECONDS / FLUSH_SECONDS)
        count = 0
        while True:
            await anyio.sleep(FLUSH_SECONDS)
            count += 1
            for sink in self._sinks:
                await (sink.flush() if count % beats else sink.sync())

    async def _progress_beat(self) -> None:
        while self._hook is not None:
            await anyio.sleep(PROGRESS_SECONDS)
            opened = len(self._tracker.roots)
            self._emit(Progress(report=self.report(), roots_open=opened, roots_total=self._roots_total()))

    def _roots_total(self) -> int | None:
        """How many input rows there will be, as far as the share of the file that was read tells."""
        if self._limit is not None:
            return self._limit
        if self._governor is not None and (wanted := self._governor.roots_wanted()) is not None:
            return wanted
        position, size = getattr(self.source, "position", None), getattr(self.source, "size", None)
        if not position or not size or not self.stats.roots:
            return None
        return max(self.stats.roots, round(self.stats.roots * int(size) / int(position)))
