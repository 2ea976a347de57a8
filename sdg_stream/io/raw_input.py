"""The bytes of an input as they are on the disk, up to where the file ended when it was opened.

A file may grow while it is read: what is new is left for another run. One that shrinks, or is written to
without growing, is another file at the end than at the start, and nobody knows which rows were read of which.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import RunStateError
from .mark import InputMark, Meter, first_bytes_differ

__all__ = ["STDIN", "RawInput"]

STDIN = "-"


class RawInput:
    """Reads from a path, from standard input (``-``) or from an open binary file, which stays open. Blocks.

    Attributes:
        name: the path, or what it is.
        position: bytes read so far.
        size: bytes that there were when it was opened; None where that cannot be known.
        grew: bytes that a file has got since then, known at its end.
        waitable: a descriptor to wait on before a read, where one could take for ever.
        meter: counts and hashes what is read, if that is wanted.
    """

    def __init__(self, file: str | Path | BinaryIO) -> None:
        self.name = _name_of(file)
        self.position = 0
        self.size: int | None = None
        self.grew = 0
        self.waitable: int | None = None
        self.meter: Meter | None = None
        self._file = file
        self._own: io.FileIO | None = None
        self._read: Callable[[int], bytes | None] | None = None
        self._descriptor = -1  # of a regular file
        self._start = 0  # the offset at which it was handed over
        self._written = 0  # its time of change at that moment

    @property
    def is_open(self) -> bool:
        """Whether it can be read."""
        return self._read is not None

    @property
    def is_path(self) -> bool:
        """Whether a path was named."""
        return isinstance(self._file, str | Path) and self._file != STDIN

    def open(self) -> None:
        """Open a path; a file that is open is looked at.

        Raises:
            OSError: it cannot be opened.
        """
        if isinstance(self._file, str | Path):
            if self._file == STDIN:
                self._own = io.FileIO(0, "rb", closefd=False)
            else:
                self._own = io.FileIO(self._file, "rb")
            self._look_at(self._own)
            self._read = self._own.read
            return
        read: Callable[[int], bytes] = getattr(self._file, "read1", self._file.read)
        with suppress(io.UnsupportedOperation):  # in memory: no descriptor, no size
            self._look_at(self._file)
        self._read = read

    def read(self, size: int = -1) -> bytes | None:
        """At most ``size`` bytes; empty at the end, None if a pipe has nothing now.

        Raises:
            OSError: it cannot be read.
            RunStateError: the input is not what it was in an earlier run, or at the start of this one.
        """
        if self._read is None:
            raise RuntimeError(f"{self.name} is not open")
        if self.size is not None:
            left = self.size - self.position
            size = left if size < 0 else min(size, left)
        data = self._read(size) if size else b""
        if data:
            self.position += len(data)
            if self.meter is not None:
                self.meter.feed(data)
        elif data is not None:
            self._at_end()
        return data

    def difference(self, mark: InputMark) -> str:
        """In which way the input differs from what was read up to ``mark``; empty if that is not so.

        Also empty for what cannot be read twice.
        """
        if self._descriptor < 0:
            return ""
        return first_bytes_differ(self._descriptor, self._start, self.name, mark)

    def close(self) -> None:
        """Close what was opened here."""
        if self._own is not None:
            self._own.close()

    def seekable(self) -> bool:
        """No: an input is read once, from begin to end."""
        return False

    def seek(self, offset: int) -> int:
        """Never works; here for those who unpack what is read."""
        raise io.UnsupportedOperation(f"{self.name} is read once, from begin to end ({offset})")

    def _look_at(self, file: BinaryIO | io.FileIO) -> None:
        descriptor = file.fileno()
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.waitable = descriptor
        elif isinstance(
            file, io.FileIO | io.BufferedReader | io.BufferedRandom
        ):  # not what is unpacked on the way
            self._descriptor, self._start, self._written = descriptor, file.tell(), status.st_mtime_ns
            self.size = max(status.st_size - self._start, 0)

    def _at_end(self) -> None:
        if self.meter is not None:
            self.meter.end()
        if self.size is None:
            return
        status = os.fstat(self._descriptor)
        more = status.st_size - self._start - self.size
        if more < 0 or self.position < self.size:
            words = f"it had {self.size} bytes, now there are {self.size + more}"
        elif more == 0 and status.st_mtime_ns != self._written:
            words = f"it still has {self.size} bytes, and was written to"
        else:
            self.grew = more
            return
        raise RunStateError(f"{self.name} was changed while it was read: {words}")


def _name_of(file: str | Path | BinaryIO) -> str:
    if isinstance(file, str | Path):
        return "stdin" if file == STDIN else str(file)
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "input"
