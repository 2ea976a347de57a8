"""``state.db``: one SQLite database in WAL mode, its schema, and its errors in words.

A transaction reaches the operating system when it is committed, and the disk when it is committed durably;
what was committed before is then on the disk as well. Statements are few and large: each step of one gives up
the interpreter lock and has to win it back from a busy event loop, which can take 5 ms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..disk import sync_folder
from ..errors import OutputError, RunStateError, SdgStreamError
from .directory import make_private

__all__ = ["CALLS", "FORMAT", "Database", "in_words", "other_format", "remove_database"]

FORMAT = 1
"""Version of the schema below. Another number is another format: see :meth:`Database.check_format`."""

CALLS = """
create table if not exists calls (          -- answers, each bought once; see answers.py
    id integer primary key,
    place integer not null,                 -- the root, or for a greedy request a number below 0 from its key
    key text not null,
    reply text not null                     -- JSON
);
create index if not exists calls_by_place on calls (place);  -- roots come nearly in order: cheap to keep
"""

SCHEMA = (
    """
create table if not exists meta (key text primary key, value) without rowid;
create table if not exists generations (    -- the run, and after an edit the run that is to replace it
    id integer primary key,
    facts text not null,                    -- JSON: what the fingerprint is made of
    account text,                           -- JSON: a RunReport of the settled roots
    mark text,                              -- JSON: how much of the input was read, and its digest
    beside integer not null,                -- 1: its files lie in the run directory until it is finished
    finished integer not null default 0,
    rejects_after integer not null default 0, -- batches up to this one wrote to a rejects file put away since
    seal integer                            -- of account and mark; see sealed.py
);
create table if not exists batches (        -- roots settled at a time, and what they appended to the files
    id integer primary key,
    generation integer not null,
    below integer not null,                 -- all roots below are settled
    top integer not null,                   -- the highest root of the batch
    roots blob not null,                    -- u64 each
    rows_start integer, rows_end integer, rows_crc integer, rows_lines blob, rows_member blob,
    rejects_start integer, rejects_end integer, rejects_crc integer, rejects_lines blob, rejects_member blob,
    seal integer not null                   -- of all the columns above but the id; see sealed.py
);
create table if not exists unsynced (       -- bytes of batches that may not be on the disk yet
    id integer primary key,
    rows blob, rejects blob
);
create table if not exists seen (           -- keys of drop_duplicates, and the root that was first with each
    generation integer not null,
    step integer not null,
    digest text not null,                   -- hex of 16 bytes
    root integer not null,
    primary key (generation, step, digest)
) without rowid;
create table if not exists rejected (       -- roots with rejects, for running them again
    generation integer not null,
    root integer not null,
    details text not null,                  -- JSON
    again integer not null default 0,       -- > 0: it is to be run again, and answers below this id are old
    primary key (generation, root)
) without rowid;
create table if not exists sessions (
    id integer primary key,
    generation integer not null,
    version text not null,
    began text not null,                    -- UTC
    ended text,                             -- how; null while it runs, or if it was killed
    seconds real not null default 0,
    usage text                              -- JSON: prompt tokens, reply tokens, attempts
);
"""
    + CALLS
)

BUSY_SECONDS = 30.0
CHECKPOINT_PAGES = 2048  # of 4 KiB: the WAL is folded into the database every 8 MiB

_FULL = 13  # of SQLite's primary result codes
_DAMAGED = (1, 11, 19, 20, 26)  # no such column, corrupt, constraint broken, of another type, not a database
_BUSY = (5, 6)


class Database:
    """A connection for one writer at a time.

    Args:
        path: the file; it is made if it does not exist, for its owner alone.
        schema: statements that make what is missing.

    Raises:
        RunStateError: it is damaged, not a database, or of another format.
        OutputError: it cannot be opened or written.
    """

    def __init__(self, path: Path, schema: str = SCHEMA) -> None:
        self.path = path
        new = not path.exists() or not path.stat().st_size
        make_private(path)
        with self.errors():
            self._connection = self._connect(f"{path.absolute().as_uri()}?mode=rw")
            try:
                self._connection.execute("pragma journal_mode=wal").fetchone()
                self._connection.execute(f"pragma wal_autocheckpoint={CHECKPOINT_PAGES}")
                self._check_known()
                self._connection.executescript(f"begin; {schema} commit;")
                self._reader = self._connect(f"{path.absolute().as_uri()}?mode=ro")
            except BaseException:
                self._connection.close()
                raise
        if new:
            sync_folder(path.parent)
        self._durable: bool | None = None

    def _check_known(self) -> None:
        """See that it is of no other format, before anything is added to it."""
        if self._connection.execute("select 1 from sqlite_master where name = 'meta'").fetchone():
            for (version,) in self._connection.execute("select value from meta where key = 'format'"):
                if version != FORMAT:
                    raise other_format(self.path, version)

    def _connect(self, uri: str) -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    # ------------------------------------------------------------ reading and writing

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query, by the writer's connection.

        Raises:
            RunStateError, OutputError: it cannot be read.
        """
        with self.errors():
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def each(self, statement: str, *parameters: Any) -> Iterator[Iterator[tuple[Any, ...]]]:
        """The rows of a query, one after the other."""
        with self.errors(), closing(self._connection.execute(statement, parameters)) as rows:
            yield rows

    def look_up(self, statement: str, *parameters: Any) -> tuple[Any, ...] | None:
        """One row, by a connection of its own: never waits for a transaction."""
        with self.errors():
            found: tuple[Any, ...] | None = self._reader.execute(statement, parameters).fetchone()
            return found

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """All or nothing of what the block does, on the disk at its end if ``durable``.

        Raises:
            OutputError: it cannot be written.
        """
        with self.errors():
            if durable is not self._durable:
                self._connection.execute(f"pragma synchronous={'full' if durable else 'normal'}")
                self._durable = durable
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                raise

    def close(self) -> None:
        """Fold the WAL into the database and close. A second time does nothing.

        Raises:
            OutputError: it cannot be written.
        """
        with self.errors():
            self._reader.close()
            self._connection.close()

    # ------------------------------------------------------------ small facts

    def meta(self, key: str, default: Any = None) -> Any:
        """A value of the table ``meta``."""
        found = self.rows("select value from meta where key = ?", key)
        return found[0][0] if found else default

    def check_format(self) -> None:
        """See that the database is of the format that this version reads and writes.

        Raises:
            RunStateError: it is not.
        """
        version = self.meta("format")
        if version is None:
            with self.transaction() as connection:
                connection.execute("insert into meta values ('format', ?)", (FORMAT,))
        elif version != FORMAT:
            raise other_format(self.path, version)

    # ------------------------------------------------------------ errors

    @contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's errors as ours, in words."""
        try:
            yield
        except SdgStreamError:
            raise
        except sqlite3.Error as error:
            raise in_words(self.path, error) from error
        except UnicodeDecodeError as error:  # an error of SQLite's about a name that is no UTF-8
            raise damaged(self.path, str(error)) from error


def other_format(path: Path, version: Any) -> RunStateError:
    """What to say of a database whose format is not :data:`FORMAT`."""
    made_by = "a newer" if isinstance(version, int) and version > FORMAT else "an older"
    return RunStateError(
        f"{path} is of format {version}, this version reads format {FORMAT}: it was made by {made_by}"
        " version. Continue with that version, or start over with --overwrite"
    )


def damaged(path: Path, words: str) -> RunStateError:
    """What to say of a database that is not as it was written."""
    return RunStateError(
        f"{path} is damaged ({words}): what is settled cannot be known. The rows in the output are sound;"
        " keep a copy of them, and start over with --overwrite"
    )


def in_words(path: Path, error: sqlite3.Error) -> SdgStreamError:
    """An error of SQLite as one of ours."""
    undecodable = isinstance(error, sqlite3.OperationalError)  # without a code: text that is no UTF-8
    code = getattr(error, "sqlite_errorcode", int(undecodable)) & 0xFF
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code in _BUSY:
        return RunStateError(f"{path} is held by another program ({error})")
    words = "the disk is full" if code == _FULL else str(error)
    return OutputError(f"{path}: cannot be written: {words}")


def remove_database(path: Path) -> None:
    """Delete a database with what SQLite keeps beside it.

    Raises:
        OutputError: it cannot be deleted.
    """
    for suffix in ("-wal", "-shm", ""):
        try:
            path.with_name(path.name + suffix).unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(f"{path}{suffix}: cannot be deleted: {error.strerror}") from error
