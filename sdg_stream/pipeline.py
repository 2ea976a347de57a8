"""The composition root: a pipeline file becomes checked blocks, a plan, a run.

Everything that can be known without the teacher is known when :meth:`Pipeline.load` returns: files, keys,
templates, regular expressions, block types. Blocks are built anew for each run, since they may hold state.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from .abc import Sink, Source, Teacher
from .assembly import Blocks, asking
from .catalog import find_pipeline, pipelines_dir
from .config.pipeline_file import PipelineFile, load_pipeline_file
from .config.settings import Settings
from .durable import (
    begin,
    can_be_resumed,
    check_distinct,
    check_input,
    facts_of,
    importing,
    in_own_task,
    ledger_closed_on_error,
    opened_sink,
    run_files,
    source_closed_on_error,
    wanted_of,
)
from .engine.columns import ColumnFlow
from .engine.limits import Limits
from .engine.plain import PlainLedger
from .engine.plan import Order, Plan, make_plan
from .engine.run import Engine
from .errors import ConfigError, Problem
from .events import EventHook, Notice, RunReport
from .io.checkpoint_source import CheckpointSource
from .io.iterables import IterableSource
from .io.jsonl import JsonlSource
from .io.stream import RowStream
from .record import Columns
from .session import Session, finished_before
from .state.fingerprint import Facts
from .state.opening import Keep, Wanted, look

__all__ = ["Pipeline"]

Input: TypeAlias = str | Path | Source | Iterable[Columns] | AsyncIterable[Columns]
"""What a pipeline reads: a JSONL file, a source, or an iterable of records, async or not."""

PROVENANCE_COLUMN = "provenance"


class Pipeline:
    """A pipeline file, read and checked. Make one with :meth:`load`."""

    def __init__(
        self,
        name: str,
        file: PipelineFile,
        settings: Settings,
        plugins: Sequence[Path],
        allowed: Sequence[Path],
        hook: EventHook | None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._file = file
        self._hook = hook
        self._warned: set[str] = set()
        self._blocks = Blocks(file, settings, plugins, allowed, self._warn)

    @classmethod
    def load(
        cls,
        source: str | Path,
        settings: Settings | None = None,
        *,
        plugins: Sequence[str | Path] = (),
        allow_paths: Sequence[str | Path] = (),
        hook: EventHook | None = None,
    ) -> Pipeline:
        """Read a pipeline file and everything it names.

        Args:
            source: a path, or the name of a shipped pipeline such as ``full/knowledge``.
            settings: what the caller decides beside the file.
            plugins: folders that ``module:Class`` block types may be imported from.
            allow_paths: folders outside of the pipeline's own in which files that it names may lie.
            hook: told of warnings, here and when the pipeline runs.

        Raises:
            ConfigError: with all mistakes found, each with file, line and path.
        """
        path = find_pipeline(source)
        file = load_pipeline_file(path)
        pipeline = cls(
            _name_of(path),
            file,
            settings or Settings(),
            [Path(folder) for folder in plugins],
            [Path(folder) for folder in allow_paths],
            hook,
        )
        for warning in file.warnings:
            pipeline._warn("pipeline_version", warning)
        pipeline._blocks.decode()
        pipeline._blocks.build(None)
        return pipeline

    @property
    def file(self) -> Path:
        """The pipeline file."""
        return Path(self._file.document.file)

    @property
    def auxiliary_instructions(self) -> dict[str, list[str]]:
        """``datamixing.auxiliary_instructions`` of the file: instructions by dataset_type."""
        return self._file.auxiliary_instructions

    @property
    def uses_teacher(self) -> bool:
        """Whether any block asks the teacher."""
        return bool(asking(self._blocks.build(None)))

    def check(self, columns: Iterable[str] | None = None) -> list[Problem]:
        """Follow the columns through the blocks, to find what a block needs and no record will have.

        Args:
            columns: those of the input; None if they are not known, then only what blocks remove is followed.

        Returns:
            All mistakes; empty if there are none.
        """
        follow = ColumnFlow(None if columns is None else set(columns))
        problems: list[Problem] = []
        for index, planned in enumerate(self._blocks.build(None)):
            for place, words in follow.through(planned):
                problems.append(self._file.document.problem(f"$.blocks[{index}]{place}", words))
        return problems

    def plan(self, order: Order = "input") -> Plan:
        """Give the stages that a run would have; ``str()`` of it is for people."""
        return make_plan(self._blocks.build(None), order)

    @in_own_task
    async def run(
        self,
        source: Input,
        output: str | Path | Sink[Any],
        teacher: Teacher | None,
        *,
        order: Order = "input",
        limit: int | None = None,
        limits: Limits | None = None,
        keep: Keep | None = None,
        import_checkpoint: str | Path | None = None,
        hook: EventHook | None = None,
        **fields: Any,
    ) -> RunReport:
        """Take records through the pipeline and write rows while it goes.

        With an output file the run can be stopped, or killed, and goes on when it is called again: what is
        settled is in ``<output>.run``, and so are the answers of the teacher. Rejects go there, too.
        Cancelling gives calls under way a grace of 10 seconds, and keeps what they answer.

        Args:
            source: a JSONL file (also ``.gz``), a Source, or an iterable of records, async or not. To go on,
                an iterable must give the same rows again.
            output: a JSONL file (also ``.gz``), or a Sink, which cannot be gone on with.
            teacher: from :func:`~sdg_stream.teacher.connect.connect`; None if no block asks one.
            order: ``input``: rows leave in input order, and the same answers give the same file;
                ``none``: rows leave as their roots settle.
            limit: stop after so many input rows.
            limits: a target of accepted rows, and budgets; the report's ``stopped`` says which ended the run.
            keep: what to do with an earlier run of this output, and how to keep this one.
            import_checkpoint: a folder of upstream's ``data_checkpoint_*.jsonl`` files; input rows that have
                rows there are settled with them.
            hook: told of events.
            fields: those of ``keep``, one by one, such as ``overwrite=True``.

        Raises:
            ConfigError: the input is missing, or its columns are not what the pipeline needs.
            RunStateError: the output is in use, was made with something else, or was edited.
            TeacherUnusable, OutputError: what was settled before is in the output.
        """
        hook = hook or self._hook
        keep = msgspec.structs.replace(keep or Keep(), **fields)
        plan = self.plan(order)
        _check_limits(limits, plan, teacher)
        reading = _as_source(source, hook)
        imported = importing(reading, import_checkpoint, plan, hook)
        fed = imported or reading
        async with source_closed_on_error(fed):
            session = await self._open(
                reading, imported, output, teacher, wanted_of(keep, limit, limits), asking(plan.blocks)
            )
            if isinstance(session, RunReport):
                await fed.aclose()
                return await finished_before(session, reading.name, str(output))
            async with ledger_closed_on_error(session.ledger):
                engine = self._engine(fed, session, order=order, hook=hook, limit=limit, limits=limits)
                await session.note(None)
        session.tell(hook, engine.plan)
        report = await engine.run()
        await session.note(report)
        return report

    @in_own_task
    async def look(
        self,
        source: str | Path | JsonlSource,
        output: str | Path,
        *,
        limit: int | None = None,
        limits: Limits | None = None,
        keep: Keep | None = None,
        import_checkpoint: str | Path | None = None,
    ) -> RunReport | None:
        """See what :meth:`run` would refuse about its files, before a teacher is connected.

        Returns:
            The account of a finished run, if there is nothing left to do.

        Raises:
            ConfigError: the input is missing, or its first row lacks columns.
            RunStateError: the output is in use, was made with something else, is the input, or was edited.
        """
        reading = source if isinstance(source, JsonlSource) else JsonlSource(source)
        imported = importing(reading, import_checkpoint, self.plan())
        try:
            files = run_files(reading)
            await check_input(reading, self.check)
            if not can_be_resumed(output):
                return None
            check_distinct(Path(output), reading)
            wanted = wanted_of(keep or Keep(), limit, limits)
            found = await look(Path(output), await self._facts(None, reading, imported), files, wanted)
            return found and await finished_before(found, reading.name, str(output))
        finally:
            await reading.aclose()

    async def _open(
        self,
        source: Source,
        imported: CheckpointSource | None,
        output: str | Path | Sink[Any],
        teacher: Teacher | None,
        wanted: Wanted,
        positions: Sequence[int],
    ) -> Session | RunReport:
        """Check the input, and open what is written to; the account, if nothing is left to do.

        ``positions`` are those of the blocks that ask.
        """
        check = partial(check_input, source, self.check, imported)
        facts = {
            "pipeline": self.name,
            "file": str(self.file),
            "input": source.name,
            "output": str(output),
            "command": wanted.keep.command,
            "settings": msgspec.to_builtins(self.settings),
        }
        if not isinstance(output, str | Path) or not can_be_resumed(output):
            await check()
            return Session(ledger=PlainLedger(await opened_sink(output)), teacher=teacher, facts=facts)
        opened = await begin(
            source,
            Path(output),
            wanted,
            facts=await self._facts(teacher, source, imported),
            teacher=teacher,
            asking=positions,
            check=check,
        )
        if isinstance(opened, RunReport):
            return opened
        return Session(
            ledger=opened.ledger,
            teacher=opened.teacher,
            facts=facts,
            past=opened.past,
            retried=opened.retried,
            output=Path(output),
        )

    def facts(self, teacher: Teacher | None = None) -> Facts:
        """What decides the rows that come of an input: content of files and settings, as plain data."""
        found, data = self._blocks.files.found, self._file.document.data
        return facts_of(data, self.file.parent, found, self.settings, teacher)

    async def _facts(
        self, teacher: Teacher | None, source: Source, imported: CheckpointSource | None
    ) -> Facts:
        """What decides the rows of a run, and of the input what is known before it is read."""
        facts = self.facts(teacher)
        identity = getattr(source, "identity", "")
        if identity:
            facts["input"] = {"identity": identity}
        if imported is not None:
            facts["imported checkpoint"] = await imported.digest()
        return facts

    def stream(
        self,
        rows: Input,
        teacher: Teacher | None,
        *,
        order: Order = "none",
        hook: EventHook | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Columns]]:
        """Run in the background of an ``async with`` block and iterate over the rows; leaving it cancels.

        Nothing is written anywhere; rejects, and what is odd about an input file, are told to ``hook`` as
        events. The reader is the back-pressure: records are asked for only as fast as rows are taken.
        """
        hook = hook or self._hook
        stream = RowStream()
        session = Session(ledger=PlainLedger(stream), teacher=teacher, facts={})
        engine = self._engine(_as_source(rows, hook), session, order=order, hook=hook)
        return stream.running(engine.run)

    def _warn(self, code: str, message: str) -> None:
        """Tell a warning once, however often the blocks are built."""
        if message not in self._warned:
            self._warned.add(message)
            _warn(self._hook, code, message)

    # ------------------------------------------------------------ running

    def _engine(
        self,
        source: Source,
        session: Session,
        *,
        order: Order,
        hook: EventHook | None,
        limit: int | None = None,
        limits: Limits | None = None,
    ) -> Engine:
        teacher = session.teacher
        if teacher is None and self.uses_teacher:
            raise ConfigError(f"{self.name} asks a teacher; give one, see sdg_stream.connect")
        return Engine(
            make_plan(self._blocks.build(teacher), order),
            name=self.name,
            source=source,
            ledger=session.ledger,
            past=session.past,
            slots=(lambda: 64) if teacher is None else (lambda: teacher.slots),
            hook=hook,
            limit=limit,
            limits=limits,
            tokens=lambda: getattr(teacher, "tokens_used", (0, 0)),
            provenance=PROVENANCE_COLUMN if self.settings.provenance else None,
            teacher_report=getattr(teacher, "report", None),
            halt=getattr(teacher, "halt", None),
        )


def _check_limits(limits: Limits | None, plan: Plan, teacher: Teacher | None) -> None:
    """See whether a run can be held within its limits.

    Raises:
        ConfigError: it cannot.
    """
    if limits is None:
        return
    limits.check(barrier=plan.barriers > 0)
    if limits.counts_tokens and teacher is not None and not hasattr(teacher, "tokens_used"):
        raise ConfigError("a token or cost limit needs a teacher that counts tokens (tokens_used)")


def _name_of(path: Path) -> str:
    """The shipped name of a pipeline file, else its path."""
    root = pipelines_dir()
    return path.relative_to(root).with_suffix("").as_posix() if path.is_relative_to(root) else str(path)


def _warn(hook: EventHook | None, code: str, message: str) -> None:
    if hook is not None:
        hook(Notice(code=code, level="warning", message=message))


def _as_source(source: Input, hook: EventHook | None) -> Source:
    """What is to be read; ``hook`` is told what is odd about a file, unless somebody else is."""
    if isinstance(source, str | Path | JsonlSource):
        source = source if isinstance(source, JsonlSource) else JsonlSource(source)
        source.on_warning = source.on_warning or partial(_warn, hook)
        return source
    if isinstance(source, Iterable):
        return IterableSource(source)
    return IterableSource(source) if isinstance(source, AsyncIterable) else source
