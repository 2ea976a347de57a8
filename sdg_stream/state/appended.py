"""What batches append to one file, and what the journal has to know of it to bring the file back there."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["AppendFile", "Appended"]


class AppendFile(Protocol):
    """A file as the journal writes it: opened at its end, rows appended whole, errors as OutputError."""

    @property
    def name(self) -> str:
        """Its path."""

    def write(self, rows: Sequence[bytes]) -> None:
        """Append."""

    def sync(self) -> None:
        """Bring it to the disk."""

    def close(self) -> None:
        """Close it."""


class Appended:
    """What a batch appends to one file: rows as they are prepared, and what is known of them afterwards.

    A packed file is one gzip member a session. ``member`` is the check value and the length of the member so
    far; with these, a member that a killed session left open can be closed (see :mod:`.recovery`).
    """

    def __init__(self, file: AppendFile, end: int, *, packed: bool) -> None:
        self.file = file
        self.end = end
        self.rows: list[bytes] = []
        self.data: list[bytes] = []  # of the batch, as the file gets it
        self._second_start = end
        self._second_crc = 0
        self._second_lines = array("I")
        self._packer = zlib.compressobj(wbits=31) if packed else None
        self._member_crc = 0
        self._member_size = 0

    def fields(self, rows: list[bytes], *, last: bool = False) -> tuple[Any, ...]:
        """The batch's columns: start, end, crc, lines, member. Makes ``data``."""
        lines = array("I")
        for row in rows:
            lines.append(len(row))
            lines.append(zlib.crc32(row))
        self.data = rows
        if self._packer is not None:
            self.data = self._pack(rows, last=last)
        start = self.end
        crc = 0
        for part in self.data:
            crc = zlib.crc32(part, crc)
            self._second_crc = zlib.crc32(part, self._second_crc)
            self.end += len(part)
        self._second_lines += lines
        return start, self.end, crc, lines.tobytes(), self._member()

    def second(self) -> tuple[Any, ...]:
        """The columns of everything since the last time."""
        found = (
            self._second_start,
            self.end,
            self._second_crc,
            self._second_lines.tobytes(),
            self._member(),
        )
        self._second_start, self._second_crc, self._second_lines = self.end, 0, array("I")
        return found

    def _member(self) -> bytes | None:
        if self._packer is None or not self._member_size:
            return None
        return array("Q", (self._member_crc, self._member_size)).tobytes()

    def _pack(self, rows: list[bytes], *, last: bool) -> list[bytes]:
        packer = self._packer
        if packer is None or not (rows or (last and self._member_size)):
            return []
        text = b"".join(rows)
        self._member_crc = zlib.crc32(text, self._member_crc)
        self._member_size += len(text)
        packed = packer.compress(text) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        if last:
            self._member_size = 0
        return [packed]
