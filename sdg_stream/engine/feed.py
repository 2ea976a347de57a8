"""The feed: opens a root for each input row, as fast as there is room, and passes over settled ones."""

from __future__ import annotations

import anyio

from ..abc import FinishedRoot, Source, SourceItem
from ..errors import RecordError
from ..ledger import Past
from ..record import Record
from .limits import Governor
from .stages import Outlet
from .stats import RunStats
from .tracker import Tracker, Window

__all__ = ["Feed"]


class Feed:
    """Reads the source into the first stage.

    Args:
        source: input rows.
        tracker: told of each root that is opened.
        window: bounds the open roots.
        stats: counts roots and bad input rows.
        past: roots that earlier sessions have settled.
        replays: every root must come, since a barrier needs all records.
        governor: decides whether another root may be opened.
        limit: read so many input rows, from the first one on.
        priced: records carry what their calls cost.

    Attributes:
        root: number of the next input row.
        halted: nothing more is to be fed, and the stages are not to end either.
    """

    def __init__(
        self,
        source: Source,
        tracker: Tracker,
        window: Window,
        stats: RunStats,
        *,
        past: Past,
        replays: bool,
        governor: Governor | None,
        limit: int | None,
        priced: bool,
    ) -> None:
        self.root = 0
        self.halted = False
        self._source = source
        self._tracker = tracker
        self._window = window
        self._stats = stats
        self._past = past
        self._replays = replays
        self._governor = governor
        self._limit = limit
        self._priced = priced

    async def run(self, outlet: Outlet) -> None:
        """Read to the end, or to where a limit ends the run."""
        governor, read = self._governor, self._source.read
        while True:
            await self._pass_over()
            items = await (governor.read(read) if governor else read())
            if not items:
                break
            for item in items:
                if self.halted:
                    await anyio.sleep_forever()
                if self._limit is not None and self.root >= self._limit:
                    outlet.close()
                    return
                done = self._past.done(self.root)
                if done and (not self._replays or isinstance(item, FinishedRoot)):
                    self.root += 1
                    continue
                if governor is not None and not done and not await governor.room():
                    outlet.close()
                    return
                await self._open(item, outlet, done=done)
        outlet.close()

    async def _pass_over(self) -> None:
        """Let the source skip settled roots without parsing them, where it can."""
        count = 0 if self._replays else self._past.stretch(self.root)
        if self._limit is not None:
            count = min(count, self._limit - self.root)
        skip = getattr(self._source, "skip", None)
        if count > 0 and skip is not None:
            await skip(count)
            self.root += count

    async def _open(self, item: SourceItem | FinishedRoot, outlet: Outlet, *, done: bool) -> None:
        """Open a root for an input row, waiting while too many are open."""
        stats, tracker, root = self._stats, self._tracker, self.root
        await self._window.enter(root)
        self.root += 1
        if not done:
            stats.roots += 1
        tracker.open(root)
        record = Record(root, {}, (), [] if self._priced else None)
        if isinstance(item, FinishedRoot):
            tracker.finish(record, item.rows)
        elif isinstance(item, RecordError):
            tracker.reject(record, stats.input, item, None)
            tracker.changed(root, 0, -1)
        else:
            record.columns = item
            await outlet.send(record)
