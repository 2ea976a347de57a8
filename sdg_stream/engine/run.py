"""The run: one task group from feed to commit, and the account of what became of every root.

Stopping is one path, whoever asks for it (the embedding program cancels, a signal comes): nothing more is
fed, no further attempt of a call begins, those under way get a grace, and what is settled then is committed.
What is open stays for the next session.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio

from ..abc import Source
from ..calls import Halt
from ..errors import OutputError, SdgStreamError, first_leaf
from ..events import Event, EventHook, Notice, Progress, RunFinished, RunReport
from ..ledger import Ledger, Past, Roots
from .chain import Chain
from .channel import Channel
from .commit import Commit
from .feed import Feed
from .grouping import GroupedChannel
from .limits import Governor, Limits
from .plan import Plan, Stage
from .stages import GateOutlet, Outlet, StageBase, call_stage, gate_stage, group_stage, rows_stage
from .stats import RunStats
from .tracker import Gate, Tracker, Window
from .watchdog import watch_loop

__all__ = ["Engine"]

FLUSH_SECONDS = 0.025
SYNC_SECONDS = 1.0
PROGRESS_SECONDS = 0.5
GRACE_SECONDS = 10.0  # for calls under way when a run is stopped, and again for writing what is settled
SETTLE_SECONDS = 0.02  # for the last answers to pass through the blocks that ask nobody
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
        ledger: where settled roots go.
        past: what earlier sessions of the run have done.
        slots: sequences the teacher takes now; decides how many workers ask.
        hook: told of events.
        limit: stop after so many input rows.
        limits: a target and budgets; where they end the feed, the report's ``stopped`` says so.
        tokens: (prompt tokens, reply tokens) that the teacher has used in this session, for limits.
        provenance: name of the column that tells each row's origin; None for none.
        teacher_report: the teacher's account.
        halt: set when the run is being stopped; None if the run's calls know of none, then it stops at once.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        name: str,
        source: Source,
        ledger: Ledger,
        past: Past | None = None,
        slots: Callable[[], int] = lambda: 64,
        hook: EventHook | None = None,
        limit: int | None = None,
        limits: Limits | None = None,
        tokens: Callable[[], tuple[int, int]] = lambda: (0, 0),
        provenance: str | None = None,
        teacher_report: Callable[[], Any] | None = None,
        halt: Halt | None = None,
    ) -> None:
        self.plan = plan
        self.source = source
        self.ledger = ledger
        self.stats = RunStats(name, [planned.stats for planned in plan.blocks])
        self._past = past or Past(settled=Roots())
        self._slots = slots
        self._hook = hook
        self._limit = limit
        self._teacher_report = teacher_report
        self._halt = halt
        self._channels: list[Channel] = []
        self._asks = any(stage.kind == "calls" for stage in plan.stages)
        self._window = Window(
            lambda: max(MIN_WINDOW, WINDOW_PER_SLOT * slots()) if self._asks else ROWS_WINDOW
        )
        self._final_window = self._window
        self._tracker = Tracker(self._make_gates(), len(plan.blocks))
        self._governor = self._make_governor(limits, tokens) if limits else None
        self._remember()
        self._commit = Commit(
            self._tracker,
            ledger,
            self.stats,
            past=self._past,
            seen=plan.seen(),
            window=self._final_window,
            governor=self._governor,
            provenance=provenance,
            hook=hook,
        )
        self._feed = Feed(
            source,
            self._tracker,
            self._window,
            self.stats,
            past=self._past,
            replays=plan.barriers > 0,
            governor=self._governor,
            limit=limit,
            priced=provenance is not None,
        )
        ledger.watch(self.stats.account)

    def _make_governor(self, limits: Limits, tokens: Callable[[], tuple[int, int]]) -> Governor:
        governor = Governor(limits, tokens=tokens, steered=not self.plan.barriers)
        self._tracker.gates[-1].told = governor.root_settled
        return governor

    def _remember(self) -> None:
        """Go on where earlier sessions ended."""
        past = self._past
        self.stats.seconds_before = past.seconds
        if past.account is not None:
            self.stats.restore(past.account)
            if self._governor is not None:
                self._governor.restore(past.account.roots, past.account.rows, past.tokens)
        for step, seen in enumerate(self.plan.seen()):
            if past.owner is not None:
                seen.ask(partial(past.owner, step), past.done)

    # ------------------------------------------------------------ running

    async def run(self) -> RunReport:
        """Run to the end of the input.

        Raises whatever stops a run: a block's bug as itself, with its place as a note; TeacherUnusable;
        OutputError. What was settled before that is in the ledger.
        """
        try:
            await self._run_or_drain()
            stopped = self._governor.stopped if self._governor else ""
            await self._close(stopped)
        except BaseException as error:
            leaf = first_leaf(error)
            with anyio.move_on_after(GRACE_SECONDS, shield=True):
                await self._salvage(leaf)
            written = self.ledger.rows_written
            if isinstance(leaf, OutputError) and written is not None:  # what was put is not all written
                self.stats.rows = min(self.stats.rows, written)
            words = "cancelled" if isinstance(leaf, anyio.get_cancelled_exc_class()) else type(leaf).__name__
            self._emit(RunFinished(report=self.report(stopped=words)))
            if leaf is error:
                raise
            raise leaf from leaf.__cause__  # as it was raised: the groups around it say nothing more
        report = self.report(stopped=stopped)
        self._emit(RunFinished(report=report))
        return report

    def report(self, **more: Any) -> RunReport:
        """The account as it is now."""
        teacher = self._teacher_report() if self._teacher_report else None
        rejects = self.ledger.rejects if self.stats.rejects else ""
        return self.stats.report(
            teacher=teacher, input=self.source.name, output=self.ledger.output, rejects_file=rejects, **more
        )

    async def _run_or_drain(self) -> None:
        """All the work, in a task that a cancellation reaches when the calls under way have had a grace."""
        work = anyio.CancelScope(shield=self._halt is not None)
        ended = anyio.Event()

        async def working() -> None:
            try:
                with work:
                    await self._work()
            finally:
                ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(working)
            try:
                await ended.wait()
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._drain(ended)
                    work.cancel()
                    await ended.wait()
                raise

    async def _work(self) -> None:
        async with anyio.create_task_group() as beats:
            beats.start_soon(self._flush_beat)
            beats.start_soon(self._progress_beat)
            beats.start_soon(watch_loop, self._told_blocking)
            async with anyio.create_task_group() as tasks:
                self._wire(tasks)
            beats.cancel_scope.cancel()

    async def _drain(self, ended: anyio.Event) -> None:
        """Let no attempt begin any more, and wait for those under way."""
        if self._halt is None or ended.is_set():
            return
        self._feed.halted = True
        with anyio.move_on_after(GRACE_SECONDS):
            await self._halt.drained()
            await anyio.sleep(SETTLE_SECONDS)

    async def _close(self, stopped: str) -> None:
        for channel in self._channels:
            channel.abandon()
        await self.source.aclose()
        await self.ledger.aclose(stopped)

    async def _salvage(self, error: BaseException) -> None:
        """After a failure: commit what is settled and close everything; the failure itself stays the news."""
        for channel in self._channels:
            channel.abandon()
        with suppress(SdgStreamError):
            gate = self._tracker.gates[-1]
            while not isinstance(error, OutputError) and (found := gate.take()) is not None:
                await self._commit.root(*found)
        with suppress(SdgStreamError):
            await self.source.aclose()
        with suppress(SdgStreamError):
            stopped = isinstance(error, anyio.get_cancelled_exc_class())
            await self.ledger.aclose(None, "" if stopped else type(error).__name__)

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
        tasks.start_soon(self._commit.run, gates[segment])
        window = self._final_window
        done: Callable[[int], bool] = self._past.done  # settled roots end at the last barrier
        windows = [gate.window for gate in gates if gate.window is not None]
        for stage in reversed(stages):
            chain = Chain(stage.steps, self._tracker.roots, self._tracker.reject)
            base = StageBase(chain, self._tracker, segment, outlet)
            if stage.gated:
                segment -= 1
                gate = gates[segment]
                outlet = GateOutlet(gate, self._tracker, segment)
                if stage.kind == "group":
                    tasks.start_soon(group_stage, gate, stage.head[0], base, window, done)
                    window, done = windows.pop(), _none
                else:
                    tasks.start_soon(gate_stage, gate, base)
                continue
            first = stage is stages[0] and self._looks_ahead
            inlet = GroupedChannel(LOOK_AHEAD) if first else Channel()
            self._channels.append(inlet)
            self._start(tasks, stage, inlet, base)
            outlet = inlet
        tasks.start_soon(self._feed.run, outlet)

    @property
    def _looks_ahead(self) -> bool:
        """Whether input rows wait in groups: where the teacher is asked, and no budget may end the run."""
        return self._governor is None and self._asks

    def _start(self, tasks: anyio.abc.TaskGroup, stage: Stage, inlet: Channel, base: StageBase) -> None:
        if stage.kind == "rows":
            tasks.start_soon(rows_stage, inlet, base)
        else:
            # Workers that wait between two attempts hold no slot: twice as many keep all slots in use.
            tasks.start_soon(call_stage, inlet, stage.head, base, lambda: 2 * self._slots() + 16)

    # ------------------------------------------------------------ telling

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
        """Flush and sync on two beats, from when something is held until it is synced."""
        beats = round(SYNC_SECONDS / FLUSH_SECONDS)
        count = 0
        while True:
            if not count:
                await self.ledger.held()
            await anyio.sleep(FLUSH_SECONDS)
            count = (count + 1) % beats
            await (self.ledger.flush() if count else self.ledger.sync())

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
        fed = self._feed.root
        if not position or not size or not fed:
            return None
        return max(fed, round(fed * int(size) / int(position)))


def _none(root: int) -> bool:
    del root
    return False
