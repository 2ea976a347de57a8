"""Lines of a file of any size, read in chunks of a bounded size: what JSONL and other line formats stand on.

A line ends at a line feed and nowhere else: U+2028, form feeds and the like belong to the text. Everything
here blocks and is meant to run in a worker thread.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import ConfigError, Problem
from .mark import InputMark, Meter
from .raw_input import RawInput

__all__ = ["LineReader"]


class LineReader:
    """Reads lines from a path (``.gz`` is unpacked), from standard input (``-``) or from an open binary file.

    An open file stays open. ``raw`` is the input before unpacking.
    """

    def __init__(self, file: str | Path | BinaryIO, *, chunk_bytes: int, max_line_bytes: int) -> None:
        self.raw = RawInput(file)
        self._packed: gzip.GzipFile | None = None
        self._chunk_bytes = chunk_bytes
        self._max = max_line_bytes
        self._parts: list[bytes] = []  # of the line that is not yet complete
        self._held = 0  # their length; above the cap they have been thrown away
        self._reached = (Meter(self.raw.name), False, True)  # what a mark is made of, after the latest chunk

    def open(self) -> None:
        """Open the file, if that has not been done.

        Raises:
            ConfigError: it cannot be opened.
        """
        if self.raw.is_open:
            return
        try:
            self.raw.open()
        except OSError as error:
            raise self._unreadable(error) from error
        if self.raw.name.endswith(".gz") and self.raw.is_path:
            self.raw.waitable = None  # what is packed comes in its own chunks
            self._packed = gzip.GzipFile(fileobj=cast("BinaryIO", self.raw), mode="rb")

    def track(self) -> Meter:
        """Have marks made from now on; nothing has been read yet."""
        if self.raw.position:
            raise RuntimeError(f"{self.raw.name} is being read; say before that marks are wanted")
        self.raw.meter = self.raw.meter or Meter(self.raw.name)
        return self.raw.meter

    def mark(self) -> InputMark:
        """How far the lines given so far reach. May be called while another thread reads."""
        if self.raw.meter is None:
            raise RuntimeError(f"{self.raw.name} is read without marks; see track")
        passed, ended, terminated = self._reached
        return InputMark(bytes=passed.count, digest=passed.digest(), ended=ended, terminated=terminated)

    def read_lines(self) -> list[bytes | None] | None:
        """The lines that the next chunk completes, without line feeds; None at the end.

        A line over the cap is None, too. There may be no line, if the chunk ends in the midst of the first.
        The last line of a file that has grown meanwhile was being written, and is left for another run.

        Raises:
            ConfigError: the file cannot be read, or is not sound gzip.
            RunStateError: the input is not what it was in an earlier run, or at the start of this one.
        """
        chunk = self._read_chunk()
        if chunk is None:
            return []  # a pipe that another process has set to non-blocking
        last = [self._complete(b"")] if not chunk and self._held and not self.raw.grew else None
        if self.raw.meter is not None:
            terminated = self._reached[2] and last is None
            self._reached = (self.raw.meter.copy(), not chunk, terminated)
        return self._cut(chunk) if chunk else last

    def close(self) -> None:
        """Close what was opened here."""
        if self._packed is not None:
            self._packed.close()
        self.raw.close()

    def _read_chunk(self) -> bytes | None:
        read = self.raw.read if self._packed is None else self._packed.read1
        try:
            return read(self._chunk_bytes)
        except EOFError as error:
            if self.raw.grew:
                return b""
            raise self._unreadable(error) from error
        except (OSError, zlib.error) as error:
            raise self._unreadable(error) from error

    def _cut(self, chunk: bytes) -> list[bytes | None]:
        first, *others = chunk.split(b"\n")
        if not others:
            self._hold(first)
            return []
        rest = others.pop()
        lines = [self._complete(first)]
        lines += [line if len(line) <= self._max else None for line in others]
        self._hold(rest)
        return lines

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > self._max:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _complete(self, end: bytes) -> bytes | None:
        self._hold(end)
        line = None if self._held > self._max else b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        return line

    def _unreadable(self, error: Exception) -> ConfigError:
        words = getattr(error, "strerror", None) or str(error)
        return ConfigError(Problem(file=self.raw.name, message=f"cannot be read: {words}"))
