"""What batches append to one file, and what the journal has to know of it to bring the file back there."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["AppendFile", "Appended", "Held"]


class AppendFile(Protocol):
    """A file as the journal writes it: opened at its end, rows appended whole, errors as OutputError."""

    @property
    def name(self) -> str:
        """Its path."""

    def write(self, rows: Sequence[bytes | bytearray]) -> None:
        """Append."""

    def sync(self) -> None:
        """Bring it to the disk."""

    def close(self) -> None:
        """Close it."""


class Held:
    """Lines that wait to be written: one behind the other, and the length of each.

    Nothing else is kept of them: a small line is a small share of a buffer, and not an object that was made
    with room for a large one.
    """

    __slots__ = ("data", "lengths")

    def __init__(self) -> None:
        self.data = bytearray()
        self.lengths = array("I")

    def __len__(self) -> int:
        return len(self.lengths)

    def add(self, lines: Sequence[bytes]) -> None:
        """Append lines."""
        for line in lines:
            self.data += line
            self.lengths.append(len(line))

    def checks(self) -> array[int]:
        """Length and CRC-32 of each line."""
        found, begin = array("I"), 0
        with memoryview(self.data) as view:
            for length in self.lengths:
                found.append(length)
                found.append(zlib.crc32(view[begin : begin + length]))
                begin += length
        return found


class Appended:
    """What a batch appends to one file: lines as they are prepared, and what is known of them afterwards.

    A packed file is one gzip member a session. ``member`` is the check value and the length of the member so
    far; with these, a member that a killed session left open can be closed (see :mod:`.recovery`).

    Attributes:
        held: lines that the next batch takes.
        data: what the latest batch appends to the file.
        end: bytes that the file holds then.
    """

    def __init__(self, file: AppendFile, end: int, *, packed: bool) -> None:
        self.file = file
        self.end = end
        self.held = Held()
        self.data: bytes | bytearray = b""
        self._second_start = end
        self._second_crc = 0
        self._second_lines = array("I")
        self._packer = zlib.compressobj(wbits=31) if packed else None
        self._member_crc = 0
        self._member_size = 0

    def take(self) -> Held:
        """The lines that are held; from now on others are."""
        held, self.held = self.held, Held()
        return held

    def fields(self, held: Held, *, last: bool = False) -> tuple[Any, ...]:
        """The batch's columns: start, end, crc, lines, member. Makes ``data``."""
        lines = held.checks()
        self.data = held.data if self._packer is None else self._pack(held.data, last=last)
        start = self.end
        self._second_crc = zlib.crc32(self.data, self._second_crc)
        self.end += len(self.data)
        self._second_lines += lines
        return start, self.end, zlib.crc32(self.data), lines.tobytes(), self._member()

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

    def _pack(self, text: bytearray, *, last: bool) -> bytes:
        packer = self._packer
        if packer is None or not (text or (last and self._member_size)):
            return b""
        self._member_crc = zlib.crc32(text, self._member_crc)
        self._member_size += len(text)
        packed = packer.compress(text) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        if last:
            self._member_size = 0
        return packed
