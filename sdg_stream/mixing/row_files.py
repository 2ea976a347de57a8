"""Reading rows from JSONL files in blocking calls, one at a time; see :mod:`sdg_stream.io.json_rows`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError, Problem, RecordError
from ..io.json_rows import JsonRows, is_blank
from ..io.jsonl import CHUNK_BYTES, MAX_LINE_BYTES
from ..io.lines import LineReader
from ..record import Columns

__all__ = ["JsonLine", "count_rows", "read_lines", "read_rows", "read_sound_rows"]


class JsonLine:
    """Makes rows of lines, one at a time, in any order.

    Args:
        file: what messages call the file.
    """

    def __init__(self, file: Path) -> None:
        self._rows = JsonRows(str(file), max_line_bytes=MAX_LINE_BYTES, strict=False, max_bad=None)

    def read(self, line: bytes | None, number: int) -> Columns | RecordError | None:
        """The row in a line, what is wrong with the line, or None if it is blank."""
        self._rows.lines = number - 1
        return next(iter(self._rows.read([line])), None)


def read_lines(file: Path) -> Iterator[tuple[int, int, bytes | None]]:
    """Give the lines that hold something; None for one that is too long.

    Each comes with its number, from 1, and with the place of its first byte, which is not known any more
    behind a line that is too long. In packed files it is the place in what is unpacked.

    Raises:
        ConfigError: the file cannot be read.
        RunStateError: it was changed while it was read.
    """
    reader = LineReader(file, chunk_bytes=CHUNK_BYTES, max_line_bytes=MAX_LINE_BYTES)
    reader.open()
    number = begin = 0
    try:
        while (lines := reader.read_lines()) is not None:
            for line in lines:
                number += 1
                if line is None or not is_blank(line, first=number == 1):
                    yield number, begin, line
                begin += len(line or b"") + 1
    finally:
        reader.close()


def count_rows(file: Path) -> int:
    """How many lines of a file hold something.

    Raises:
        ConfigError, RunStateError: as :func:`read_lines`.
    """
    return sum(1 for _ in read_lines(file))


def read_rows(file: Path) -> Iterator[tuple[int, Columns | RecordError]]:
    """Give every row, or what is wrong with it, with the number of its line.

    Raises:
        ConfigError, RunStateError: as :func:`read_lines`.
    """
    json_line = JsonLine(file)
    for number, _, line in read_lines(file):
        row = json_line.read(line, number)
        if row is not None:
            yield number, row


def read_sound_rows(file: Path) -> Iterator[Columns]:
    """Give every row of a file whose lines should all be sound.

    Raises:
        ConfigError: a line is not, or as :func:`read_lines`.
        RunStateError: as :func:`read_lines`.
    """
    for number, row in read_rows(file):
        if isinstance(row, RecordError):
            raise ConfigError(Problem(file=str(file), line=number, message=row.message))
        yield row
