"""The run directory ``<output>.run/``: what lies where, who may read it, and who is using it."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

import orjson

from ..errors import OutputError, RunStateError
from .holder import parse_holder

__all__ = ["RunDirectory", "RunLock", "empty", "make_private"]


class RunDirectory:
    """Names of the files that belong to one output."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(output.name + ".run")
        self.state = self.folder / "state.db"
        self.lock = self.folder / "lock"
        self.rejects = self.folder / "rejects.jsonl"
        self.run_file = self.folder / "run.json"
        suffixes = "".join(output.suffixes[-2:]) if output.name.endswith(".gz") else output.suffix
        self.edited = self.folder / f"edited{suffixes}"
        self.edited_rejects = self.folder / "edited-rejects.jsonl"

    def make(self) -> None:
        """Make the folder, for the owner alone: replies and rejected records are in it.

        Raises:
            OutputError: it cannot be made.
        """
        if not self.output.parent.exists():
            raise OutputError(
                f"{self.output}: the folder {self.output.parent} does not exist; make it, or name another"
                " output"
            )
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the run directory {self.folder}: {error.strerror}") from error

    def check_no_rows(self) -> None:
        """See that nothing is in the output, for which there is no journal.

        Raises:
            RunStateError: something is.
        """
        if self.output.exists() and self.output.stat().st_size:
            raise RunStateError(
                f"{self.output} exists and holds {self.output.stat().st_size} bytes, but {self.folder} has no"
                " journal of how they came there. Name another output, or replace it with --overwrite (in"
                " Python: overwrite=True)"
            )


class RunLock:
    """Held by the one run that may use a run directory; the system lets go of it when its process ends.

    A process that is forked from it, such as a worker of ``multiprocessing``, does not hold it: it may live
    on. On network file systems the lock is as good as their ``flock``.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RunStateError: another run has it; the message tells who.
            OutputError: the file cannot be written.
        """
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"{self._file}: cannot be opened: {error.strerror}") from error
        try:
            _lock(descriptor)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise OutputError(f"{self._file}: cannot be locked: {error.strerror}") from error
            raise RunStateError(
                f"{self._file.parent} is in use by {holder}. Wait for that run, stop it, or name another"
                " output"
            ) from None
        self._descriptor = descriptor
        _held.add(self)
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, orjson.dumps([os.getpid(), socket.gethostname(), time.time()]), 0)

    def release(self) -> None:
        """Let go. A second time does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_held: WeakSet[RunLock] = WeakSet()


def _let_go_in_child() -> None:
    for lock in list(_held):
        lock.release()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go_in_child)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        os.lseek(descriptor, 4096, os.SEEK_SET)  # behind the text, which others are to read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(descriptor: int) -> str:
    """Who has the lock, in words."""
    try:
        holder = parse_holder(os.pread(descriptor, 4096, 0))
    except OSError:
        holder = None
    return "another process" if holder is None else str(holder)


def make_private(file: Path) -> None:
    """Make an empty file that only its owner can read, unless it exists.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise OutputError(f"{file}: cannot be opened: {error.strerror}") from error


def empty(file: Path) -> None:
    """Cut a file down to nothing.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        os.truncate(file, 0)
    except OSError as error:
        raise OutputError(f"{file}: cannot be emptied: {error.strerror}") from error
