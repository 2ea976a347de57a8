"""Opening a run directory: nothing there, a run to go on with, one that is finished, or one that must not be.

Everything is decided under the lock, before a file is touched and before the teacher is asked anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from ..abc import Teacher
from ..errors import ConfigError, RunStateError, SdgStreamError
from ..events import RunReport
from ..ledger import Past
from ..record import Columns
from ..threads import in_thread
from .answers import Answers, RememberingTeacher
from .appended import AppendFile
from .database import CALLS, Database, remove_database
from .differences import differences, render
from .directory import RunDirectory, RunLock, empty, make_private
from .fingerprint import Facts, digest
from .generations import Generation, Generations
from .journal import Journal
from .keep import Keep, Wanted
from .retrying import put_rejects_away

__all__ = ["FINISHED_BEFORE", "Keep", "OpenedRun", "RunFiles", "Wanted", "look", "open_run"]

FINISHED_BEFORE = "finished before"
"""Value of ``RunReport.stopped`` for a run that had nothing left to do."""


class RunFiles(msgspec.Struct, frozen=True, kw_only=True):
    """How files and input are handled, which this package knows nothing about.

    Attributes:
        append: opens a file for appending.
        prepare: makes lines.
        mark: how much of the input was read, as JSON.
        difference: how the input differs from a mark, in words; empty if it does not.
        longer: whether the input goes on behind a mark, as far as is known.
    """

    append: Callable[[Path], AppendFile]
    prepare: Callable[[Columns], bytes]
    mark: Callable[[], bytes]
    difference: Callable[[bytes], Awaitable[str]]
    longer: Callable[[bytes], bool]


class OpenedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that can begin or go on.

    Attributes:
        past: what earlier sessions have done.
        mark: how much of the input they have read.
        ledger: to be closed by whoever opened the run.
        teacher: who finds what was answered before; None if nobody is asked.
        retried: roots with rejects that are run again from this session on.
    """

    past: Past
    mark: bytes | None
    ledger: Journal
    teacher: RememberingTeacher | None
    retried: int


async def look(output: Path, facts: Facts, files: RunFiles, wanted: Wanted) -> RunReport | None:
    """See what :func:`open_run` would refuse, as far as it does not depend on the teacher.

    Returns:
        The account, if the run is finished and nothing is left to do.

    Raises:
        RunStateError, OutputError: as open_run does.
    """
    directory = RunDirectory(output)
    if not directory.state.exists() or wanted.keep.overwrite:
        _check_new(directory, wanted)
        if directory.folder.exists():
            await in_thread(partial(_check_free, directory))
        return None
    opening = _Opening(directory, facts, files, wanted, teacher_known=False)
    try:
        await in_thread(opening.take)
        return await opening.nothing_left(await opening.choose())
    finally:
        await in_thread(opening.close)


async def open_run(
    output: Path,
    facts: Facts,
    files: RunFiles,
    wanted: Wanted,
    *,
    teacher: Teacher | None,
    asking: Sequence[int],
) -> OpenedRun | RunReport:
    """Open the run directory of an output.

    Args:
        output: the output file.
        facts: what decides the rows; see :mod:`.fingerprint`.
        files: how files and input are handled.
        wanted: what is to be done.
        teacher: who is asked, if anybody.
        asking: positions of the blocks that ask.

    Returns:
        The run, or the account of one that is finished, with nothing left to do and nothing left open.

    Raises:
        RunStateError: another run has it, it does not fit, or it was damaged or edited.
        OutputError: it cannot be written.
    """
    opening = _Opening(RunDirectory(output), facts, files, wanted)
    try:
        await in_thread(opening.take)
        chosen = await opening.choose()
        finished = await opening.nothing_left(chosen)
        if finished is not None:
            await in_thread(opening.close)
            return finished
        generation = await in_thread(partial(opening.enter, chosen))
        return await opening.opened(generation, teacher, asking)
    except BaseException:
        await in_thread(opening.close)
        raise


def _check_free(directory: RunDirectory) -> None:
    """See that no other run has the run directory."""
    lock = RunLock(directory.folder)
    lock.acquire()
    lock.release()


def _check_new(directory: RunDirectory, wanted: Wanted) -> None:
    """See that nothing is lost by starting anew."""
    if wanted.keep.resume == "require" or wanted.keep.retry_rejected:
        raise RunStateError(f"there is no run of {directory.output} to go on with")
    if not wanted.keep.overwrite:
        directory.check_no_rows()


class _Opening:
    """The steps, each in a worker thread where it may block."""

    def __init__(
        self,
        directory: RunDirectory,
        facts: Facts,
        files: RunFiles,
        wanted: Wanted,
        *,
        teacher_known: bool = True,
    ) -> None:
        self.directory = directory
        self.facts = facts if teacher_known else _without_teacher(facts)
        self.files = files
        self.wanted = wanted
        self.keep = wanted.keep
        self.teacher_known = teacher_known
        self.lock = RunLock(directory.folder)
        self.database: Database | None = None
        self.shared: Database | None = None
        self.generations: Generations | None = None
        self.answers: Answers | None = None
        self.retried = 0

    # ------------------------------------------------------------ what is there

    def take(self) -> None:
        """Lock the run directory and open its database."""
        directory = self.directory
        directory.make()
        self.lock.acquire()
        if not directory.state.exists() or self.keep.overwrite:
            _check_new(directory, self.wanted)
            remove_database(directory.state)
            for stale in (directory.edited, directory.edited_rejects):
                stale.unlink(missing_ok=True)
            for file in (directory.output, directory.rejects):
                if file.exists():
                    empty(file)
        self.database = Database(directory.state)
        self.database.check_format()
        self.generations = Generations(self.database, directory)
        self.generations.finish_swap()

    async def choose(self) -> Generation | None:
        """The generation to go on with; None to begin one.

        Raises:
            RunStateError: there are some, but none that fits.
        """
        generations = self._generations.all()
        if not generations:
            if self.keep.resume == "require" or self.keep.retry_rejected:
                raise RunStateError(f"there is no run of {self.directory.output} to go on with")
            return None
        if self.keep.resume == "never":
            raise RunStateError(
                f"there is a run of {self.directory.output} already, and --resume never does not go on with"
                " it. Name another output, or start over with --overwrite"
            )
        own, changed = digest(self.facts), ""
        for generation in generations:
            if generation.account is None:  # nothing has been settled: there is nothing to lose
                continue
            facts = generation.facts if self.teacher_known else _without_teacher(generation.facts)
            same = digest(facts) == own
            words = "" if generation.mark is None else await self.files.difference(generation.mark)
            if same and not words:
                return generation
            changed = changed or "\n".join(
                part
                for part in (
                    "" if same else render(differences(facts, self.facts)),
                    words and f"input: {words}",
                )
                if part
            )
        if self.keep.edited or not changed:
            return None
        raise RunStateError(
            f"the run of {self.directory.output} was begun with something else:\n{changed}\n"
            "Go on with what it was begun with; or accept the change with --edited: rows are made anew beside"
            " the old ones, from the answers that are kept where the request is the same; or start over with"
            " --overwrite (in Python: edited=True, overwrite=True)"
        )

    async def nothing_left(self, generation: Generation | None) -> RunReport | None:
        """The account of a finished run, if that is all there is to say."""
        if generation is None or generation.account is None or self.keep.retry_rejected:
            return None
        account, wanted = generation.account, self.wanted
        ended = generation.finished and generation.mark is not None and not self.files.longer(generation.mark)
        enough = (wanted.limit is not None and account.roots >= wanted.limit) or (
            wanted.target is not None and account.rows >= wanted.target
        )
        if account.pending or generation.again or not (ended or enough):
            return None
        if generation.beside and not generation.finished:
            return None
        await in_thread(partial(self._generations.verify, generation))
        if generation.beside:  # its session was killed before it could do that
            await in_thread(partial(self._generations.swap, generation))
        return msgspec.structs.replace(account, stopped=FINISHED_BEFORE)

    # ------------------------------------------------------------ getting ready

    def enter(self, chosen: Generation | None) -> Generation:
        """Bring the files to where the journal is, and begin a session."""
        generations = self._generations
        generation = chosen if chosen is not None and self._is_mended(chosen) else None
        if generation is None:
            for other in generations.all():
                if not other.beside:  # its rows stay where they are until the new ones take their place
                    self._is_mended(other)
            generation = generations.begin(self.facts)
            self._begin_files(generation)
        self.answers = self._answers() if self.keep.cache else None
        if self.keep.retry_rejected:
            since = self.answers.next_id if self.answers is not None else 1
            self.retried = put_rejects_away(generations, generation, since)
        generations.begin_session(generation)
        return generation

    def _is_mended(self, generation: Generation) -> bool:
        """Bring its files to where the journal is; false if they were edited, and that is to be accepted."""
        try:
            self._generations.recover(generation)
        except RunStateError:
            if not self.keep.edited:
                raise
            return False
        return True

    def _begin_files(self, generation: Generation) -> None:
        """See that a new generation begins with empty files."""
        if generation.beside:
            return
        if not self._generations.power_lost():
            self.directory.check_no_rows()
            if self.directory.rejects.exists():
                empty(self.directory.rejects)
        self._generations.recover(generation)

    async def opened(
        self, generation: Generation, teacher: Teacher | None, asking: Sequence[int]
    ) -> OpenedRun:
        """Everything that the engine needs."""
        generations, wanted = self._generations, self.wanted
        past = await in_thread(partial(generations.past, generation))
        answers = self.answers if teacher is not None else None
        remembering = None
        if teacher is not None:
            answered = past.account is not None and past.account.accepted > 0
            remembering = RememberingTeacher(teacher, answers, generation.anew(asking), answered=answered)
        output, rejects = generation.files(self.directory)
        make_private(rejects)
        ledger = Journal(
            generations.database,
            generation=generation.id,
            session=generation.session,
            output=self.files.append(output),
            rejects=self.files.append(rejects),
            paths=partial(generation.files, self.directory),
            ends=generation.ends,
            rows_before=past.account.rows if past.account is not None else 0,
            prepare=self.files.prepare,
            settled=past.settled,
            redo=set(past.redo),
            answers=answers,
            teacher=remembering,
            fsync=wanted.keep.fsync,
            packed=self.directory.output.name.endswith(".gz"),
            mark=self.files.mark,
            on_close=partial(self._finish, generation),
        )
        return OpenedRun(
            past=past,
            mark=generation.mark,
            ledger=ledger,
            teacher=remembering,
            retried=self.retried,
        )

    def _answers(self) -> Answers:
        folder = self.keep.cache_dir
        if folder is None:
            return Answers(self._generations.database)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--cache-dir {folder}: cannot be made: {error.strerror}") from error
        self.shared = Database(folder / "calls.db", CALLS)
        return Answers(self.shared)

    def _finish(self, generation: Generation, finished: bool) -> None:
        """The session is over; files are closed."""
        try:
            if finished and generation.beside:
                self._generations.swap(generation)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of everything. A second time does nothing."""
        databases, self.database, self.shared = (self.shared, self.database), None, None
        try:
            for database in databases:
                if database is not None:
                    database.close()
        except SdgStreamError:
            pass  # what was to be written was written before, or its failure was told
        finally:
            self.lock.release()

    @property
    def _generations(self) -> Generations:
        if self.generations is None:
            raise RuntimeError("the run directory is not open")
        return self.generations


def _without_teacher(facts: Facts) -> Facts:
    """Facts as far as they are known before the teacher is."""
    return {section: value for section, value in facts.items() if section not in ("teacher", "templates")}
