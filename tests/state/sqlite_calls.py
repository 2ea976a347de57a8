"""SQLite's own writes, syncs, truncations and deletions, each shown to a test before it is carried out.

SQLite reaches the disk through a table of functions (https://www.sqlite.org/c3ref/io_methods.html). Here the
functions of the default table are replaced by ones that ask first. That takes a SQLite whose functions can be
found by name, which an interpreter with SQLite built into it does not give.
"""

from __future__ import annotations

import _sqlite3
import atexit
import ctypes
import errno
from collections.abc import Callable
from contextlib import suppress
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from typing import Any, TypeAlias

__all__ = ["Asked", "available", "show_to"]

Asked: TypeAlias = Callable[[str, str, int, bytes], int]
"""Told what is to be done (``open``, ``write``, ``truncate``, ``sync``, ``delete``), to which path, at which
offset or to which size, with which bytes. Gives 0 to have it done, -1 to have it left out and called done, or
the error number that it is to fail with."""

_FULL, _CANNOT_OPEN = 13, 14
_FAILED = {"write": 778, "truncate": 1546, "sync": 1034, "delete": 2570}  # SQLITE_IOERR_...

# Names are pointers: SQLite keeps them, and what stands behind them.
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs``, as far as it is needed."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", _OPEN),
        ("xDelete", _DELETE),
    )


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``."""

    _fields_ = (
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", _WRITE),
        ("xTruncate", _TRUNCATE),
        ("xSync", _SYNC),
        ("rest", c_void_p * 13),
    )


class _Hooks:
    """The functions that ask first; they stay for as long as the process does, asking nobody if need be."""

    def __init__(self, library: Any) -> None:
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        self.asked: Asked | None = None
        self._paths: dict[int, str] = {}
        self._tables: dict[int, tuple[_Methods, _Methods]] = {}
        vfs = library.sqlite3_vfs_find(None).contents
        opening, deleting = vfs.xOpen, vfs.xDelete
        self._open = _OPEN(ctypes.cast(opening, c_void_p).value or 0)
        self._delete = _DELETE(ctypes.cast(deleting, c_void_p).value or 0)
        self._kept = (_OPEN(self._on_open), _DELETE(self._on_delete))
        vfs.xOpen, vfs.xDelete = self._kept
        atexit.register(self._take_back, vfs)

    def _take_back(self, vfs: _Vfs) -> None:
        """The interpreter ends: nobody can be asked any more."""
        vfs.xOpen, vfs.xDelete = self._open, self._delete
        for old, new in self._tables.values():
            new.xWrite, new.xTruncate, new.xSync = old.xWrite, old.xTruncate, old.xSync

    def _ask(self, what: str, path: str, offset: int = 0, data: bytes = b"") -> int:
        """0, -1, or SQLite's code of the failure."""
        code = self.asked(what, path, offset, data) if self.asked is not None and path else 0
        if code <= 0:
            return code
        if what == "open":
            return _CANNOT_OPEN
        return _FULL if code == errno.ENOSPC else _FAILED[what]

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        failed = self._ask("open", path)
        if failed:
            ctypes.cast(file, POINTER(c_void_p))[0] = None  # SQLite closes what has methods
            return failed
        code: int = self._open(vfs, name, file, flags, out)
        methods = ctypes.cast(file, POINTER(c_void_p))
        if methods[0]:
            self._paths[file] = path
            methods[0] = ctypes.addressof(self._table(methods[0])[1])
        return code

    def _on_delete(self, vfs: int, name: int, sync: int) -> int:
        failed = self._ask("delete", ctypes.string_at(name).decode(), sync)
        code: int = max(failed, 0) if failed else self._delete(vfs, name, sync)
        return code

    def _table(self, address: int) -> tuple[_Methods, _Methods]:
        if address not in self._tables:
            old = _Methods.from_address(address)
            new = _Methods.from_buffer_copy(old)

            def write(file: int, data: int, size: int, offset: int) -> int:
                failed = self._ask("write", self._paths[file], offset, ctypes.string_at(data, size))
                return max(failed, 0) if failed else int(old.xWrite(file, data, size, offset))

            def truncate(file: int, size: int) -> int:
                failed = self._ask("truncate", self._paths[file], size)
                return max(failed, 0) if failed else int(old.xTruncate(file, size))

            def sync(file: int, flags: int) -> int:
                failed = self._ask("sync", self._paths[file])
                return max(failed, 0) if failed else int(old.xSync(file, flags))

            new.xWrite, new.xTruncate, new.xSync = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)
            self._tables[address] = (old, new)
        return self._tables[address]


def _hooks() -> _Hooks | None:
    with suppress(AttributeError, OSError):
        return _Hooks(ctypes.CDLL(_sqlite3.__file__))
    return None


_HOOKS = _hooks()


def available() -> bool:
    """Whether SQLite's calls can be shown at all."""
    return _HOOKS is not None


def show_to(asked: Asked | None) -> None:
    """Show every call from now on, of all databases in the process; None shows them to nobody."""
    if _HOOKS is not None:
        _HOOKS.asked = asked
