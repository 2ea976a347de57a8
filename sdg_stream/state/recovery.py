"""Bringing a file to where the journal says it is: torn tails mended, missing rows appended, edits found.

The journal knows for each batch where its bytes begin and end in the file, and their CRC-32; of the batches
that may not be on the disk it knows the bytes themselves. After a kill the file ends somewhere in those, so
recovery only appends. What of them is in the file already is written once more: a disk that has refused bytes
may show them as long as they are in memory. After a power loss the last second of file and journal may each
be there or not: what the file holds beyond the journal, or damaged within that second, is cut off and kept in
a file aside. All else that is not as it was written has been edited, which is told with its line and never
mended.
"""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..disk import sync_folder
from ..errors import OutputError, RunStateError

__all__ = ["Span", "boot_id", "bring_to"]

COPY_BYTES = 1024 * 1024


class Span(msgspec.Struct, frozen=True):
    """What one batch appended: bytes from ``start`` to ``end``, ``lines`` as (length, CRC-32) of each."""

    batch: int
    start: int
    end: int
    crc: int
    lines: bytes

    def __len__(self) -> int:
        return len(self.lines) // 8


def boot_id() -> str:
    """What changes when the machine starts anew; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def bring_to(
    file: Path,
    spans: Iterable[Span],
    pending: Callable[[int], bytes | None],
    *,
    packed: bool = False,
    power_lost: bool = False,
    aside: Path | None = None,
) -> tuple[int, int]:
    """Make a file hold exactly what the journal says.

    Args:
        file: it may be missing.
        spans: all of the journal, in order.
        pending: bytes of a batch that may not be on the disk yet; None if they surely were.
        packed: its lines cannot be told from its bytes.
        power_lost: the machine may have gone down since; then the last second may be damaged.
        aside: folder for bytes that are cut off.

    Returns:
        How many bytes and lines it holds now.

    Raises:
        RunStateError: it was changed by somebody else; the message names the line.
        OutputError: it cannot be read or written.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b", buffering=0) as raw:
            return _Mending(file, raw, packed=packed, power_lost=power_lost, aside=aside).mend(spans, pending)
    except OSError as error:
        raise OutputError(f"{file}: cannot be brought up to date: {error.strerror}") from error


class _Mending:
    """One file that is being compared with its journal."""

    def __init__(
        self, path: Path, raw: BinaryIO, *, packed: bool, power_lost: bool, aside: Path | None
    ) -> None:
        self._path = path
        self._raw = raw
        self._packed = packed
        self._power_lost = power_lost
        self._aside = aside
        self._end = 0
        self._lines = 0

    def mend(self, spans: Iterable[Span], pending: Callable[[int], bytes | None]) -> tuple[int, int]:
        unsynced = False
        for span in spans:
            if span.start != self._end:
                raise RunStateError(f"the journal of {self._path} has a gap before byte {span.start}")
            known = pending(span.batch)
            if known is not None:
                if len(known) != span.end - span.start or zlib.crc32(known) != span.crc:
                    raise RunStateError(f"the journal of {self._path} is damaged at byte {span.start}")
                unsynced = True
                self._restore(span, known)
            elif not self._is_sound(span):
                self._raw.seek(span.start)
                raise self._edited(span, self._read(span.end - span.start))
            self._end = span.end
            self._lines += len(span)
        extra = self._raw.read(COPY_BYTES)
        if extra:
            self._beyond(extra)
        elif unsynced:
            os.fsync(self._raw.fileno())
        return self._end, self._lines

    def _is_sound(self, span: Span) -> bool:
        """Whether the file holds just what the batch appended; read in pieces, since a batch may be large."""
        left, crc = span.end - span.start, 0
        while left > 0:
            part = self._raw.read(min(left, COPY_BYTES))
            if not part:
                return False
            left -= len(part)
            crc = zlib.crc32(part, crc)
        return crc == span.crc

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0 and (part := self._raw.read(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _restore(self, span: Span, known: bytes) -> None:
        """Write what may not have come to the disk, unless somebody else has changed it."""
        found = self._read(len(known))
        if not known.startswith(found):
            if not self._power_lost:
                raise self._edited(span, found)
            self._cut_off()
        self._raw.seek(self._end)
        missing = memoryview(known)
        while missing:
            missing = missing[self._raw.write(missing) :]

    def _beyond(self, extra: bytes) -> None:
        """The file goes on behind what the journal knows of."""
        if not self._power_lost:
            place = f"line {self._lines + 1}" if not self._packed else f"byte {self._end}"
            raise RunStateError(
                f"{self._path} was edited: from {place} on it holds what this run did not write"
                f" ({_shown(extra)}). Take that out again, or let --edited make the rows anew from the"
                " answers that are kept"
            )
        self._cut_off()

    def _cut_off(self) -> None:
        """Cut the file where the journal ends; what is cut is kept."""
        if self._aside is not None:
            number = 1
            while (kept := self._aside / f"{self._path.name}.cut-{number}").exists():
                number += 1
            with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as copy:
                self._raw.seek(self._end)
                while part := self._raw.read(COPY_BYTES):
                    copy.write(part)
        self._raw.truncate(self._end)
        self._raw.seek(self._end)
        os.fsync(self._raw.fileno())
        sync_folder(self._path.absolute().parent)

    def _edited(self, span: Span, data: bytes) -> RunStateError:
        """Which line is not as it was written."""
        path, hint = (
            self._path,
            "Bring it back, or accept the change with --edited: the rows are made anew then",
        )
        if self._packed:
            return RunStateError(f"{path} was edited somewhere behind byte {span.start}. {hint}")
        lines, begin = array("I", span.lines), 0
        for number, (length, crc) in enumerate(zip(lines[::2], lines[1::2], strict=True), self._lines + 1):
            line = data[begin : begin + length]
            if not line or (len(line) < length and b"\n" not in line):
                left = len(span) - (number - self._lines - 1)
                return RunStateError(
                    f"{path} was edited: it ends in line {number}, where {left} lines or more are missing."
                    f" {hint}"
                )
            if zlib.crc32(line) != crc:
                found = data[begin:].partition(b"\n")[0]
                return RunStateError(
                    f"{path}:{number}: the file was edited: this line is not what the run wrote there"
                    f" ({_shown(found)}). {hint}"
                )
            begin += length
        return RunStateError(f"{path} was edited somewhere behind line {self._lines}. {hint}")


def _shown(data: bytes) -> str:
    """The beginning of foreign bytes, for a message."""
    text = data[:60].decode("utf-8", "replace").partition("\n")[0]
    return f"{text!r}{' ...' if len(data) > 60 else ''}"


def close_member(member: bytes | None) -> bytes:
    """What closes a gzip member that a killed session left open, behind a flush; see RFC 1951 and RFC 1952.

    ``member`` is its check value and length so far. The end is an empty last block with fixed codes, the
    CRC-32 and the length of the text, both little-endian.
    """
    if not member:
        return b""
    crc, size = array("Q", member)
    return b"\x03\x00" + int(crc).to_bytes(4, "little") + (int(size) & 0xFFFFFFFF).to_bytes(4, "little")
