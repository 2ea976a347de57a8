"""A file that rows are appended to, as blocking calls: whole rows, and one torn tail if a write fails."""

from __future__ import annotations

import errno
import os
import select
import stat
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from ..disk import sync_folder
from ..errors import OutputError

__all__ = ["STDOUT", "RowFile"]

STDOUT = "-"


class RowFile:
    """A path (``.gz`` is packed), standard output (``-``), or an open binary file, which stays open.

    ``append`` keeps what a path holds; without it the file starts empty. Without ``pack`` what is written is
    packed already, if it is to be. ``rows_written`` and
    ``bytes_written`` count what the operating system has taken. After a failure nothing more is written:
    every further call raises the same error, and :meth:`close` just closes.
    """

    def __init__(self, file: str | Path | BinaryIO, *, append: bool = False, pack: bool = True) -> None:
        self.name = _name_of(file)
        self._packs = pack and self.name.endswith(".gz")
        self.is_open = False
        self.rows_written = 0
        self.bytes_written = 0
        self._file = file
        self._append = append
        self._packer: zlib._Compress | None = None
        self._write_some: Callable[[memoryview], int] = _not_open
        self._own: int | None = None  # descriptor to close
        self._durable: int | None = None  # descriptor with a disk behind it
        self._new_in: Path | None = None  # folder whose entry for the file may not be on the disk
        self._failure: OutputError | None = None

    def open(self) -> None:
        """Open, and make or empty, the file. Nothing touches it before.

        Raises:
            OutputError: it cannot be opened.
        """
        if self.is_open:
            return
        if isinstance(self._file, str | Path):
            descriptor = 1 if self._file == STDOUT else self._open_path(Path(self._file))
            self._write_some = _descriptor_writer(descriptor)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._durable = descriptor
        else:
            self._write_some = _file_writer(self._file)
        if self._packs:
            self._packer = zlib.compressobj(wbits=31)  # 31: with gzip header and trailer
        self.is_open = True

    def write(self, rows: Sequence[bytes | bytearray]) -> None:
        """Append rows in one go.

        Raises:
            OutputError: the file does not take them all; the message says how many rows it has taken.
        """
        data = b"".join(rows)
        if data and self._packer is not None:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        before = self.bytes_written
        try:
            self._write_all(data)
        except OSError as error:
            if self._packer is None:
                self.rows_written += _whole(rows, self.bytes_written - before)
            raise self._fail("cannot be written", error) from error
        self.rows_written += len(rows)

    def sync(self) -> None:
        """Bring everything written to the disk, where there is one.

        Raises:
            OutputError: the disk does not take it.
        """
        if self._failure is not None:
            raise self._failure
        if self._durable is None:
            return
        try:
            os.fsync(self._durable)
        except OSError as error:
            raise self._fail("cannot be brought to the disk", error) from error
        if self._new_in is not None:
            sync_folder(self._new_in)
            self._new_in = None

    def close(self) -> None:
        """Close what was opened here. A second time does nothing.

        Raises:
            OutputError: the end of a packed file, or what the system still held, cannot be written.
        """
        if not self.is_open:
            return
        self.is_open = False
        try:
            if (
                self._packer is not None
                and self._failure is None
                and (self.bytes_written or not self._append)
            ):
                self._write_all(self._packer.flush(zlib.Z_FINISH))
        except OSError as error:
            raise self._fail("cannot be written", error) from error
        finally:
            self._write_some = _not_open
            self._close_own()

    def _close_own(self) -> None:
        descriptor, self._own, self._durable = self._own, None, None
        if descriptor is not None:
            try:
                os.close(descriptor)
            except OSError as error:
                raise self._fail("cannot be closed", error) from error

    def _open_path(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if self._append else os.O_TRUNC)
        try:
            self._own = os.open(path, flags, 0o666)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not path.parent.exists():
                words = f"the folder {path.parent} does not exist; make it, or name another output"
            else:
                words = f"cannot be opened: {error.strerror}"
            raise OutputError(f"{path}: {words}") from error
        self._new_in = path.absolute().parent
        return self._own

    def _write_all(self, data: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        with memoryview(data) as view:
            done = 0
            while done < len(data):
                count = self._write_some(view[done:])
                done += count
                self.bytes_written += count

    def _fail(self, what: str, error: OSError) -> OutputError:
        words = "its reader is gone" if error.errno == errno.EPIPE else error.strerror or str(error)
        self._failure = OutputError(f"{self.name}: {what}: {words}; {self.rows_written} rows are written")
        return self._failure


def _whole(rows: Sequence[bytes | bytearray], size: int) -> int:
    """How many of the rows the first ``size`` bytes of them hold."""
    for count, row in enumerate(rows):
        size -= len(row)
        if size < 0:
            return count
    return len(rows)


def _not_open(data: memoryview) -> int:
    raise RuntimeError(f"{len(data)} bytes for a file that is not open")


def _descriptor_writer(descriptor: int) -> Callable[[memoryview], int]:
    def write(data: memoryview) -> int:
        while True:
            try:
                return os.write(descriptor, data)
            except BlockingIOError:  # a pipe that another process has set to non-blocking
                select.select((), (descriptor,), ())

    return write


def _file_writer(file: BinaryIO) -> Callable[[memoryview], int]:
    def write(data: memoryview) -> int:
        count = file.write(data)
        file.flush()
        return count

    return write


def _name_of(file: str | Path | BinaryIO) -> str:
    if isinstance(file, str | Path):
        return "stdout" if file == STDOUT else str(file)
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "output"
