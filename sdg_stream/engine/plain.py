"""A ledger that only writes: rows to one sink, rejects to another or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from ..abc import Sink
from ..events import RunReport
from ..ledger import Settled, prepare_reject
from ..record import Columns

__all__ = ["PlainLedger"]


class PlainLedger:
    """Implements :class:`~sdg_stream.ledger.Ledger` over sinks; rejects without one are only counted."""

    def __init__(self, sink: Sink[Any], rejects: Sink[Any] | None = None) -> None:
        self._sink = sink
        self._rejects = rejects
        self._sinks = [sink] if rejects is None else [rejects, sink]
        self._held = anyio.Event()

    @property
    def output(self) -> str:
        """The sink's name."""
        return self._sink.name

    @property
    def rejects(self) -> str:
        """The sink's name, if there is one."""
        return "" if self._rejects is None else self._rejects.name

    @property
    def rows_written(self) -> int | None:
        """What the sink says, if it does."""
        return getattr(self._sink, "rows_written", None)

    def watch(self, account: Callable[[], RunReport]) -> None:
        """Nothing is remembered."""

    def prepare(self, columns: Columns) -> Any:
        """As the sink does."""
        return self._sink.prepare(columns)

    async def settle(self, settled: Settled) -> None:
        """Put rejects and rows."""
        if settled.rejects and self._rejects is not None:
            await self._rejects.put([prepare_reject(self._rejects.prepare, row) for row in settled.rejects])
        if settled.rows:
            await self._sink.put(settled.rows)
        self._held.set()  # now, not before: a sink may wait, and be flushed meanwhile

    async def held(self) -> None:
        """Wait until something was put."""
        await self._held.wait()

    async def flush(self) -> None:
        """Flush the sinks."""
        self._held = anyio.Event()
        for sink in self._sinks:
            await sink.flush()

    async def sync(self) -> None:
        """Sync the sinks."""
        for sink in self._sinks:
            await sink.sync()

    async def aclose(self, stopped: str | None, failure: str = "") -> None:
        """Close the sinks."""
        del stopped, failure
        for sink in self._sinks:
            await sink.aclose()
