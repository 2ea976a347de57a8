"""JSONL: one JSON object per line, UTF-8, plain or gzip.

Numbers are JSON numbers; integers beyond 64 bits, NaN and infinities are refused on both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import orjson

from ..abc import SourceItem
from ..errors import RecordError, RunStateError
from ..record import Columns
from ..threads import in_thread
from .appending import AppendingSink
from .json_rows import JsonRows
from .lines import LineReader
from .mark import InputMark

__all__ = ["JsonlSink", "JsonlSource"]

BATCH = 256
CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024


class JsonlSource:
    """Rows of a JSONL file, of standard input (``-``), or of an open binary file.

    Blank lines are skipped and are not roots; every other line is one, as columns or as a
    :class:`~sdg_stream.errors.RecordError` with reason ``bad_input``. Files may start with a byte order mark,
    end their lines with CR LF, and lack the last line feed. Memory is bounded by a chunk and a longest line.

    A file is read as far as it went when it was opened. One that is changed while it is read, other than by
    rows that are added to it, ends the run.

    Args:
        file: where to read; a name that ends with ``.gz`` is unpacked.
        limit: stop after so many roots.
        max_line_bytes: a longer line is a bad one.
        chunk_bytes: how much to read at a time.
        strict: a row in which a key stands twice is a bad one. Without it the last of the values counts, and
            the first such row is told to ``on_warning`` if it is among the first 1,000.
        max_bad: how many bad lines there may be; None for any number.
    """

    def __init__(
        self,
        file: str | Path | BinaryIO,
        *,
        limit: int | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        chunk_bytes: int = CHUNK_BYTES,
        strict: bool = False,
        max_bad: int | None = None,
    ) -> None:
        self._reader = LineReader(file, chunk_bytes=chunk_bytes, max_line_bytes=max_line_bytes)
        self._rows = JsonRows(self.name, max_line_bytes=max_line_bytes, strict=strict, max_bad=max_bad)
        self._left = math.inf if limit is None else limit
        self._pending: list[bytes | None] = []  # lines of the latest chunk
        self._done = 0  # how many of them have been read
        self._opened = False
        self._ended = False
        self._peeked: list[SourceItem] = []

    @property
    def name(self) -> str:
        """The path, or ``stdin``."""
        return self._reader.raw.name

    @property
    def position(self) -> int:
        """Bytes read of the file so far."""
        return self._reader.raw.position

    @property
    def size(self) -> int | None:
        """Bytes that the file had when it was opened; None for pipes and the like."""
        return self._reader.raw.size

    @property
    def grew(self) -> int:
        """Bytes that have been added to the file since then, known at the end. They are not read."""
        return self._reader.raw.grew

    @property
    def lines(self) -> int:
        """Number of lines read, blank ones included."""
        return self._rows.lines

    @property
    def bad(self) -> int:
        """Number of bad lines so far. Set it, for ``max_bad``, to go on with an earlier run's count."""
        return self._rows.bad

    @bad.setter
    def bad(self, count: int) -> None:
        self._rows.bad = count

    @property
    def on_warning(self) -> Callable[[str, str], None] | None:
        """Told of what is odd about the input, as a stable word and a sentence for people."""
        return self._rows.on_warning

    @on_warning.setter
    def on_warning(self, tell: Callable[[str, str], None] | None) -> None:
        self._rows.on_warning = tell

    async def open(self) -> None:
        """Open the file now instead of at the first read.

        Raises:
            ConfigError: it is missing or cannot be read.
        """
        if not self._opened:
            await in_thread(self._reader.open)
            self._opened = True

    async def read(self) -> Sequence[SourceItem]:
        """The next rows, at most 256; empty at the end.

        Raises:
            ConfigError: the file is missing or cannot be read, or has too many bad lines.
            RunStateError: it is not what it was in an earlier run, or was changed during this one.
        """
        items, self._peeked = self._peeked, []
        while not items and self._left > 0:
            if self._done == len(self._pending) and not await self._fill():
                break
            begin = self._done
            self._done = min(begin + int(min(BATCH, self._left)), len(self._pending))
            items = self._rows.read(self._pending[begin : self._done])
        self._left -= len(items)
        return items

    async def peek_columns(self) -> list[str] | None:
        """Columns of the first sound row, taking none; None if the first few lines hold none.

        Raises:
            ConfigError, RunStateError: as :meth:`read`.
        """
        self._peeked = list(await self.read())
        self._left += len(self._peeked)
        return next((list(item) for item in self._peeked if isinstance(item, dict)), None)

    # ------------------------------------------------------------ going on with an earlier run

    def track(self) -> None:
        """Have :meth:`mark` work. Call it before anything is read; it costs a hash of every byte."""
        self._reader.track()

    def mark(self) -> InputMark:
        """How far the input has been read: at least as far as the rows given so far reach."""
        return self._reader.mark()

    def expect(self, mark: InputMark) -> None:
        """Hold the input against the mark of an earlier run, as it is read: see :meth:`read`.

        Call it before anything is read; it includes :meth:`track`.
        """
        self._reader.track().expect(mark)

    async def difference(self, mark: InputMark) -> str:
        """Read again what was read up to ``mark``: in which way it differs, empty if it does not.

        Also empty, unread, for what cannot be read twice: pipes and what is not on a disk.

        Raises:
            ConfigError: the file is missing or cannot be read.
        """
        await self.open()
        return await in_thread(partial(self._reader.raw.difference, mark))

    async def skip(self, roots: int) -> None:
        """Pass over the next roots without reading their JSON; what ``limit`` allows gets less by them.

        Raises:
            ConfigError: the file is missing or cannot be read.
            RunStateError: there are not so many roots, or as :meth:`read`.
        """
        wanted = min(roots, self._left)
        found = min(len(self._peeked), int(wanted))
        del self._peeked[:found]
        while found < wanted:
            if self._done == len(self._pending) and not await self._fill():
                words = f"it has {found} roots where {roots} had been read"
                raise RunStateError(f"{self.name} is not the input that it was: {words}")
            passed, more = self._rows.pass_over(self._pending[self._done :], int(wanted) - found)
            self._done += passed
            found += more
        self._left -= found

    async def aclose(self) -> None:
        """Close the file, if it was opened here."""
        self._reader.close()

    async def _fill(self) -> bool:
        """Have the next chunk cut into lines; false at the end of the file."""
        if self._ended:
            return False
        await self.open()
        raw = self._reader.raw
        if raw.waitable is not None:  # so that waiting can be cancelled, which a thread cannot
            try:
                await anyio.wait_readable(raw.waitable)
            except PermissionError:
                raw.waitable = None  # always ready, such as /dev/null
        await anyio.lowlevel.checkpoint_if_cancelled()
        lines = await in_thread(self._reader.read_lines)
        self._pending, self._done = lines or [], 0
        self._ended = lines is None
        if self._ended and self.grew and self.on_warning is not None:
            words = f"{self.name} has got {self.grew} more bytes since it was opened; another run takes them"
            self.on_warning("input_grew", words)
        return not self._ended


class JsonlSink(AppendingSink):
    """Rows into a JSONL file, standard output (``-``) or an open binary file; see :class:`AppendingSink`."""

    def prepare(self, columns: Columns) -> bytes:
        """A row as one line of JSON. Dates, times, UUIDs and tuples become what JSON has for them.

        Raises:
            RecordError: ``bad_value``; a value is NaN or infinite, not text that UTF-8 can hold, an integer
                beyond 64 bits, or of a type that JSON does not have.
        """
        try:
            line = orjson.dumps(columns, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError as error:
            raise _unwritable(columns, error) from None
        if b"null" in line:  # what orjson makes of NaN
            for column, value in columns.items():
                if _non_finite(value):
                    raise RecordError("bad_value", f"column {column!r} holds a number that is not finite")
        return line


def _unwritable(columns: Columns, error: TypeError) -> RecordError:
    """Which column it is that cannot be written, and why."""
    for column, value in columns.items():
        try:
            orjson.dumps({column: value})
        except TypeError as reason:
            return RecordError("bad_value", f"column {column!r} cannot be written as JSON: {reason}")
    return RecordError("bad_value", f"cannot be written as JSON: {error}")


def _non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_non_finite, value.values()))
    return isinstance(value, list | tuple) and any(map(_non_finite, value))
