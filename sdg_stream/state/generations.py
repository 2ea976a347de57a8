"""Generations of one run: the one that the output holds, and after an edit the one that is to replace it.

A generation has its facts, its journal, and its files. An edited run is made beside the old one, in the run
directory, and takes its place when it is finished. Until then the output stays as it was.
"""

from __future__ import annotations

import json
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from ..disk import sync_folder
from ..errors import OutputError
from ..events import RunReport
from ..ledger import Past, Redo, Roots
from ..record import Path as RecordPath
from ..version import __version__
from .database import Database
from .directory import RunDirectory, make_private
from .fingerprint import Facts
from .recovery import Span, boot_id, bring_to, close_member
from .sealed import check_batches, insert_batch, reading_json, seal

__all__ = ["Generation", "Generations"]


class Generation(msgspec.Struct, kw_only=True):
    """One generation as it is in the database.

    Attributes:
        id: its number.
        facts: what decides its rows.
        beside: its files are in the run directory.
        finished: the whole input was run.
        rejects_after: batches up to this one wrote to a rejects file that was put away.
        account: of its settled roots.
        mark: how much of the input was read, as JSON.
        again: roots that are to be run again: their details.
        ends: bytes that output and rejects file hold; known after recovery.
        session: id of the session under way.
    """

    id: int
    facts: Facts
    beside: bool
    finished: bool
    rejects_after: int = 0
    account: RunReport | None = None
    mark: bytes | None = None
    again: dict[int, dict[str, Any]] = {}
    ends: tuple[int, int] = (0, 0)
    session: int = 0

    def files(self, directory: RunDirectory) -> tuple[Path, Path]:
        """Output and rejects file."""
        if self.beside:
            return directory.edited, directory.edited_rejects
        return directory.output, directory.rejects

    def anew(self, asking: Sequence[int]) -> dict[tuple[int, RecordPath], tuple[int, int]]:
        """Whose answers led to a reject: the record, and the last block that asked before it ended.

        With the block comes the id from which on answers are new: those were bought to run it again.
        """
        found: dict[tuple[int, RecordPath], tuple[int, int]] = {}
        for root, details in self.again.items():
            for path, block in details["ended"]:
                asked = bisect_right(asking, block)
                if asked:
                    found[root, tuple(path)] = asking[asked - 1], details["since"]
        return found


class Generations:
    """The generations in a database, and the files that belong to them."""

    def __init__(self, database: Database, directory: RunDirectory) -> None:
        self.database = database
        self.directory = directory

    def all(self) -> list[Generation]:
        """The one under way beside the output first, if there is one."""
        found = self.database.rows(
            "select id, facts, beside, finished, rejects_after, account, seal, mark from generations"
            " order by beside desc, id desc"
        )
        with reading_json(self.database.path):
            return [self._read(*row) for row in found]

    def _read(
        self,
        id_: int,
        facts: str,
        beside: int,
        finished: int,
        rejects_after: int,
        account: str | None,
        sealed: int | None,
        mark: str | None,
    ) -> Generation:
        if account is not None and sealed != seal([account.encode(), (mark or "").encode()]):
            raise ValueError("the account is not as it was written")
        again = self.database.rows(
            "select root, details, again from rejected where generation = ? and again > 0", id_
        )
        return Generation(
            id=id_,
            facts=json.loads(facts),
            beside=bool(beside),
            finished=bool(finished),
            rejects_after=rejects_after,
            account=None if account is None else msgspec.json.decode(account, type=RunReport | None),
            mark=None if mark is None or mark == "null" else mark.encode(),
            again={root: {**orjson.loads(details), "since": since} for root, details, since in again},
        )

    def begin(self, facts: Facts) -> Generation:
        """A new one; beside that of the output, if it has settled anything. Others are given up."""
        with self.database.transaction(durable=True) as connection:
            for (id_,) in connection.execute(
                "select id from generations where beside = 1 or id not in (select generation from batches)"
            ).fetchall():
                _forget(connection, id_)
            beside = connection.execute("select 1 from generations").fetchone() is not None
            id_ = connection.execute(
                "insert into generations (facts, beside) values (?, ?)", (json.dumps(facts), beside)
            ).lastrowid
        if beside:
            for file in (self.directory.edited, self.directory.edited_rejects):
                file.unlink(missing_ok=True)
        return Generation(id=id_ or 0, facts=facts, beside=beside, finished=False)

    # ------------------------------------------------------------ files

    def recover(self, generation: Generation) -> None:
        """Bring both files to where the journal is; see :func:`~.recovery.bring_to`."""
        output, rejects = generation.files(self.directory)
        self.finish_putting_away(rejects)
        make_private(rejects)
        check_batches(self.database, generation.id)
        power_lost = self.power_lost()
        generation.ends = (
            self._bring(generation, output, "rows", power_lost=power_lost),
            self._bring(generation, rejects, "rejects", power_lost=power_lost),
        )
        if output.name.endswith(".gz"):
            self._close_member(generation, output)

    def verify(self, generation: Generation) -> None:
        """The same for a finished run: nothing has to be done, unless somebody edited the output."""
        self.recover(generation)

    def _bring(self, generation: Generation, file: Path, kind: str, *, power_lost: bool = False) -> int:
        """Bring one file to where the journal is; how many bytes it holds then."""
        after = generation.rejects_after if kind == "rejects" else 0
        with closing(self._spans(generation.id, kind, after)) as spans:
            end, _ = bring_to(
                file,
                spans,
                self._pending(kind),
                packed=kind == "rows" and file.name.endswith(".gz"),
                power_lost=power_lost,
                aside=self.directory.folder,
            )
        return end

    def power_lost(self) -> bool:
        """Whether the machine may have gone down since a session that did not end well."""
        now, boot = boot_id(), self.database.meta("boot")
        return boot is not None and not self.database.meta("clean", 0) and (not now or boot != now)

    def _spans(self, generation: int, kind: str, after: int) -> Generator[Span, None, None]:
        columns = ", ".join(f"{kind}_{name}" for name in ("start", "end", "crc", "lines"))
        with self.database.each(
            f"select id, {columns} from batches where generation = ? and id > ? and {kind}_end > {kind}_start"  # noqa: S608
            " order by id",
            generation,
            after,
        ) as rows:
            for row in rows:
                yield Span(*row)

    def _pending(self, kind: str) -> Any:
        first = self.database.rows("select min(id) from unsynced")[0][0]

        def pending(batch: int) -> bytes | None:
            if first is None or batch < first:
                return None
            found = self.database.rows(f"select {kind} from unsynced where id = ?", batch)  # noqa: S608
            return found[0][0] if found else None

        return pending

    def _close_member(self, generation: Generation, output: Path) -> None:
        """End the gzip member that a killed session left open: the next session begins its own."""
        found = self.database.rows(
            "select below, rows_member, rejects_end from batches where generation = ?"
            " order by id desc limit 1",
            generation.id,
        )
        closing = close_member(found[0][1]) if found else b""
        if not closing:
            return
        end = generation.ends[0]
        crc = zlib.crc32(closing)
        rejects_end = generation.ends[1]
        with self.database.transaction(durable=True) as connection:
            rows = (end, end + len(closing), crc, b"", None)
            rejects = (rejects_end, rejects_end, 0, b"", None)
            id_ = insert_batch(connection, (generation.id, found[0][0], 0, b"", *rows, *rejects))
            connection.execute("insert into unsynced values (?, ?, x'')", (id_, closing))
        generation.ends = (self._bring(generation, output, "rows"), rejects_end)

    # ------------------------------------------------------------ sessions

    def begin_session(self, generation: Generation) -> None:
        """From now on a process writes to the generation."""
        began = datetime.now(UTC).isoformat(timespec="seconds")
        with self.database.transaction(durable=True) as connection:
            connection.execute("insert or replace into meta values ('clean', 0)")
            connection.execute("insert or replace into meta values ('boot', ?)", (boot_id(),))
            connection.execute("update generations set finished = 0 where id = ?", (generation.id,))
            connection.execute("delete from unsynced")  # recovery has brought them to the disk
            generation.session = (
                connection.execute(
                    "insert into sessions (generation, version, began) values (?, ?, ?)",
                    (generation.id, __version__, began),
                ).lastrowid
                or 0
            )

    def past(self, generation: Generation) -> Past:
        """What earlier sessions of a generation have done.

        Raises:
            RunStateError: the database is damaged.
        """
        with reading_json(self.database.path):
            return self._past(generation)

    def _past(self, generation: Generation) -> Past:
        id_ = generation.id
        (below,) = self.database.rows("select max(below) from batches where generation = ?", id_)[0]
        settled = Roots(below or 0)
        for (blob,) in self.database.rows(
            "select roots from batches where generation = ? and top >= ?", id_, settled.below
        ):
            for root in array("Q", blob):
                settled.add(root)
        tokens, seconds = [0, 0], 0.0
        for spent, usage in self.database.rows(
            "select seconds, usage from sessions where generation = ?", id_
        ):
            seconds += spent
            for index, number in enumerate(orjson.loads(usage)[:2] if usage else ()):
                tokens[index] += number
        redo = {
            root: Redo(accepted=frozenset(tuple(path) for path in details["accepted"]))
            for root, details in generation.again.items()
        }
        return Past(
            settled=settled,
            redo=redo,
            account=generation.account,
            owner=self._owner_in(id_),
            tokens=(tokens[0], tokens[1]),
            seconds=seconds,
        )

    def _owner_in(self, generation: int) -> Callable[[int, bytes], int | None]:
        def owner(step: int, digest: bytes) -> int | None:
            found = self.database.look_up(
                "select root from seen where generation = ? and step = ? and digest = ?",
                generation,
                step,
                digest.hex(),
            )
            return None if found is None else found[0]

        return owner

    # ------------------------------------------------------------ taking the place of the output

    def swap(self, generation: Generation) -> None:
        """Put a finished generation in the place of the output.

        Raises:
            OutputError: the files cannot be moved; the next start tries again.
        """
        with self.database.transaction(durable=True) as connection:
            connection.execute("insert or replace into meta values ('swap', ?)", (generation.id,))
        self.finish_swap()
        generation.beside = False

    def finish_swap(self) -> None:
        """Complete a swap that was begun; it may have been interrupted anywhere."""
        id_ = self.database.meta("swap")
        if id_ is None:
            return
        directory = self.directory
        moves = ((directory.edited, directory.output), (directory.edited_rejects, directory.rejects))
        for new, old in moves:
            with suppress(FileNotFoundError):  # it was moved before
                try:
                    new.replace(old)
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise OutputError(f"{new} cannot be moved to {old}: {error.strerror}") from error
        sync_folder(directory.folder)
        sync_folder(directory.output.absolute().parent)
        with self.database.transaction(durable=True) as connection:
            for (other,) in connection.execute("select id from generations where id <> ?", (id_,)).fetchall():
                _forget(connection, other)
            connection.execute("update generations set beside = 0 where id = ?", (id_,))
            connection.execute("delete from meta where key = 'swap'")

    def put_away(self, rejects: Path) -> Path:
        """A name for a rejects file whose roots are run again."""
        number = 1
        while (name := rejects.with_name(f"{rejects.stem}-{number}{rejects.suffix}")).exists():
            number += 1
        return name

    def finish_putting_away(self, rejects: Path) -> None:
        """Complete what :mod:`.retrying` began; it may have been interrupted."""
        name = self.database.meta("put_away")
        if name is None:
            return
        aside = rejects.with_name(name)
        if not aside.exists():
            with suppress(FileNotFoundError):
                rejects.replace(aside)
            sync_folder(rejects.parent)
        with self.database.transaction(durable=True) as connection:
            connection.execute("delete from meta where key = 'put_away'")


def _forget(connection: Any, generation: int) -> None:
    for table in ("batches", "seen", "rejected"):
        connection.execute(f"delete from {table} where generation = ?", (generation,))  # noqa: S608
    connection.execute("delete from generations where id = ?", (generation,))
