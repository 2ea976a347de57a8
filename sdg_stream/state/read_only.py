"""Looking into a database that a run may be writing to, without disturbing it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from ..errors import RunStateError
from .database import in_words

__all__ = ["opened_to_read"]

BUSY_SECONDS = 5.0

_CANNOT_MAKE_FILES = (8, 14)  # SQLite's primary result codes: a read-only folder, a file that does not open


@contextmanager
def opened_to_read(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write. What goes wrong with it, or with decoding, is told in words.

    Raises:
        RunStateError: it is damaged, or cannot be read.
    """
    try:
        with closing(_connected(file)) as connection:
            yield connection
    except sqlite3.Error as error:
        words = in_words(file, error)
        if isinstance(words, RunStateError):
            raise words from error
        raise RunStateError(f"{file} cannot be read: {error}") from error
    except msgspec.MsgspecError as error:
        raise RunStateError(f"{file} is damaged: {error}") from error


def _connected(file: Path) -> sqlite3.Connection:
    """SQLite wants to make files beside a database, even to read it; one without a WAL is read without."""
    uri = f"{file.absolute().as_uri()}?mode=ro"
    connection = _connect(uri)
    try:
        connection.execute("select 1 from sqlite_master").fetchone()
    except sqlite3.Error as error:
        connection.close()
        wal = file.with_name(file.name + "-wal")
        if error.sqlite_errorcode & 0xFF not in _CANNOT_MAKE_FILES or (wal.exists() and wal.stat().st_size):
            raise
        return _connect(f"{uri}&immutable=1")
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
