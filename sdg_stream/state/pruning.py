"""Throwing away the answers that are kept, to have the room they take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from .database import Database
from .directory import RunDirectory, RunLock

__all__ = ["prune_run", "prune_shared"]


def prune_run(directory: RunDirectory) -> int:
    """Delete the answers of a run directory; how many bytes that freed.

    Raises:
        RunStateError: a run is using it, it is damaged, or of another format.
        OutputError: it cannot be written.
    """
    lock = RunLock(directory.folder)
    lock.acquire()
    try:
        return _prune(directory.state, Database.check_format)
    finally:
        lock.release()


def prune_shared(file: Path) -> int:
    """The same for a database that several outputs share. A run that uses it now asks anew from here on.

    Raises:
        RunStateError: it is damaged.
        OutputError: it cannot be written.
    """
    return _prune(file, lambda _: None)


def _prune(file: Path, check: Callable[[Database], None]) -> int:
    before = _bytes(file)
    with closing(Database(file, schema="")) as database:
        check(database)
        with database.transaction(durable=True) as connection:
            connection.execute("delete from calls")
        database.rows("vacuum")
        database.rows("pragma wal_checkpoint(truncate)")
    return max(before - _bytes(file), 0)


def _bytes(file: Path) -> int:
    """Of the database and of what it has not folded in yet."""
    files = (file, file.with_name(file.name + "-wal"))
    return sum(part.stat().st_size for part in files if part.exists())
