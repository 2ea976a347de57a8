"""Records from any iterable, async or not, as a source."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import orjson

from ..abc import SourceItem
from ..errors import RecordError, RunStateError
from ..record import Columns
from .mark import InputMark, Meter

__all__ = ["IterableSource"]

BATCH = 64
UNWRITABLE = b"?"  # what stands in the digest for a row that JSON cannot hold


class IterableSource:
    """Implements :class:`~sdg_stream.abc.Source` over an iterable of mappings; each is copied.

    Args:
        rows: to go on with a run, they must be the same again.
        name: what messages call it.
        identity: short text that differs where rows do, known before they are read; with it a run can be gone
            on with other rows (``edited``). Empty if nothing is known.
    """

    def __init__(
        self,
        rows: Iterable[Columns] | AsyncIterable[Columns],
        name: str = "<iterable>",
        *,
        identity: str = "",
    ) -> None:
        self.name = name
        self.identity = identity
        self._later: AsyncIterator[Columns] | None = None
        self._now: Iterator[Columns] = iter(())
        self._meter: Meter | None = None
        self._begun = False
        self._ended = False
        if isinstance(rows, AsyncIterable):
            self._later = aiter(rows)
        else:
            self._now = iter(rows)

    async def read(self) -> Sequence[SourceItem]:
        """The next rows; from an async iterable one at a time, as they come.

        Raises:
            RunStateError: these are not the rows of an earlier run, see :meth:`expect`.
        """
        return [_item(row) for row in await self._take(BATCH)]

    async def aclose(self) -> None:
        """Close an async generator that was left early."""
        close = getattr(self._later, "aclose", None)
        if close is not None:
            await close()

    # ------------------------------------------------------------ going on with an earlier run

    def track(self) -> None:
        """Have :meth:`mark` work. Call it before anything is read; every row is made JSON once for it."""
        self._track()

    def mark(self) -> InputMark:
        """How many rows have been given, and the digest of them all."""
        if self._meter is None:
            raise RuntimeError(f"{self.name} is read without marks; see track")
        return InputMark(bytes=0, rows=self._meter.count, digest=self._meter.digest(), ended=self._ended)

    def expect(self, mark: InputMark) -> None:
        """Hold the rows against the mark of an earlier run, as they come; it includes :meth:`track`."""
        self._track().expect(mark)

    async def difference(self, mark: InputMark) -> str:
        """Nothing: an iterable cannot be read twice; see :meth:`expect`."""
        del mark
        return ""

    async def skip(self, roots: int) -> None:
        """Pass over the next rows.

        Raises:
            RunStateError: there are not so many, or as :meth:`read`.
        """
        left = roots
        while left:
            rows = await self._take(min(left, BATCH))
            if not rows:
                words = f"it has {roots - left} rows where {roots} had been read"
                raise RunStateError(f"{self.name} is not the input that it was: {words}")
            left -= len(rows)

    def _track(self) -> Meter:
        if self._begun:
            raise RuntimeError(f"{self.name} is being read; say before that marks are wanted")
        self._meter = self._meter or Meter(self.name)
        return self._meter

    async def _take(self, count: int) -> list[object]:
        """The next rows as they come, at most ``count``; empty at the end."""
        self._begun = True
        rows: list[object] = []
        if self._later is not None:
            with suppress(StopAsyncIteration):
                rows.append(await anext(self._later))
        else:
            rows += islice(self._now, count)
        self._ended = not rows
        if self._meter is not None:
            for row in rows:
                self._meter.feed_row(_as_json(row))
            if self._ended:
                self._meter.end()
        return rows


def _item(row: object) -> SourceItem:
    if isinstance(row, dict):
        return dict(row)
    return RecordError("bad_input", f"a record is a mapping, this is {type(row).__name__}")


def _as_json(row: object) -> bytes:
    try:
        return orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return UNWRITABLE
