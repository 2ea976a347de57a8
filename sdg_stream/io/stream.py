"""Rows handed to a reader in the same process: the sink behind ``Pipeline.stream``.

The generator protocol cannot own a task group safely (leaving an async generator early runs its cleanup
somewhere else, some other time), so the run lives in an ``async with`` block and the rows come by channel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from ..errors import first_leaf
from ..record import Columns

__all__ = ["RowStream"]

DEPTH = 64  # rows


class RowStream:
    """Implements :class:`~sdg_stream.abc.Sink`: rows wait here until the reader takes them."""

    name = "<stream>"

    def prepare(self, columns: Columns) -> Columns:
        """Rows are handed on as they are."""
        return columns

    async def put(self, rows: Sequence[Columns]) -> None:
        """Hand rows over, at the reader's pace; a reader that left wants none."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            for row in rows:
                await self._sender.send(row)

    async def flush(self) -> None:
        """Nothing is held back."""

    async def sync(self) -> None:
        """Nothing goes to disk."""

    async def aclose(self) -> None:
        """No more rows will come."""
        self._sender.close()

    @asynccontextmanager
    async def running(self, run: Callable[[], Awaitable[Any]]) -> AsyncIterator[AsyncIterator[Columns]]:
        """Run in the background of the block; the first error of run or reader surfaces as itself."""
        self._sender, self._receiver = anyio.create_memory_object_stream[Columns](DEPTH)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._run, run)
                try:
                    yield self._rows()
                finally:
                    self._receiver.close()  # first: a cancelled run must not wait for the reader
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_leaf(group) from group

    async def _run(self, run: Callable[[], Awaitable[Any]]) -> None:
        await run()

    async def _rows(self) -> AsyncIterator[Columns]:
        async for row in self._receiver:
            yield row
