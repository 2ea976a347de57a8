"""The file side of sinks: rows are held back for a moment, then written many at once from a worker thread.

The event loop never waits for the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from .row_file import RowFile

__all__ = ["AppendingSink"]

MAX_HELD_BYTES = 512 * 1024


class AppendingSink:
    """Everything of a sink but ``prepare``, for formats whose rows are bytes put one behind the other.

    Args:
        file: a path (``.gz`` is packed), ``-`` for standard output, or an open binary file, which stays open.
        append: keep what the file holds; else it starts empty.
    """

    def __init__(self, file: str | Path | BinaryIO, *, append: bool = False) -> None:
        self._file = RowFile(file, append=append)
        self._rows: list[bytes] = []
        self._held = 0  # bytes in _rows
        self._staged: list[bytes] = []  # handed to the thread that writes
        self._unsynced = False
        self._lock = anyio.Lock()

    @property
    def name(self) -> str:
        """The path, or ``stdout``."""
        return self._file.name

    @property
    def rows_written(self) -> int:
        """Rows that the operating system has taken from this sink."""
        return self._file.rows_written

    @property
    def bytes_written(self) -> int:
        """Bytes that the operating system has taken from this sink."""
        return self._file.bytes_written

    async def open(self) -> None:
        """Open, and make or empty, the file. Nothing touches it before.

        Raises:
            OutputError: it cannot be opened.
        """
        await to_thread.run_sync(self._file.open)

    async def put(self, rows: Sequence[bytes]) -> None:
        """Take rows; they stay together. Waits only while more than half a MiB is held.

        Raises:
            OutputError: rows cannot be written, these or earlier ones.
        """
        if not self._file.is_open:
            raise RuntimeError(f"{self.name} is not open")
        self._rows += rows
        self._held += sum(map(len, rows))
        if self._held > MAX_HELD_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Hand all rows that were put to the operating system.

        Raises:
            OutputError: it does not take them, or did not take earlier ones.
        """
        if self._rows or self._staged:
            await self._in_thread(self._write)

    async def sync(self) -> None:
        """Bring all rows that were put to the disk, where there is one.

        Raises:
            OutputError: they cannot be written.
        """
        if self._rows or self._staged or self._unsynced:
            await self._in_thread(self._write_and_sync)

    async def aclose(self) -> None:
        """Write what is held, unless a write has failed before, and close. A second time does nothing.

        Raises:
            OutputError: it cannot be written.
        """
        if self._file.is_open:
            with anyio.CancelScope(shield=True):
                await self._in_thread(self._write_and_close)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Stage the rows on the loop, where ``put`` runs, then let one thread at a time write them.

        What is staged stays so until it is written: a cancelled call loses nothing.
        """
        async with self._lock:
            self._staged += self._rows
            self._rows, self._held = [], 0
            await to_thread.run_sync(work)

    def _write(self) -> None:
        if self._staged:
            self._unsynced = True
            rows, self._staged = self._staged, []
            self._file.write(rows)

    def _write_and_sync(self) -> None:
        self._write()
        self._file.sync()
        self._unsynced = False

    def _write_and_close(self) -> None:
        try:
            self._write()
        finally:
            self._file.close()
