"""Any row of a JSONL file by its number, in memory that does not grow with the file.

Where each row begins is written to a nameless file of 16 bytes a row, which the system deletes when the
process ends, however it does. A packed file is unpacked into another one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ..errors import ConfigError, OutputError, Problem, RecordError, RunStateError
from ..record import Columns
from .row_files import JsonLine, read_lines

__all__ = ["IndexedRows", "indexed_rows"]

_ENTRY = 16  # bytes: where a row begins, and the number of its line
_HELD = 16 * 1024  # numbers
_AHEAD = 64  # rows


class IndexedRows:
    """The rows of one file; :func:`indexed_rows` makes it.

    Attributes:
        count: how many there are.
    """

    def __init__(self, file: Path, index: BinaryIO, text: BinaryIO, *, packed: bool) -> None:
        self.count = 0
        self._file = file
        self._index = index
        self._text = text
        self._json = JsonLine(file)
        self._fill(packed=packed)

    def read(self, numbers: Iterable[int]) -> Iterator[tuple[int, Columns | RecordError]]:
        """Rows by their numbers, from 0: the number of the line, and the row, or what is wrong with it."""
        numbers = iter(numbers)
        while places := [self._place(number) for number in islice(numbers, _AHEAD)]:
            for begin, _, end in places:
                self._will_need(begin, end - begin)
            for begin, line, end in places:
                self._text.seek(begin)
                row = self._json.read(self._text.read(end - begin), line)
                yield line, RecordError("bad_input", f"line {line} is gone") if row is None else row

    def _place(self, number: int) -> tuple[int, int, int]:
        """Where a row begins, the number of its line, and where the next row begins."""
        self._index.seek(number * _ENTRY)
        begin, line, end, _ = array("Q", self._index.read(2 * _ENTRY))
        return begin, line, end

    def _will_need(self, begin: int, size: int) -> None:
        """Let the disk fetch many rows at once, where the system can be told so: ten times as fast."""
        if sys.platform == "linux":
            os.posix_fadvise(self._text.fileno(), begin, size, os.POSIX_FADV_WILLNEED)

    def _fill(self, *, packed: bool) -> None:
        """Read the file once, noting where its rows begin; behind them stands where the last one ends."""
        entries, end = array("Q"), 0
        for number, place, line in read_lines(self._file):
            if line is None:
                raise ConfigError(Problem(file=str(self._file), line=number, message="this line is too long"))
            begin = place
            if packed:
                begin = end
                self._text.write(line + b"\n")
            entries.extend((begin, number))
            self.count += 1
            end = begin + len(line) + 1
            if len(entries) >= _HELD:
                self._index.write(entries)
                del entries[:]
        entries.extend((end, 0))
        self._index.write(entries)


@contextmanager
def indexed_rows(file: Path, scratch: Path | None) -> Iterator[IndexedRows]:
    """Read a file once, then give any of its rows as often as wanted.

    Args:
        file: JSONL, plain or with a name that ends with ``.gz``.
        scratch: folder for the nameless files; None for the system's.

    Raises:
        ConfigError: the file cannot be read, or holds a line that is too long.
        RunStateError: it was changed while it was read.
        OutputError: the nameless files cannot be written.
    """
    packed = file.name.endswith(".gz")
    try:
        with (
            tempfile.TemporaryFile(dir=scratch) as index,
            tempfile.TemporaryFile(dir=scratch) if packed else _opened(file) as text,
        ):
            written = os.fstat(text.fileno()).st_mtime_ns
            yield IndexedRows(file, index, text, packed=packed)
            if not packed and os.fstat(text.fileno()).st_mtime_ns != written:
                raise RunStateError(f"{file} was changed while it was read")
    except OSError as error:
        where = scratch or tempfile.gettempdir()
        raise OutputError(
            f"{where}: the index of {file} cannot be written or read: {error.strerror}"
        ) from error


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb", buffering=0)
    except OSError as error:
        raise ConfigError(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from error
