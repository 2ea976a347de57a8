"""Checksums of what the journal stands on: SQLite notices a page out of shape, not a number that changed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

import msgspec

from .database import Database, damaged

__all__ = ["BATCH_COLUMNS", "check_batches", "insert_batch", "reading_json", "seal"]

BATCH_COLUMNS = (
    "generation, below, top, roots,"
    " rows_start, rows_end, rows_crc, rows_lines, rows_member,"
    " rejects_start, rejects_end, rejects_crc, rejects_lines, rejects_member"
)
"""Everything of a batch but its id and its seal."""


def seal(values: Iterable[object]) -> int:
    """CRC-32 of integers, texts, bytes and nulls in a row."""
    crc = 0
    for value in values:
        crc = zlib.crc32(value if isinstance(value, bytes) else b"%a," % value, crc)
    return crc


def insert_batch(connection: Connection, values: tuple[object, ...], id_: int | None = None) -> int:
    """Add a batch, given as :data:`BATCH_COLUMNS`; its id."""
    marks = ", ".join("?" * (len(values) + 2))
    added = connection.execute(
        f"insert into batches (id, seal, {BATCH_COLUMNS}) values ({marks})",  # noqa: S608
        (id_, seal(values), *values),
    )
    return added.lastrowid or 0


def check_batches(database: Database, generation: int) -> None:
    """See that the batches of a generation are as they were written.

    Raises:
        RunStateError: they are not.
    """
    with database.each(
        f"select seal, {BATCH_COLUMNS} from batches where generation = ?",  # noqa: S608
        generation,
    ) as rows:
        for sealed, *values in rows:
            if seal(values) != sealed:
                raise damaged(database.path, "a batch is not as it was written")


@contextmanager
def reading_json(path: Path) -> Iterator[None]:
    """Tell JSON of a database that cannot be read, or is not what it was, as damage.

    Raises:
        RunStateError: so it is.
    """
    try:
        yield
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
        raise damaged(path, str(error)) from error
