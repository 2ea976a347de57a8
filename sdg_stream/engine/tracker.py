"""The tracker: which roots are open, and how far upstream of each gate they still have records.

A gate is a place that must know when a root is complete: the commit at the end, a barrier, and, when rows
leave in input order, the place before each ``drop_duplicates``. Gates cut the pipeline into segments; the
tracker counts the records of each open root in each segment. A root is done at a gate when no segment before
it holds a record of that root, and settled when it is done at the last gate.

Everything here is synchronous: it decides, the stages do the waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from ..errors import RecordError
from ..events import RecordRejected
from ..record import Columns, Path, Record
from .stats import TALLY, BlockStats

__all__ = ["Gate", "Reject", "RootState", "Tracker", "Window"]


class Reject:
    """A record that ended because something was wrong with it."""

    __slots__ = ("columns", "error", "path", "stats")

    def __init__(self, path: Path, stats: BlockStats, error: RecordError, columns: Columns | None) -> None:
        self.path = path
        self.stats = stats
        self.error = error
        self.columns = columns

    def event(self, root: int) -> RecordRejected:
        """What hooks are told of it."""
        return RecordRejected(
            root=root,
            path=self.path,
            stage=self.stats.name,
            reason=self.error.reason,
            message=self.error.message,
            server=self.error.server,
        )

    def row(self, root: int) -> dict[str, Any]:
        """The line of the rejects file."""
        row: dict[str, Any] = {
            "root": root,
            "path": list(self.path),
            "stage": self.stats.name,
            "reason": self.error.reason,
            "message": self.error.message,
        }
        if self.error.server:
            row["server"] = self.error.server
        row["columns"] = self.columns
        return row


class RootState:
    """One open root: records per segment, gates passed, what it counted, and its rejects.

    ``imported``: it came with its rows.
    """

    __slots__ = ("counts", "gates_done", "imported", "rejects", "tally")

    def __init__(self, segments: int, blocks: int) -> None:
        self.counts = [0] * segments
        self.gates_done = 0
        self.tally = [0] * (TALLY * blocks)
        self.rejects: list[Reject] = []
        self.imported = False


class Window:
    """Which roots are open between two barriers, at most ``size()``: whoever opens roots waits here."""

    def __init__(self, size: Callable[[], int]) -> None:
        self.size = size
        self.roots: set[int] = set()
        self._room = anyio.Event()

    async def enter(self, root: int) -> None:
        """Let a root in, waiting while there is no room."""
        while len(self.roots) >= self.size():
            self._room = anyio.Event()
            await self._room.wait()
        self.roots.add(root)

    def leave(self, root: int) -> None:
        """A root is through; one that never came in is none of this window's business."""
        self.roots.discard(root)
        self._room.set()


class Gate:
    """Holds records until their root is done here, then gives root after root, records in path order.

    ``ordered`` gates give roots in the order in which they were opened, others as they become done. Arrivals
    never wait: what a gate holds is bounded by the window of open roots.
    """

    def __init__(self, *, ordered: bool, window: Window | None = None) -> None:
        self.ordered = ordered
        self.told: Callable[[int], None] | None = (
            None  # called with the records held of each root that is done
        )
        self.window = window  # of a barrier: roots leave it as they become done here
        self._waiting: deque[int] = deque()  # roots in feed order, of an ordered gate
        self._done: set[int] = set()
        self._ready: deque[int] = deque()
        self._held: dict[int, list[Record]] = {}
        self._closed = False
        self._changed = anyio.Event()

    def opened(self, root: int) -> None:
        """A root was opened somewhere before this gate."""
        if self.ordered:
            self._waiting.append(root)

    def hold(self, record: Record) -> None:
        """Keep a record until its root is done."""
        held = self._held.get(record.root)
        if held is None:
            self._held[record.root] = [record]
        else:
            held.append(record)

    def root_done(self, root: int) -> None:
        """No more records of this root can arrive."""
        if self.window is not None:
            self.window.leave(root)
        if self.told is not None:
            self.told(len(self._held.get(root, ())))
        if not self.ordered:
            self._ready.append(root)
        else:
            self._done.add(root)
            waiting, done = self._waiting, self._done
            while waiting and waiting[0] in done:
                done.discard(waiting[0])
                self._ready.append(waiting.popleft())
        self._changed.set()

    def close(self) -> None:
        """Nothing more can arrive at all."""
        self._closed = True
        self._changed.set()

    def take(self) -> tuple[int, list[Record]] | None:
        """The next root that is done, with its records in path order, if there is one right now."""
        if not self._ready:
            return None
        root = self._ready.popleft()
        records = self._held.pop(root, [])
        if len(records) > 1:
            records.sort(key=lambda record: record.path)
        return root, records

    async def next(self) -> tuple[int, list[Record]] | None:
        """The next root that is done, waiting for it; None when there will be no more."""
        while True:
            found = self.take()
            if found is not None or self._closed:
                return found
            self._changed = anyio.Event()
            await self._changed.wait()


class Tracker:
    """Counts every open root through the segments and tells the gates when it is done there."""

    def __init__(self, gates: list[Gate], blocks: int = 0) -> None:
        self.gates = gates
        self.roots: dict[int, RootState] = {}
        self._blocks = blocks

    def open(self, root: int) -> None:
        """A root enters the first segment as one record."""
        state = RootState(len(self.gates), self._blocks)
        state.counts[0] = 1
        self.roots[root] = state
        for gate in self.gates:
            gate.opened(root)

    def finish(self, record: Record, rows: Sequence[Columns]) -> None:
        """The only record of an open root comes with its rows: it passes all gates but the last at once."""
        self.roots[record.root].imported = True
        for index, columns in enumerate(rows):
            self.gates[-1].hold(record.fork(columns, index))
        self.changed(record.root, 0, -1)

    def changed(self, root: int, segment: int, delta: int) -> None:
        """A stage took one record of a root in and sends ``1 + delta`` on; say so before sending."""
        state = self.roots[root]
        state.counts[segment] += delta
        if delta < 0 and not state.counts[segment]:
            self._settle(root, state)

    def arrived(self, record: Record, segment: int) -> None:
        """A record reached the gate at the end of ``segment``; it now counts for the segment behind."""
        state = self.roots[record.root]
        self.gates[segment].hold(record)
        if segment + 1 < len(state.counts):
            state.counts[segment + 1] += 1
        state.counts[segment] -= 1
        if not state.counts[segment]:
            self._settle(record.root, state)

    def reject(self, record: Record, stats: BlockStats, error: RecordError, columns: Columns | None) -> None:
        """Count and keep a reject until its root is settled; the caller still says that the record ended."""
        stats.count_reject(error.reason)
        self.roots[record.root].rejects.append(Reject(record.path, stats, error, columns))

    def forget(self, root: int) -> RootState:
        """The root is settled and committed."""
        return self.roots.pop(root)

    def _settle(self, root: int, state: RootState) -> None:
        counts, gates = state.counts, self.gates
        while state.gates_done < len(gates) and not counts[state.gates_done]:
            state.gates_done += 1
            gates[state.gates_done - 1].root_done(root)
