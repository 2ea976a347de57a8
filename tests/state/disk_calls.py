"""What a program does to the files of one folder, call by call: to be written down, refused, or left out."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlite_calls

__all__ = ["Call", "Judge", "Part", "disk_calls"]


class Call(NamedTuple):
    """One call.

    Attributes:
        what: ``open`` (for writing; ``data`` is ``new`` if it made the file), ``write``, ``truncate``,
            ``sync`` (of a file or folder), ``delete``, ``move``, ``mkdir`` or ``lock``.
        path: relative to the folder.
        offset: of a write; the size of a truncation.
        data: the bytes of a write; where a file is moved to.
    """

    what: str
    path: str
    offset: int = 0
    data: bytes = b""


class Part(NamedTuple):
    """An answer: only so many bytes are written."""

    size: int


Judge = Callable[[Call], "int | Part"]
"""Decides on a call: 0 lets it happen, -1 leaves it out and says that it happened, else its error number."""


class _Files:
    """The functions of :mod:`os` and :mod:`fcntl` that are replaced."""

    def __init__(self, folder: Path, judge: Judge) -> None:
        self._folder = folder.resolve()
        self._judge = judge
        self._open: dict[int, str] = {}
        self._os = {name: getattr(os, name) for name in _NAMES}
        self._flock = fcntl.flock

    def _inside(self, path: Any) -> str | None:
        """A path relative to the folder; None if it is not in there."""
        if not isinstance(path, str | os.PathLike):
            return None
        whole = Path(path).absolute()
        return str(whole.relative_to(self._folder)) if whole.is_relative_to(self._folder) else None

    def _asks(self, what: str, path: str, offset: int = 0, data: bytes = b"") -> bool:
        """Whether the call is to be left out."""
        answer = self._judge(Call(what, path, offset, data))
        if isinstance(answer, int) and answer > 0:
            raise OSError(answer, os.strerror(answer), path)
        return answer == -1

    def asked_by_sqlite(self, what: str, path: str, offset: int, data: bytes) -> int:
        """The same for a call of SQLite's."""
        inside = self._inside(path)
        if inside is None:
            return 0
        if what == "open":
            data = b"" if Path(path).exists() else b"new"
        answer = self._judge(Call(what, inside, offset, data))
        return errno.EIO if isinstance(answer, Part) else answer

    # ------------------------------------------------------------ functions

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        inside = self._inside(path)
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        if inside is not None and writes:
            new = not Path(path).exists()
            self._asks("open", inside, 0, b"new" if new else b"")
            if flags & os.O_TRUNC and not new:
                self._asks("truncate", inside)
        descriptor: int = self._os["open"](path, flags, mode, **more)
        if inside is not None:
            self._open[descriptor] = inside
        return descriptor

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        self._os["close"](descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        path = self._open.get(descriptor)
        if path is None:
            return int(self._os["write"](descriptor, data))
        at_end = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        offset = os.lseek(descriptor, 0, os.SEEK_END if at_end else os.SEEK_CUR)
        return self._written(path, bytes(data), offset, lambda part: self._os["write"](descriptor, part))

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        path = self._open.get(descriptor)
        if path is None:
            return int(self._os["pwrite"](descriptor, data, offset))
        return self._written(
            path, bytes(data), offset, lambda part: self._os["pwrite"](descriptor, part, offset)
        )

    def _written(self, path: str, data: bytes, offset: int, write: Callable[[bytes], int]) -> int:
        answer = self._judge(Call("write", path, offset, data))
        if isinstance(answer, Part):
            return write(data[: answer.size])
        if answer > 0:
            raise OSError(answer, os.strerror(answer), path)
        return len(data) if answer else write(data)

    def truncate(self, path: Any, size: int) -> None:
        inside = self._inside(path)
        if inside is None or not self._asks("truncate", inside, size):
            self._os["truncate"](path, size)

    def ftruncate(self, descriptor: int, size: int) -> None:
        path = self._open.get(descriptor)
        if path is None or not self._asks("truncate", path, size):
            self._os["ftruncate"](descriptor, size)

    def fsync(self, descriptor: int) -> None:
        path = self._open.get(descriptor)
        if path is None or not self._asks("sync", path):
            self._os["fsync"](descriptor)

    def unlink(self, path: Any, **more: Any) -> None:
        inside = self._inside(path)
        if inside is None or not Path(path).exists() or not self._asks("delete", inside):
            self._os["unlink"](path, **more)

    def mkdir(self, path: Any, mode: int = 0o777, **more: Any) -> None:
        inside = self._inside(path)
        if inside is None or Path(path).exists() or not self._asks("mkdir", inside):
            self._os["mkdir"](path, mode, **more)

    def replace(self, old: Any, new: Any, **more: Any) -> None:
        before, after = self._inside(old), self._inside(new)
        known = before is not None and after is not None and Path(old).exists()
        if not known or not self._asks("move", str(before), 0, str(after).encode()):
            self._os["replace"](old, new, **more)

    def fdopen(self, descriptor: int, *args: Any, **more: Any) -> Any:
        if descriptor in self._open:
            return _Opened(descriptor)
        return self._os["fdopen"](descriptor, *args, **more)

    def flock(self, descriptor: int, operation: int) -> None:
        path = self._open.get(descriptor)
        if path is None or not self._asks("lock", path):
            self._flock(descriptor, operation)


_NAMES = (
    "open",
    "close",
    "write",
    "pwrite",
    "truncate",
    "ftruncate",
    "fsync",
    "unlink",
    "mkdir",
    "replace",
    "fdopen",
)


class _Opened:
    """What ``os.fdopen`` gives, with every call going through :mod:`os`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def read(self, size: int) -> bytes:
        return os.read(self._descriptor, size)

    def write(self, data: Any) -> int:
        return os.write(self._descriptor, data)

    def seek(self, offset: int) -> int:
        return os.lseek(self._descriptor, offset, os.SEEK_SET)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)


@contextmanager
def disk_calls(folder: Path, judge: Judge) -> Iterator[None]:
    """Have ``judge`` decide on every call that changes something in a folder, SQLite's own ones included."""
    files = _Files(folder, judge)
    with pytest.MonkeyPatch.context() as patch:
        for name in _NAMES:
            patch.setattr(os, name, getattr(files, name))
        patch.setattr(fcntl, "flock", files.flock)
        sqlite_calls.show_to(files.asked_by_sqlite)
        try:
            yield
        finally:
            sqlite_calls.show_to(None)
