"""Records from any iterable, async or not, as a source."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence

from ..abc import SourceItem
from ..errors import RecordError
from ..record import Columns

__all__ = ["IterableSource"]

BATCH = 64


class IterableSource:
    """Implements :class:`~sdg_stream.abc.Source` over an iterable of mappings; each is copied."""

    def __init__(self, rows: Iterable[Columns] | AsyncIterable[Columns], name: str = "<iterable>") -> None:
        self.name = name
        self._later: AsyncIterator[Columns] | None = None
        self._now: Iterator[Columns] = iter(())
        if isinstance(rows, AsyncIterable):
            self._later = aiter(rows)
        else:
            self._now = iter(rows)

    async def read(self) -> Sequence[SourceItem]:
        """The next rows; from an async iterable one at a time, as they come."""
        if self._later is not None:
            try:
                return (_item(await anext(self._later)),)
            except StopAsyncIteration:
                return ()
        items: list[SourceItem] = []
        for row in self._now:
            items.append(_item(row))
            if len(items) == BATCH:
                break
        return items

    async def aclose(self) -> None:
        """Close an async generator that was left early."""
        close = getattr(self._later, "aclose", None)
        if close is not None:
            await close()


def _item(row: object) -> SourceItem:
    if isinstance(row, dict):
        return dict(row)
    return RecordError("bad_input", f"a record is a mapping, this is {type(row).__name__}")
