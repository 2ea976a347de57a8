"""The journal: a ledger that remembers, so that a run goes on where it ended, however it ended.

A settled root goes into the database with the answers that it used, *then* its rows go to the output in one
append. So the database knows more than the files, never less, and recovery only ever adds to the files (see
:mod:`.recovery`). Everything is committed together on two beats: to the operating system (a kill loses
nothing older) and, once a second, to the disk (a power loss loses nothing older than that).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import anyio
import msgspec

from ..errors import OutputError, SdgStreamError
from ..events import RunReport, TeacherReport
from ..ledger import Roots, Settled, prepare_reject
from ..record import Columns
from ..threads import Work, in_thread
from .answers import Answers, RememberingTeacher
from .appended import Appended, AppendFile
from .batches import Batch, BatchWriter
from .database import Database

__all__ = ["Fsync", "Journal"]

Fsync: TypeAlias = Literal["interval", "always", "never"]
"""When files are brought to the disk: once a second, with every batch, or when the system likes."""

MAX_HELD_BYTES = 512 * 1024
MAX_HELD_KEYS = 8192  # of drop_duplicates: so few that the stages still have them in memory


class Journal:
    """Implements :class:`~sdg_stream.ledger.Ledger` over a database and two files.

    Args:
        database: open, with a generation and a session.
        generation, session: their ids.
        output, rejects: opened for appending, in the state that the database knows.
        paths: where they lie, now that they are asked for.
        ends: bytes that these hold.
        rows_before: rows in the output.
        prepare: makes lines of rows and rejects.
        settled: roots that are settled.
        redo: roots among them that are run again.
        answers: what calls are kept in; None keeps none.
        fsync: when to bring files to the disk.
        packed: the output is packed with gzip.
        mark: how much of the input was read, as JSON.
        teacher: its report, for what was used.
        on_close: what is to be done when the run was finished (True), or not.
    """

    def __init__(
        self,
        database: Database,
        *,
        generation: int,
        session: int,
        output: AppendFile,
        rejects: AppendFile,
        paths: Callable[[], tuple[Path, Path]],
        ends: tuple[int, int],
        rows_before: int,
        prepare: Callable[[Columns], bytes],
        settled: Roots,
        redo: set[int],
        answers: Answers | None,
        teacher: RememberingTeacher | None = None,
        fsync: Fsync = "interval",
        packed: bool = False,
        mark: Callable[[], bytes] = lambda: b"null",
        on_close: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._files = (
            Appended(output, ends[0], packed=packed),
            Appended(rejects, ends[1], packed=False),
        )
        self._writer = BatchWriter(
            database, generation, session, self._files, answers, durable=fsync != "never"
        )
        self._paths = paths
        self._rows_before = rows_before
        self._prepare = prepare
        self._settled = settled
        self._redo = redo
        self._answers = answers
        self._teacher = teacher
        # Rows that cost no call fill any buffer many times a beat: half of it is 3 MB less, and as fast.
        self._most_held = MAX_HELD_BYTES if teacher is not None else MAX_HELD_BYTES // 2
        self._fsync = fsync
        self._mark = mark
        self._on_close = on_close
        self._account: Callable[[], RunReport] | None = None
        self._began = anyio.current_time()
        self._lock = anyio.Lock()
        self._closed = False
        self._failed = False
        self._unsynced = False
        self._held = anyio.Event()
        if answers is not None:
            answers.told = self._hold
        self._roots = array("Q")
        self._keys: list[tuple[int, str, int]] = []
        self._details: list[tuple[int, bytes]] = []
        self._redone: list[int] = []

    @property
    def output(self) -> str:
        """The path of the output; when an edited run has taken its place, that of what is there now."""
        return str(self._paths()[0])

    @property
    def rejects(self) -> str:
        """The path of the rejects file; the same."""
        return str(self._paths()[1])

    @property
    def rows_written(self) -> int | None:
        """Rows that the output has, those of earlier sessions included."""
        return self._rows_before + self._writer.rows

    def watch(self, account: Callable[[], RunReport]) -> None:
        """Be told where the account of all settled roots is to be had."""
        self._account = account

    def prepare(self, columns: Columns) -> bytes:
        """A row as one line."""
        return self._prepare(columns)

    # ------------------------------------------------------------ on the event loop

    async def settle(self, settled: Settled) -> None:
        """Take a settled root. Waits only while half a MiB is held (half of it without calls), or many keys.

        Raises:
            OutputError: it cannot be written, or something before it.
        """
        if self._failed:
            raise OutputError(f"{self.output}: the run has ended")
        root = settled.root
        self._roots.append(root)
        self._settled.add(root)
        self._hold()
        self._files[0].held.add(settled.rows)
        for step, digests in enumerate(settled.keys):
            self._keys += [(step, digest.hex(), root) for digest in digests]
        if root in self._redo:
            self._redo.discard(root)
            self._redone.append(root)
        if settled.rejects:
            self._take_rejects(settled)
        if self._teacher is not None:
            self._teacher.settled(root)
        held = len(self._files[0].held.data) + len(self._files[1].held.data)
        if held > self._most_held or len(self._keys) > MAX_HELD_KEYS:
            await self.flush()

    def _take_rejects(self, settled: Settled) -> None:
        self._files[1].held.add([prepare_reject(self._prepare, row) for row in settled.rejects])
        details = {
            "outcome": settled.outcome,
            "accepted": settled.paths,
            "ended": settled.ended,
            "lost": settled.lost,
            "tally": settled.tally,
        }
        self._details.append((settled.root, msgspec.json.encode(details)))

    async def held(self) -> None:
        """Wait until a root has settled, or an answer has come, that is not committed yet."""
        await self._held.wait()

    def _hold(self) -> None:
        self._held.set()

    async def flush(self) -> None:
        """Commit everything to the operating system.

        Raises:
            OutputError: it does not take it.
        """
        await self._flush(sync=self._fsync == "always")

    async def sync(self) -> None:
        """Commit everything to the disk, unless it is left to the system.

        Raises:
            OutputError: it does not take it. The run is over then: what a disk has refused once, it may say
                to have taken the next time.
        """
        await self._flush(sync=True)

    async def aclose(self, stopped: str | None, failure: str = "") -> None:
        """Commit what is held and close everything, noting how the session ended; see the protocol.

        Raises:
            OutputError: it cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            try:
                if not self._failed:
                    await self._flush(sync=True, last=True)
            except BaseException:
                self._failed = True
                raise
            finally:
                finished = stopped is not None
                how = stopped or ("finished" if finished else failure or "stopped")
                await in_thread(partial(self._close, finished=finished, how=how))

    async def _flush(self, *, sync: bool, last: bool = False) -> None:
        async with self._lock:
            if self._failed and not last:
                raise OutputError(f"{self.output}: the run has ended")
            if self._held.is_set():
                self._held = anyio.Event()
            answers = self._answers is not None and self._answers.stage()
            if not (self._roots or answers or (sync and self._unsynced) or last):
                return
            batch = self._stage(sync=sync, last=last)
            writing = Work(partial(self._writer.write, batch))
            try:
                await writing.in_thread()
            finally:
                if not writing.done:
                    self._failed = True  # nothing more is written: it could only make things worse
                else:
                    self._unsynced = not sync
                    if self._answers is not None:
                        self._answers.written()

    def _stage(self, *, sync: bool, last: bool) -> Batch:
        output, rejects = self._files
        account = b"null" if self._account is None else msgspec.json.encode(self._account())
        used = self._teacher.report() if self._teacher is not None else TeacherReport()
        batch = Batch(
            roots=self._roots,
            below=self._settled.below,
            rows=output.take(),
            rejects=rejects.take(),
            keys=self._keys,
            details=self._details,
            redone=self._redone,
            account=account,
            mark=self._mark(),
            usage=msgspec.json.encode((used.prompt_tokens, used.completion_tokens, used.attempts)),
            seconds=anyio.current_time() - self._began,
            sync=sync,
            last=last,
        )
        self._roots, self._keys, self._details, self._redone = array("Q"), [], [], []
        return batch

    # ------------------------------------------------------------ in a worker thread

    def _close(self, *, finished: bool, how: str) -> None:
        try:
            if not self._failed:
                self._writer.end(how, finished=finished)
        finally:
            self._close_files(finished=finished and not self._failed)

    def _close_files(self, *, finished: bool) -> None:
        """Close all; the first error is told."""
        errors: list[SdgStreamError] = []
        closing: list[Callable[[], None]] = [file.file.close for file in self._files]
        closing.append(partial(self._on_close, finished))
        for close in closing:
            try:
                close()
            except SdgStreamError as error:
                errors.append(error)
        if errors and not self._failed:
            raise errors[0]
