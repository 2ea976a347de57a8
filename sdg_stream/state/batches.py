"""Batches: what one transaction takes, and the writing of it, in a worker thread."""

from __future__ import annotations

from array import array
from sqlite3 import Connection
from typing import Any

import msgspec
import orjson

from .answers import Answers
from .appended import Appended, Held
from .database import Database
from .sealed import insert_batch, seal

__all__ = ["Batch", "BatchWriter"]

_INSERT_KEYS = """
insert or ignore into seen (generation, step, digest, root)
select ?, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
from json_each(cast(? as text))
"""

_DELETE_REDONE = """
delete from rejected where generation = ? and root in (select value from json_each(cast(? as text)))
"""

_INSERT_DETAILS = """
insert or replace into rejected (generation, root, details)
select ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') from json_each(cast(? as text))
"""


class Batch(msgspec.Struct):
    """What one transaction takes; made on the event loop, written in a thread."""

    roots: Any
    below: int
    rows: Held
    rejects: Held
    keys: list[tuple[int, str, int]]
    details: list[tuple[int, bytes]]
    redone: list[int]
    account: bytes
    mark: bytes
    usage: bytes
    seconds: float
    sync: bool
    last: bool = False


class BatchWriter:
    """Writes batches of one session, the database first, then the files.

    What belongs to one second is written as many small batches and then, when all of it is on the disk, as
    one: a run of any length leaves about as many batches as it took seconds.

    Attributes:
        rows: rows that the output has taken in this session.
    """

    def __init__(
        self,
        database: Database,
        generation: int,
        session: int,
        files: tuple[Appended, Appended],
        answers: Answers | None,
        *,
        durable: bool,
    ) -> None:
        self.rows = 0
        self._database = database
        self._generation = generation
        self._session = session
        self._files = files
        self._answers = answers
        self._own_answers = answers is not None and answers.database is database
        self._durable = durable
        self._second_roots = array("Q")
        self._second_first: int | None = None  # id of the second's first batch

    def write(self, batch: Batch) -> None:
        """The database first, then the files."""
        durable = batch.sync and self._durable
        if self._answers is not None and not self._own_answers:
            with self._answers.database.transaction(durable=durable) as connection:
                self._answers.write(connection)
        with self._database.transaction(durable=durable) as connection:
            if self._answers is not None and self._own_answers:
                self._answers.write(connection)
            self._write_batch(connection, batch)
        output, rejects = self._files
        rejects.file.write([rejects.data])
        output.file.write([output.data])
        self.rows += len(batch.rows)
        if durable:
            rejects.file.sync()
            output.file.sync()
        if batch.sync:
            with self._database.transaction() as connection:
                self._join_second(connection)

    def _write_batch(self, connection: Connection, batch: Batch) -> None:
        output, rejects = self._files
        fields = (*output.fields(batch.rows, last=batch.last), *rejects.fields(batch.rejects))
        if batch.roots or output.data:
            top = max(batch.roots, default=0)
            values = (self._generation, batch.below, top, batch.roots.tobytes(), *fields)
            found = insert_batch(connection, values)
            if output.data or rejects.data:
                data = (found, output.data, rejects.data)
                connection.execute("insert into unsynced values (?, ?, ?)", data)
            self._second_first = self._second_first or found
            self._second_roots += batch.roots
        if batch.keys:
            connection.execute(_INSERT_KEYS, (self._generation, orjson.dumps(batch.keys)))
        if batch.redone:
            connection.execute(_DELETE_REDONE, (self._generation, orjson.dumps(batch.redone)))
        if batch.details:
            rows = b",".join(b"[%d,%b]" % (root, details) for root, details in batch.details)
            connection.execute(_INSERT_DETAILS, (self._generation, b"[%b]" % rows))
        connection.execute(
            "update generations set account = ?, seal = ?, mark = ? where id = ?",
            (
                batch.account.decode(),
                seal([batch.account, batch.mark]),
                batch.mark.decode(),
                self._generation,
            ),
        )
        connection.execute(
            "update sessions set seconds = ?, usage = ? where id = ?",
            (batch.seconds, batch.usage.decode(), self._session),
        )

    def _join_second(self, connection: Connection) -> None:
        """Everything so far is on the disk: one batch for all of the second, and no bytes any more."""
        connection.execute("delete from unsynced")
        if self._second_first is None:
            return
        output, rejects = self._files
        roots = self._second_roots
        (last, below), *_ = connection.execute(
            "select max(id), max(below) from batches where id >= ?", (self._second_first,)
        )
        connection.execute("delete from batches where id >= ?", (self._second_first,))
        values = (self._generation, below, max(roots, default=0), roots.tobytes())
        insert_batch(connection, (*values, *output.second(), *rejects.second()), last)
        self._second_roots, self._second_first = array("Q"), None

    def end(self, how: str, *, finished: bool) -> None:
        """The session has ended, and everything is in the files."""
        with self._database.transaction(durable=self._durable) as connection:
            connection.execute("update sessions set ended = ? where id = ?", (how, self._session))
            connection.execute("insert or replace into meta values ('clean', 1)")
            if finished:
                connection.execute("update generations set finished = 1 where id = ?", (self._generation,))
