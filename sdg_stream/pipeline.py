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

import anyio
import msgspec
from anyio import to_thread

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
    closed_on_error,
    facts_of,
    finished_before,
    going_on_words,
    importing,
    in_own_task,
    opened_sink,
    run_files,
    wanted_of,
    write_run_file,
)
from .engine.columns import ColumnFlow
from .engine.limits import Limits
from .engine.plain import PlainLedger
from .engine.plan import Order, Plan, make_plan
from .engine.run import Engine
from .errors import ConfigError, Problem
from .events import EventHook, Notice, RunReport, RunStarted
from .io.checkpoint_source import CheckpointSource
from .io.iterables import IterableSource
from .io.jsonl import JsonlSink, JsonlSource
from .io.stream import RowStream
from .ledger import Ledger, Past, Roots
from .record import Columns
from .state.fingerprint import Facts
from .state.opening import Keep, OpenedRun, Wanted, look

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
        reading = _as_source(source)
        if isinstance(reading, JsonlSource) and reading.on_warning is None:
            reading.on_warning = self._warn
        if limits:
            limits.check(barrier=self.plan(order).barriers > 0)
            if limits.counts_tokens and teacher is not None and not hasattr(teacher, "tokens_used"):
                raise ConfigError("a token or cost limit needs a teacher that counts tokens (tokens_used)")
        imported = importing(reading, import_checkpoint, self.plan(order), hook)
        fed = imported or reading
        wanted = wanted_of(keep, limit, limits)
        try:
            ledger, opened = await self._begin(reading, imported, output, teacher, wanted)
            if opened.finished is not None:
                await fed.aclose()
                return await finished_before(opened.finished, reading.name, str(output))
            note = partial(self._note, opened, reading.name, str(output), keep.command)
            async with closed_on_error(ledger):
                engine = self._engine(
                    fed,
                    ledger,
                    opened.teacher or teacher,
                    order=order,
                    limit=limit,
                    limits=limits,
                    past=opened.past,
                    hook=hook,
                )
                await note(None)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await fed.aclose()
            raise
        if hook is not None:
            stages = tuple(engine.plan.lines())
            hook(
                RunStarted(
                    pipeline=self.name,
                    stages=stages,
                    input=reading.name,
                    output=str(ledger.output),
                    settled_before=len(opened.past.settled) - len(opened.past.redo),
                    retried=opened.retried,
                )
            )
            if going_on := going_on_words(opened):
                hook(Notice(code="going_on", message=going_on))
        report = await engine.run()
        await note(report)
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
            found = await look(Path(output), await self._facts(None, imported), files, wanted)
            return found and await finished_before(found, reading.name, str(output))
        finally:
            await reading.aclose()

    async def _begin(
        self,
        source: Source,
        imported: CheckpointSource | None,
        output: str | Path | Sink[Any],
        teacher: Teacher | None,
        wanted: Wanted,
    ) -> tuple[Ledger, OpenedRun]:
        """Check the input, and open what is written to; with nothing left to do the ledger is of no use."""
        check = partial(check_input, source, self.check, imported)
        if not isinstance(output, str | Path) or not can_be_resumed(output):
            await check()
            return PlainLedger(await opened_sink(output)), OpenedRun(past=Past(settled=Roots()))
        opened = await begin(
            source,
            Path(output),
            wanted,
            facts=await self._facts(teacher, imported),
            teacher=teacher,
            asking=asking(self._blocks.build(None)),
            check=check,
        )
        return opened.ledger or PlainLedger(JsonlSink("-")), opened

    async def _note(
        self, opened: OpenedRun, source: str, output: str, command: str, report: RunReport | None
    ) -> None:
        """Write ``run.json``, if there is a run directory: before the run without a report, then with it."""
        facts = {
            "pipeline": self.name,
            "file": str(self.file),
            "input": source,
            "output": output,
            "command": command,
            "settings": msgspec.to_builtins(self.settings),
        }
        if opened.ledger is not None:
            await to_thread.run_sync(write_run_file, Path(output), facts, report)

    async def _facts(self, teacher: Teacher | None, imported: CheckpointSource | None) -> Facts:
        """What decides the rows of a run, the input aside."""
        found, data = self._blocks.files.found, self._file.document.data
        facts = facts_of(data, self.file.parent, found, self.settings, teacher)
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

        Nothing is written anywhere; rejects are told to ``hook`` as events. The reader is the back-pressure:
        records are asked for only as fast as rows are taken.
        """
        stream = RowStream()
        engine = self._engine(
            _as_source(rows), PlainLedger(stream), teacher, order=order, hook=hook or self._hook
        )
        return stream.running(engine.run)

    def _warn(self, code: str, message: str) -> None:
        """Tell a warning once, however often the blocks are built."""
        if self._hook is not None and message not in self._warned:
            self._warned.add(message)
            self._hook(Notice(code=code, level="warning", message=message))

    # ------------------------------------------------------------ running

    def _engine(
        self,
        source: Source,
        ledger: Ledger,
        teacher: Teacher | None,
        *,
        order: Order,
        hook: EventHook | None,
        past: Past | None = None,
        limit: int | None = None,
        limits: Limits | None = None,
    ) -> Engine:
        if teacher is None and self.uses_teacher:
            raise ConfigError(f"{self.name} asks a teacher; give one, see sdg_stream.connect")
        report = getattr(teacher, "report", None)
        return Engine(
            make_plan(self._blocks.build(teacher), order),
            name=self.name,
            source=source,
            ledger=ledger,
            past=past,
            slots=(lambda: 64) if teacher is None else (lambda: teacher.slots),
            hook=hook,
            limit=limit,
            limits=limits,
            tokens=lambda: getattr(teacher, "tokens_used", (0, 0)),
            provenance=PROVENANCE_COLUMN if self.settings.provenance else None,
            teacher_report=report,
            halt=getattr(teacher, "halt", None),
        )


def _name_of(path: Path) -> str:
    """The shipped name of a pipeline file, else its path."""
    root = pipelines_dir()
    return path.relative_to(root).with_suffix("").as_posix() if path.is_relative_to(root) else str(path)


def _as_source(source: Input) -> Source:
    if isinstance(source, str | Path):
        return JsonlSource(source)
    if isinstance(source, Iterable):
        return IterableSource(source)
    return IterableSource(source) if isinstance(source, AsyncIterable) else source
