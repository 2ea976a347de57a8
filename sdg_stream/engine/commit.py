"""The commit: a settled root becomes rows, rejects and counts in the ledger, whole or not at all."""

from __future__ import annotations

from typing import Any

from ..errors import RecordError
from ..events import EventHook
from ..ledger import Ledger, Past, Settled
from ..record import Record
from .chain import Seen
from .limits import Governor
from .stats import TALLY, BlockStats, RunStats
from .tracker import Gate, Reject, RootState, Tracker, Window

__all__ = ["Commit"]


class Commit:
    """Takes settled roots from the last gate.

    Args:
        tracker: knows the open roots.
        ledger: where they go.
        stats: counts them.
        past: roots that earlier sessions have settled.
        seen: what each ``drop_duplicates`` remembers.
        window: of roots that are open before the commit.
        governor: decides when the run ends, if anything does.
        provenance: name of the column that tells each row's origin; None for none.
        hook: told of rejects.
    """

    def __init__(
        self,
        tracker: Tracker,
        ledger: Ledger,
        stats: RunStats,
        *,
        past: Past,
        seen: list[Seen],
        window: Window,
        governor: Governor | None,
        provenance: str | None,
        hook: EventHook | None,
    ) -> None:
        self._tracker = tracker
        self._ledger = ledger
        self._stats = stats
        self._past = past
        self._seen = seen
        self._window = window
        self._governor = governor
        self._provenance = provenance
        self._hook = hook

    async def run(self, gate: Gate) -> None:
        """Commit root after root until nothing more can come."""
        while (found := await gate.next()) is not None:
            await self.root(*found)
        if self._tracker.roots:
            raise RuntimeError(f"{len(self._tracker.roots)} roots never settled; this is a bug")

    async def root(self, root: int, records: list[Record]) -> None:
        """Commit a settled root, given its records in path order."""
        state = self._tracker.forget(root)
        if self._past.done(root):  # it only came to complete a barrier
            self._stats.discount(state.tally, _reasons(state))
            for seen in self._seen:
                seen.take(root)
            self._window.leave(root)
            return
        again = self._past.redo.get(root)
        if again is not None:
            records = [record for record in records if record.path not in again.accepted]
        rows, paths = self._prepare(root, state, records)
        kept = again is not None and bool(again.accepted)
        outcome = "accepted" if rows or kept else "rejected" if state.rejects else "filtered"
        settled = Settled(
            root=root,
            outcome=outcome,
            rows=rows,
            paths=[*paths, *(again.accepted if again is not None else ())],
            rejects=[reject.row(root) for reject in state.rejects],
            ended=[(reject.path, self._place(reject.stats)) for reject in state.rejects],
            lost=[(reject.stats.name, reject.error.reason) for reject in state.rejects],
            keys=[seen.take(root) for seen in self._seen],
            tally=state.tally,
        )
        if self._hook is not None:
            for reject in state.rejects:
                self._hook(reject.event(root))
        self._stats.count(outcome, state.tally, _reasons(state))
        self._stats.rows += len(rows)
        self._stats.imported += state.imported
        await self._ledger.settle(settled)
        self._window.leave(root)
        if self._governor is not None:
            self._governor.root_committed(len(rows), lost=len(records) - len(rows))

    def _place(self, stats: BlockStats) -> int:
        if stats is self._stats.input:
            return -1
        return len(self._stats.blocks) if stats is self._stats.output else stats.slot // TALLY

    def _prepare(self, root: int, state: RootState, records: list[Record]) -> tuple[list[Any], list[Any]]:
        rows, paths = [], []
        for record in records:
            if self._provenance is not None:
                record.columns[self._provenance] = {
                    "root": root,
                    "path": list(record.path),
                    "calls": record.calls,
                }
            try:
                rows.append(self._ledger.prepare(record.columns))
            except RecordError as error:
                self._stats.output.count_reject(error.reason)
                state.rejects.append(Reject(record.path, self._stats.output, error, record.columns))
            else:
                paths.append(record.path)
        return rows, paths


def _reasons(state: RootState) -> list[tuple[Any, str]]:
    return [(reject.stats, reject.error.reason) for reject in state.rejects]
