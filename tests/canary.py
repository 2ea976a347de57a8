"""One API key that no byte may hold: fault tests and end-to-end tests use it, and are looked through for it.

The key has characters that URLs, JSON and HTML quote, and a middle that none of them does: that middle is
what is looked for, so that quoted keys and parts of a key count too; and what base64 makes of it.
"""

from __future__ import annotations

import base64
import gzip
import io
import logging
import shutil
import sqlite3
import tempfile
import traceback
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

__all__ = ["CANARY", "Watch", "found_in", "found_in_error", "found_in_folder"]

CANARY = "".join(("sk-G6/canary+", "7f3a9c2e", "5b8d1046="))  # in parts: tests also copy this file
_MIDDLE = CANARY[13:25].encode()
_WHOLE = CANARY.encode()
_CHUNK = 1 << 20
_MOST_CAUSES = 50


def _in_base64() -> Iterator[bytes]:
    """What stands for the key in the base64 of a longer text, wherever it begins there."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + _WHOLE)
        yield encoded[4 if shift else 0 : len(encoded) - 4]


FORMS = (_MIDDLE, *_in_base64())


def found_in(data: bytes | str) -> bool:
    """Whether a text or some bytes hold the canary in any form."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    return any(form in data for form in FORMS)


def found_in_error(error: BaseException) -> list[str]:
    """Where an error, with all that stands behind it, holds the canary."""
    found, seen, left = [], set[int](), [error]
    while left and len(seen) < _MOST_CAUSES:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        notes = "\n".join(getattr(one, "__notes__", ()))
        told = {"str": str(one), "repr": repr(one), "notes": notes, "fields": repr(vars(one))}
        found += [f"{what} of {type(one).__name__}" for what, words in told.items() if found_in(words)]
        left += [other for other in (one.__cause__, one.__context__) if other is not None]
        left += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    if found_in("".join(traceback.format_exception(error))):
        found.append(f"traceback of {type(error).__name__}")
    return found


def found_in_folder(folder: Path) -> list[str]:
    """Files below a folder whose names or bytes hold the canary; packed files and databases are opened."""
    found = []
    for path in sorted(folder.rglob("*")):
        if found_in(path.name):
            found.append(f"the name of {path}")
        if path.is_file() and not path.is_symlink() and _in_file(path):
            found.append(str(path))
    return found


def _in_file(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        if _in_stream(file):
            return True
        if head.startswith(b"\x1f\x8b"):
            file.seek(0)
            return _in_packed(file)
    return head.startswith(b"SQLite format 3") and _in_database(path)


def _in_stream(file: io.BufferedIOBase | gzip.GzipFile) -> bool:
    """Chunk by chunk, each with the end of the one before."""
    tail = b""
    while chunk := file.read(_CHUNK):
        if found_in(tail + chunk):
            return True
        tail = chunk[-len(_WHOLE) * 2 :]
    return False


def _in_packed(file: io.BufferedIOBase) -> bool:
    """A torn end is no reason not to look at what is before it."""
    packed = gzip.GzipFile(fileobj=file)
    text = b""
    with suppress(EOFError, OSError, zlib.error):
        while chunk := packed.read1(_CHUNK):
            if found_in(text[-len(_WHOLE) * 2 :] + chunk):
                return True
            text = chunk
    return False


def _in_database(path: Path) -> bool:
    """Every value of every table, as SQLite puts it together, unpacked if it is packed."""
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob(path.name + "*"):
            if file.is_file():
                shutil.copy(file, folder)
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(Path(folder) / path.name)) as database:
            tables = [
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
            ]
            for table in tables:
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    if any(_in_value(value) for value in row):
                        return True
    return False


def _in_value(value: object) -> bool:
    if isinstance(value, bytes) and value[:1] in {b"\x78", b"\x1f"}:
        with suppress(zlib.error):
            value = zlib.decompress(value, wbits=47)  # zlib or gzip
    return isinstance(value, bytes | str) and found_in(value)


class _Ears(logging.Handler):
    """Hears everything that is logged, down to debug."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.DEBUG)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        if found_in(f"{record.getMessage()} {record.args!r}"):
            self._watch.found.append(f"a log line of {record.name}")
        if record.exc_info and record.exc_info[1] is not None:
            self._watch.found += found_in_error(record.exc_info[1])


class Watch:
    """What has been found in one test; ``current`` is that of the test that runs now."""

    current: Watch | None = None

    def __init__(self) -> None:
        self.found: list[str] = []
        self._ears = _Ears(self)
        self._allowed: set[str] = set()

    def allow(self, path: Path) -> None:
        """A file that a test puts the canary into, as a user may."""
        self._allowed.add(str(path))

    def saw(self, where: str, words: str | bytes) -> None:
        """Look through what a process has said."""
        if found_in(words):
            self.found.append(where)

    def caught(self, error: BaseException) -> None:
        """Look through an error that a test caught."""
        self.found += found_in_error(error)

    def look_through(self, folder: Path) -> None:
        """Look through the files of the test."""
        self.found += [place for place in found_in_folder(folder) if place not in self._allowed]

    def __enter__(self) -> Watch:
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self._ears)
        root.setLevel(logging.DEBUG)
        Watch.current = self
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self._ears)
        root.setLevel(self._level)
        Watch.current = None
