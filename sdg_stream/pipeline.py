"""The composition root: a pipeline file becomes checked blocks, a plan, a run.

Everything that can be known without the teacher is known when :meth:`Pipeline.load` returns: files, keys,
templates, regular expressions, block types. Blocks are built anew for each run, since they may hold state.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from anyio import to_thread

from .abc import AsyncBlock, Block, BlockConfig, Context, Sink, Source, Teacher
from .catalog import find_pipeline, pipelines_dir, resolve_block
from .config.pipeline_file import BlockEntry, PipelineFile, load_pipeline_file
from .config.settings import Settings
from .engine.columns import ColumnFlow
from .engine.limits import Limits
from .engine.plan import Order, Plan, PlannedBlock, make_plan
from .engine.run import Engine
from .errors import ConfigError, Problem
from .events import EventHook, Notice, RunReport, RunStarted
from .io.iterables import IterableSource
from .io.jsonl import JsonlSource
from .io.run_directory import check_output, open_output
from .io.stream import RowStream
from .record import Columns

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
        hook: EventHook | None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._file = file
        self._plugins = tuple(plugins)
        self._hook = hook
        self._warned: set[str] = set()
        self._configs: list[tuple[BlockEntry, type[Block[Any]], BlockConfig]] = []

    @classmethod
    def load(
        cls,
        source: str | Path,
        settings: Settings | None = None,
        *,
        plugins: Sequence[str | Path] = (),
        hook: EventHook | None = None,
    ) -> Pipeline:
        """Read a pipeline file and everything it names.

        Args:
            source: a path, or the name of a shipped pipeline such as ``full/knowledge``.
            settings: what the caller decides beside the file.
            plugins: folders that ``module:Class`` block types may be imported from.
            hook: told of warnings, here and when the pipeline runs.

        Raises:
            ConfigError: with all mistakes found, each with file, line and path.
        """
        path = find_pipeline(source)
        file = load_pipeline_file(path)
        pipeline = cls(
            _name_of(path), file, settings or Settings(), [Path(folder) for folder in plugins], hook
        )
        for warning in file.warnings:
            pipeline._warn("pipeline_version", warning)
        pipeline._decode_configs()
        pipeline._build(None)
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
        return any(
            isinstance(planned.block, AsyncBlock) and planned.block.uses_teacher
            for planned in self._build(None)
        )

    def check(self, columns: Iterable[str] | None = None) -> list[Problem]:
        """Follow the columns through the blocks, to find what a block needs and no record will have.

        Args:
            columns: those of the input; None if they are not known, then only what blocks remove is followed.

        Returns:
            All mistakes; empty if there are none.
        """
        follow = ColumnFlow(None if columns is None else set(columns))
        problems: list[Problem] = []
        for index, planned in enumerate(self._build(None)):
            for place, words in follow.through(planned):
                problems.append(self._file.document.problem(f"$.blocks[{index}]{place}", words))
        return problems

    def plan(self, order: Order = "input") -> Plan:
        """Give the stages that a run would have; ``str()`` of it is for people."""
        return make_plan(self._build(None), order)

    async def run(
        self,
        source: Input,
        output: str | Path | Sink[Any],
        teacher: Teacher | None,
        *,
        order: Order = "input",
        limit: int | None = None,
        limits: Limits | None = None,
        overwrite: bool = False,
        hook: EventHook | None = None,
    ) -> RunReport:
        """Take records through the pipeline and write rows while it goes.

        Args:
            source: a JSONL file (also ``.gz``), a Source, or an iterable of records, async or not.
            output: a JSONL file (also ``.gz``), or a Sink. Rejects go to ``<output>.run/rejects.jsonl``.
            teacher: from :func:`~sdg_stream.teacher.connect.connect`; None if no block asks one.
            order: ``input``: rows leave in input order, and the same answers give the same file;
                ``none``: rows leave as their roots settle.
            limit: stop after so many input rows.
            limits: a target of accepted rows, and budgets; the report's ``stopped`` says which ended the run.
            overwrite: replace an output that exists.
            hook: told of events.

        Raises:
            ConfigError: the input is missing, or its columns are not what the pipeline needs.
            RunStateError: the output exists.
            TeacherUnusable, OutputError: what was settled before is in the output.
        """
        hook = hook or self._hook
        reading = _as_source(source)
        if limits:
            limits.check(barrier=any(stage.kind == "group" for stage in self.plan(order).stages))
            if limits.counts_tokens and teacher is not None and not hasattr(teacher, "tokens_used"):
                raise ConfigError("a token or cost limit needs a teacher that counts tokens (tokens_used)")
        try:
            await self._check_input(reading)
            sink, rejects = await open_output(output, reading, overwrite=overwrite)
        except BaseException:
            await reading.aclose()
            raise
        engine = self._engine(
            reading, sink, teacher, order=order, limit=limit, limits=limits, rejects=rejects, hook=hook
        )
        if hook is not None:
            stages = tuple(engine.plan.lines())
            hook(RunStarted(pipeline=self.name, stages=stages, input=reading.name, output=sink.name))
        report = await engine.run()
        if rejects is not None:
            await to_thread.run_sync(_write_run_file, Path(rejects.name).parent, self, report)
        return report

    async def check_files(self, source: str | Path, output: str | Path, *, overwrite: bool = False) -> None:
        """See what :meth:`run` would refuse about its files, before a teacher is connected.

        Raises:
            ConfigError: the input is missing, or its first row lacks columns.
            RunStateError: the output exists, or is the input.
        """
        reading = JsonlSource(source)
        try:
            await self._check_input(reading)
            await to_thread.run_sync(check_output, Path(output), reading, overwrite)
        finally:
            await reading.aclose()

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
            _as_source(rows), stream, teacher, order=order, rejects=None, hook=hook or self._hook
        )
        return stream.running(engine.run)

    # ------------------------------------------------------------ blocks

    def _decode_configs(self) -> None:
        """Every block's config into its struct; all mistakes of all blocks at once."""
        document, problems = self._file.document, list[Problem]()
        for index, entry in enumerate(self._file.blocks):
            path = f"$.blocks[{index}]"
            try:
                block = resolve_block(entry.type, self._plugins)
                config = block.decode(
                    document, f"{path}.config", entry.config, problems, self._context(index, entry, None)
                )
            except ConfigError as error:
                problems.extend(_placed(document, f"{path}.type", error))
                continue
            if config is not None:
                self._configs.append((entry, block, config))
        if problems:
            raise ConfigError(problems)

    def _build(self, teacher: Teacher | None) -> list[PlannedBlock]:
        """Construct the blocks, with a teacher to run or without one to check."""
        built: list[PlannedBlock] = []
        problems: list[Problem] = []
        for index, (entry, block, config) in enumerate(self._configs):
            try:
                made = block.create(config, self._context(index, entry, teacher))
            except ConfigError as error:
                problems.extend(_placed(self._file.document, f"$.blocks[{index}].config", error))
                continue
            built.append(PlannedBlock(made, entry.type, entry.drop_columns, entry.duplicate_columns))
        if problems:
            raise ConfigError(problems)
        return built

    def _context(self, index: int, entry: BlockEntry, teacher: Teacher | None) -> Context:
        return Context(
            entry.name,
            base_dir=self.file.parent,
            depth=index,
            settings=self.settings,
            teacher=teacher,
            resolve=lambda name: resolve_block(name, self._plugins),
            notice=self._warn,
        )

    def _warn(self, code: str, message: str) -> None:
        """Tell a warning once, however often the blocks are built."""
        if self._hook is not None and message not in self._warned:
            self._warned.add(message)
            self._hook(Notice(code=code, level="warning", message=message))

    # ------------------------------------------------------------ running

    def _engine(
        self,
        source: Source,
        sink: Sink[Any],
        teacher: Teacher | None,
        *,
        order: Order,
        rejects: Sink[Any] | None,
        hook: EventHook | None,
        limit: int | None = None,
        limits: Limits | None = None,
    ) -> Engine:
        if teacher is None and self.uses_teacher:
            raise ConfigError(f"{self.name} asks a teacher; give one, see sdg_stream.connect")
        report = getattr(teacher, "report", None)
        return Engine(
            make_plan(self._build(teacher), order),
            name=self.name,
            source=source,
            sink=sink,
            rejects=rejects,
            slots=(lambda: 64) if teacher is None else (lambda: teacher.slots),
            hook=hook,
            limit=limit,
            limits=limits,
            tokens=lambda: getattr(teacher, "tokens_used", (0, 0)),
            provenance=PROVENANCE_COLUMN if self.settings.provenance else None,
            teacher_report=report,
        )

    async def _check_input(self, source: Source) -> None:
        """Hold the first input row's columns against what the blocks need, before any call."""
        if not isinstance(source, JsonlSource):
            return
        columns = await source.peek_columns()
        if columns is None:
            return
        problems = self.check(columns)
        if problems:
            raise ConfigError(
                [*problems, Problem(message=f"the first row of {source.name} has: {', '.join(columns)}")]
            )


def _name_of(path: Path) -> str:
    """The shipped name of a pipeline file, else its path."""
    root = pipelines_dir()
    return path.relative_to(root).with_suffix("").as_posix() if path.is_relative_to(root) else str(path)


def _placed(document: Any, path: str, error: ConfigError) -> list[Problem]:
    """The problems of a block, given a place in the pipeline file where they have none."""
    return [
        problem if problem.file else document.problem(problem.path or path, problem.message)
        for problem in error.problems
    ]


def _as_source(source: Input) -> Source:
    if isinstance(source, str | Path):
        return JsonlSource(source)
    if isinstance(source, Iterable):
        return IterableSource(source)
    return IterableSource(source) if isinstance(source, AsyncIterable) else source


def _write_run_file(folder: Path, pipeline: Pipeline, report: RunReport) -> None:
    """``run.json``: what ran, and the account of it."""
    facts: Mapping[str, Any] = {
        "pipeline": pipeline.name,
        "file": str(pipeline.file),
        "settings": msgspec.to_builtins(pipeline.settings),
        "report": msgspec.to_builtins(report),
    }
    (folder / "run.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
