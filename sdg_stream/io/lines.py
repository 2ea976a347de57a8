"""Lines of a file of any size, read in chunks of a bounded size: what JSONL and other line formats stand on.

A line ends at a line feed and nowhere else: U+2028, form feeds and the like belong to the text. Everything
here blocks and is meant to run in a worker thread.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..errors import ConfigError, Problem

__all__ = ["STDIN", "LineReader"]

STDIN = "-"


class LineReader:
    """Reads lines from a path (``.gz`` is unpacked), from standard input (``-``) or from an open binary file.

    An open file must not have been read from before, and stays open. ``position`` is the number of bytes read
    from the file, of ``size`` bytes (None where that cannot be known), both before unpacking.
    """

    def __init__(self, file: str | Path | BinaryIO, *, chunk_bytes: int, max_line_bytes: int) -> None:
        self.name = _name_of(file)
        self.position = 0
        self.size: int | None = None
        self.waitable: int | None = None
        """A descriptor to wait on before a read, where one could take for ever."""
        self._file = file
        self._chunk_bytes = chunk_bytes
        self._max = max_line_bytes
        self._raw: io.FileIO | None = None
        self._packed: gzip.GzipFile | None = None
        self._read: Callable[[int], bytes | None] | None = None
        self._parts: list[bytes] = []  # of the line that is not yet complete
        self._held = 0  # their length; above the cap they have been thrown away

    def open(self) -> None:
        """Open the file, if that has not been done.

        Raises:
            ConfigError: it cannot be opened.
        """
        if self._read is not None:
            return
        try:
            if isinstance(self._file, str | Path):
                self._read = self._open_path(self._file)
            else:
                self._read = getattr(self._file, "read1", self._file.read)
                self._look_at(self._file.fileno())
        except io.UnsupportedOperation:
            pass  # in memory: no descriptor, no size
        except OSError as error:
            raise self._unreadable(error) from error

    def read_lines(self) -> list[bytes | None] | None:
        """The lines that the next chunk completes, without line feeds; None at the end.

        A line over the cap is None, too. There may be no line, if the chunk ends in the midst of the first.

        Raises:
            ConfigError: the file cannot be read, or is not sound gzip.
        """
        if self._read is None:
            raise RuntimeError(f"{self.name} is not open")
        try:
            chunk = self._read(self._chunk_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from error
        if chunk is None:
            return []  # a pipe that another process has set to non-blocking
        if self._packed is not None and self._raw is not None:
            self.position = self._raw.tell()
        else:
            self.position += len(chunk)
        if chunk:
            return self._cut(chunk)
        return [self._complete(b"")] if self._held else None

    def close(self) -> None:
        """Close what was opened here."""
        for file in (self._packed, self._raw):
            if file is not None:
                file.close()

    def _open_path(self, path: str | Path) -> Callable[[int], bytes | None]:
        if path == STDIN:
            self._raw = io.FileIO(0, "rb", closefd=False)
        else:
            self._raw = io.FileIO(path, "rb")
        self._look_at(self._raw.fileno())
        if not self.name.endswith(".gz"):
            return self._raw.read
        self.waitable = None  # what is packed comes in its own chunks
        self._packed = gzip.GzipFile(fileobj=self._raw, mode="rb")
        return self._packed.read1

    def _look_at(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            self.size = status.st_size
        else:
            self.waitable = descriptor

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
        return ConfigError(Problem(file=self.name, message=f"cannot be read: {words}"))


def _name_of(file: str | Path | BinaryIO) -> str:
    if isinstance(file, str | Path):
        return "stdin" if file == STDIN else str(file)
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "input"
