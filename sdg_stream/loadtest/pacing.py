"""Input rows at the pace of the teacher, so that a run can be ended by the clock without being cut.

An engine takes as many input rows as it has room for, which are far more than it can ask about soon, and all
of them would have to be finished. Here only so many rows wait as keep every slot in use, so what is taken by
the end of the time is what has begun, and the roots that were taken are the first ones of the input: a sample
that favours no kind of row, as those that happen to finish in time would be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ..abc import FinishedRoot, Source, SourceItem
from .call_log import CallLog

__all__ = ["PacedSource"]

_BEAT = 0.05  # seconds after which rows that have not asked for anything are taken to want nothing


class PacedSource:
    """Implements :class:`~sdg_stream.abc.Source` over another one.

    Args:
        source: the rows.
        log: tells how many calls wait.
        slots: of the teacher.
        seconds: from the first read on, after which no more rows are given.

    Attributes:
        given: rows so far.
        out_of_time: rows were left when the time was over.
    """

    def __init__(self, source: Source, log: CallLog, slots: int, seconds: float) -> None:
        self.given = 0
        self.out_of_time = False
        self._source = source
        self._log = log
        self._ahead = slots // 4 + 4
        self._seconds = seconds
        self._until: float | None = None
        self._rows: deque[SourceItem | FinishedRoot] = deque()
        self._quiet = 0  # rows that were given and ask for nothing

    @property
    def name(self) -> str:
        """The source's."""
        return self._source.name

    async def read(self) -> Sequence[SourceItem | FinishedRoot]:
        """The next rows, when there is room for them; none at the end of the rows or of the time."""
        if self._until is None:
            self._until = self._log.clock() + self._seconds
        if not self._rows:
            self._rows.extend(await self._source.read())
        while self._rows:
            left = self._until - self._log.clock()
            if left <= 0:
                self.out_of_time = True
                return ()
            if (room := self._room()) > 0:
                return self._take(room)
            if not await self._log.moved(min(_BEAT, left)):
                self._quiet = self.given - len(self._log.roots)
        return ()

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()

    def _room(self) -> int:
        """Rows that may follow: calls that wait count, and rows that are on their way to the first one."""
        on_their_way = max(0, self.given - len(self._log.roots) - self._quiet)
        return self._ahead - self._log.waiting - on_their_way

    def _take(self, room: int) -> list[SourceItem | FinishedRoot]:
        take: Callable[[], SourceItem | FinishedRoot] = self._rows.popleft
        rows = [take() for _ in range(min(room, len(self._rows)))]
        self.given += len(rows)
        return rows
