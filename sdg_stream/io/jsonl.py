"""JSONL: one JSON object per line, UTF-8, plain or gzip.

Numbers are JSON numbers as orjson reads them: integers beyond 64 bits become floats. NaN and infinities are
not JSON and are refused on both ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import orjson
from anyio import to_thread

from ..abc import SourceItem
from ..errors import RecordError
from ..record import Columns
from .appending import AppendingSink
from .lines import LineReader

__all__ = ["JsonlSink", "JsonlSource"]

BATCH = 256
CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class JsonlSource:
    """Rows of a JSONL file, of standard input (``-``), or of an open binary file.

    Blank lines are skipped and are not roots; every other line is one, as columns or as a
    :class:`~sdg_stream.errors.RecordError` with reason ``bad_input``. Files may start with a byte order mark,
    end their lines with CR LF, and lack the last line feed. Memory is bounded by a chunk and a longest line.

    Args:
        file: where to read; a name that ends with ``.gz`` is unpacked.
        limit: stop after so many roots.
        max_line_bytes: a longer line is a bad one.
        chunk_bytes: how much to read at a time.
    """

    def __init__(
        self,
        file: str | Path | BinaryIO,
        *,
        limit: int | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.lines = 0
        """Number of lines read, blank ones included."""
        self._reader = LineReader(file, chunk_bytes=chunk_bytes, max_line_bytes=max_line_bytes)
        self._left = math.inf if limit is None else limit
        self._max_line_bytes = max_line_bytes
        self._pending: list[bytes | None] = []  # lines of the latest chunk
        self._parsed = 0  # how many of them are done
        self._opened = False
        self._ended = False
        self._peeked: list[SourceItem] = []

    @property
    def name(self) -> str:
        """The path, or ``stdin``."""
        return self._reader.name

    @property
    def position(self) -> int:
        """Bytes read of the file so far."""
        return self._reader.position

    @property
    def size(self) -> int | None:
        """Bytes that the file had when it was opened; None for pipes and the like."""
        return self._reader.size

    async def open(self) -> None:
        """Open the file now instead of at the first read.

        Raises:
            ConfigError: it is missing or cannot be read.
        """
        if not self._opened:
            await to_thread.run_sync(self._reader.open)
            self._opened = True

    async def read(self) -> Sequence[SourceItem]:
        """The next rows, at most 256; empty at the end.

        Raises:
            ConfigError: the file is missing or cannot be read.
        """
        items, self._peeked = self._peeked, []
        while not items and self._left > 0:
            if self._parsed == len(self._pending) and not await self._fill():
                break
            items = self._parse()
        self._left -= len(items)
        return items

    async def peek_columns(self) -> list[str] | None:
        """Columns of the first sound row, taking none; None if the first few lines hold none.

        Raises:
            ConfigError: the file is missing or cannot be read.
        """
        self._peeked = list(await self.read())
        self._left += len(self._peeked)
        return next((list(item) for item in self._peeked if isinstance(item, dict)), None)

    async def aclose(self) -> None:
        """Close the file, if it was opened here."""
        self._reader.close()

    async def _fill(self) -> bool:
        """Have the next chunk cut into lines; false at the end of the file."""
        if self._ended:
            return False
        await self.open()
        if self._reader.waitable is not None:  # so that waiting can be cancelled, which a thread cannot
            try:
                await anyio.wait_readable(self._reader.waitable)
            except PermissionError:
                self._reader.waitable = None  # always ready, such as /dev/null
        lines = await to_thread.run_sync(self._reader.read_lines)
        self._pending, self._parsed = lines or [], 0
        self._ended = lines is None
        return not self._ended

    def _parse(self) -> list[SourceItem]:
        items: list[SourceItem] = []
        begin = self._parsed
        self._parsed = min(begin + int(min(BATCH, self._left)), len(self._pending))
        for line in self._pending[begin : self._parsed]:
            self.lines += 1
            if line is None:
                items.append(self._bad(f"longer than {self._max_line_bytes} bytes"))
                continue
            text = line.removeprefix(_BOM) if self.lines == 1 else line
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                if text.strip():
                    items.append(self._bad(f"not JSON: {error.msg} (column {error.colno})"))
                continue
            items.append(row if type(row) is dict else self._bad("not a JSON object"))
        return items

    def _bad(self, words: str) -> RecordError:
        return RecordError("bad_input", f"line {self.lines}: {words}")


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
