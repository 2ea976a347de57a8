"""The runs of many leaf nodes side by side on one teacher; one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import anyio
import msgspec

from ..abc import Source, Teacher
from ..errors import OutputError, SdgStreamError, TeacherUnusable
from ..events import Notice, RunReport
from ..pipeline import Pipeline
from ..record import Columns
from ..state.keep import Keep
from ..taxonomy.samples_file import SamplesFile
from .leaf_pipelines import LeafPipelines
from .together import Together

__all__ = ["LeafRuns", "LeafWork", "is_bug", "told"]

_CUTTING = (
    2  # leaf nodes whose documents are cut at a time: it takes the interpreter, which the calls need too
)


class LeafWork(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done for one leaf node.

    Attributes:
        name: of its files.
        kind: its ``leaf_node_type``.
        source: gives its samples, once for each run.
        rows: where its generated rows go; None makes none.
        benchmark: where the rows of its benchmark go; None makes none.
        samples: the file to be written, unless it is whole, and what it is written from.
    """

    name: str
    kind: str
    source: Callable[[], Source | Path]
    rows: Path | None = None
    benchmark: Path | None = None
    samples: tuple[SamplesFile, Callable[[], AsyncGenerator[Columns, None]]] | None = None


Done = Callable[[LeafWork, RunReport], Awaitable[None]]
"""Called when a run of a leaf node has come to its end."""


async def _nothing_more(_work: LeafWork, _report: RunReport) -> None:
    pass


class LeafRuns:
    """Runs the pipelines of leaf nodes.

    Args:
        pipelines: what runs.
        teacher: who all of them ask.
        keep: what to do with what earlier starts have made.
        together: hears all runs.
        at_once: how many leaf nodes are worked on at a time.
        rows_done: called when a leaf node's rows are complete.
        benchmark_done: called when the rows of its benchmark are.

    Attributes:
        errors: what went wrong, by leaf node; each error once.
        reports: the accounts of the runs for rows, by leaf node.
    """

    def __init__(
        self,
        pipelines: LeafPipelines,
        teacher: Teacher | None,
        *,
        keep: Keep,
        together: Together,
        at_once: int,
        rows_done: Done = _nothing_more,
        benchmark_done: Done = _nothing_more,
    ) -> None:
        self.errors: dict[str, list[Exception]] = {}
        self.reports: dict[str, RunReport] = {}
        self._pipelines = pipelines
        self._teacher = teacher
        self._keep = keep
        self._together = together
        self._at_once = anyio.CapacityLimiter(at_once)
        self._cutting = anyio.CapacityLimiter(_CUTTING)
        self._rows_done = rows_done
        self._benchmark_done = benchmark_done

    async def run(self, work: Sequence[LeafWork]) -> None:
        """Work on all leaf nodes, knowledge and skills by turns: samples of skills are there at once.

        Raises:
            TeacherUnusable, OutputError: nothing can go on; what was settled is kept.
        """
        async with anyio.create_task_group() as tasks:
            for one in _by_turns(work):
                tasks.start_soon(self._leaf, one)

    async def _leaf(self, work: LeafWork) -> None:
        async with self._at_once, anyio.create_task_group() as tasks:
            if work.samples is not None and not work.samples[0].whole:
                tasks.start_soon(self._try, work, partial(self._write, *work.samples))
            if work.rows is not None:
                tasks.start_soon(self._try, work, partial(self._run_rows, work, work.rows))
            if work.benchmark is not None:
                tasks.start_soon(self._try, work, partial(self._run_benchmark, work, work.benchmark))

    async def _try(self, work: LeafWork, part: Callable[[], Awaitable[None]]) -> None:
        """Do a part of the work; an error that is not everybody's is this leaf node's alone."""
        try:
            await part()
        except (TeacherUnusable, OutputError):
            raise
        except Exception as error:  # noqa: BLE001 -- also a bug in a block of the user's: it is told in the end
            known = self.errors.setdefault(work.name, [])
            if error not in known:  # the writer's comes by way of all readers
                known.append(error)
                words = f"{work.name} does not come to its end; the others go on. {told(error)}"
                self._together.tell(Notice(code="leaf_failed", level="warning", message=words))

    async def _write(self, file: SamplesFile, rows: Callable[[], AsyncGenerator[Columns, None]]) -> None:
        async with self._cutting:
            await file.write(rows())

    async def _run_rows(self, work: LeafWork, output: Path) -> None:
        pipeline = self._pipelines.of(work.kind)
        report = await self._run(work.name, work.kind, pipeline, work, output)
        self.reports[work.name] = report
        await self._rows_done(work, report)

    async def _run_benchmark(self, work: LeafWork, output: Path) -> None:
        pipeline = self._pipelines.benchmark
        report = await self._run(f"{work.name} benchmark", "benchmark", pipeline, work, output)
        await self._benchmark_done(work, report)

    async def _run(self, key: str, kind: str, pipeline: Pipeline, work: LeafWork, output: Path) -> RunReport:
        report = await pipeline.run(
            work.source(), output, self._teacher, keep=self._keep, hook=self._together.of(key, kind)
        )
        self._together.note(key, kind, report)
        return report


def is_bug(error: Exception) -> bool:
    """Whether nobody meant it to be raised."""
    return not isinstance(error, SdgStreamError)


def told(error: Exception) -> str:
    """An error in words; of a bug also what it is, and where."""
    if not is_bug(error):
        return str(error)
    places = "; ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error}{f' ({places})' if places else ''}"


def _by_turns(work: Sequence[LeafWork]) -> list[LeafWork]:
    knowledge = [one for one in work if one.kind == "knowledge"]
    skills = [one for one in work if one.kind != "knowledge"]
    turns = {id(one): place for kind in (knowledge, skills) for place, one in enumerate(kind)}
    return sorted(work, key=lambda one: turns[id(one)])
