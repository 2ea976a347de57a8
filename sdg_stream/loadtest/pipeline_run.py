"""A pipeline run that is watched: paced by the clock, with a log of its calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import anyio
import msgspec
import orjson

from ..abc import Backend
from ..durable import check_input, source_closed_on_error
from ..errors import ConfigError, first_leaf
from ..events import Event, EventHook, Notice, RunFinished, RunReport
from ..io.jsonl import CHUNK_BYTES, MAX_LINE_BYTES, JsonlSink, JsonlSource
from ..io.lines import LineReader
from ..pipeline import PROVENANCE_COLUMN, Pipeline
from ..threads import in_thread
from .call_log import CallLog, WatchedTeacher
from .client_share import ClientMeter
from .levels import ClientShare, ServerView
from .pacing import PacedSource
from .pipeline_numbers import Place
from .server_view import ServerMeter

__all__ = [
    "Connect",
    "Ran",
    "Surroundings",
    "Wanted",
    "barriers_of",
    "block_names",
    "count_rows",
    "run_watched",
]

Connect = Callable[[CallLog, int], AbstractAsyncContextManager[WatchedTeacher]]
"""Connects to the server with so many slots, each call in the log."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a watched run needs beside the pipeline: the way to the server, its pages, and who is told."""

    connect: Connect
    backend: Backend
    pages: Sequence[str]
    hook: EventHook


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        rows: the input file.
        limit: input rows at most.
        slots: sequences in flight.
        output: where rows go.
        durable: with a run directory beside it.
        feed_seconds: after which no row is begun.
        longest: seconds after which the run is stopped.
        salt: text before each prompt, so that the server's prefix cache knows none from an earlier run.
    """

    rows: Path
    limit: int
    slots: int
    output: Path
    durable: bool = True
    feed_seconds: float = math.inf
    longest: float = math.inf
    salt: str


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left: its calls, its account, its ends on the log's clock, and the rows' places."""

    log: CallLog
    report: RunReport
    begin: float
    end: float
    accepted: list[Place]
    cut: str
    client: ClientShare
    server: ServerView | None

    @property
    def seconds(self) -> float:
        """Of the run."""
        return self.end - self.begin

    @property
    def settled(self) -> int:
        """Roots that are settled: the first ones of the input, since rows leave in its order."""
        return self.report.accepted + self.report.filtered + self.report.rejected


class _Ending:
    """A hook that keeps the account of the run, however it ends, and passes warnings on."""

    def __init__(self, hook: EventHook) -> None:
        self.report: RunReport | None = None
        self._hook = hook

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, RunFinished):
            self.report = event.report
        elif isinstance(event, Notice) and event.level == "warning":
            self._hook(event)


async def run_watched(pipeline: Pipeline, wanted: Wanted, around: Surroundings) -> Ran:
    """Run a pipeline that was loaded with ``provenance``.

    Raises:
        ConfigError: the input does not fit, or nothing is asked for any of its rows.
        TeacherUnusable, OutputError: as :meth:`Pipeline.run`.
    """
    log, ending, client = CallLog(), _Ending(around.hook), ClientMeter()
    server = ServerMeter(around.backend, around.pages)
    rows = JsonlSource(wanted.rows, limit=wanted.limit)
    source = PacedSource(rows, log, wanted.slots, wanted.feed_seconds)
    try:
        async with source_closed_on_error(rows):
            await check_input(rows, pipeline.check)
            async with around.connect(log, wanted.slots) as teacher, anyio.create_task_group() as tasks:
                teacher.salt = wanted.salt
                tasks.start_soon(server.watch)
                tasks.start_soon(client.watch)
                await server.look()
                client.begin()
                begin = time.monotonic()
                with anyio.move_on_after(wanted.longest) as time_limit:
                    await pipeline.run(source, await _output(wanted), teacher, hook=ending)
                end = time.monotonic()
                share = client.end(sum(1 for call in log.calls if call.flights))
                await server.look()
                view = server.view(begin, time.monotonic())
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = first_leaf(group)
        raise error from error.__cause__
    cut = _cut(source, wanted, stopped=time_limit.cancelled_caught)
    if ending.report is None or not any(call.flights for call in log.calls):
        why = f": {cut}" if cut else ""
        raise ConfigError(f"no row of {wanted.rows} reached the teacher, so nothing was measured{why}")
    return Ran(
        log=log,
        report=ending.report,
        begin=begin,
        end=end,
        accepted=await in_thread(partial(_places, wanted.output)),
        cut=cut,
        client=share,
        server=view,
    )


def barriers_of(pipeline: Pipeline) -> list[int]:
    """Positions of the blocks that wait for all records."""
    stages = pipeline.plan().stages
    return [stage.head[0].block.context.depth for stage in stages if stage.kind == "group"]


def block_names(pipeline: Pipeline) -> dict[int, str]:
    """Names of the blocks by their positions."""
    return {planned.block.context.depth: planned.stats.name for planned in pipeline.plan().blocks}


async def count_rows(file: Path) -> int:
    """How many rows an input file has, without reading their JSON.

    Raises:
        ConfigError: it cannot be read.
    """
    return await in_thread(partial(_count_rows, file))


def _count_rows(file: Path) -> int:
    reader = LineReader(file, chunk_bytes=CHUNK_BYTES, max_line_bytes=MAX_LINE_BYTES)
    reader.open()
    try:
        count = 0
        while (lines := reader.read_lines()) is not None:
            count += sum(line is None or bool(line.strip()) for line in lines)
        return count
    finally:
        reader.close()


async def _output(wanted: Wanted) -> Path | JsonlSink:
    """A file with a run directory, or a sink, which has none."""
    if wanted.durable:
        return wanted.output
    sink = JsonlSink(wanted.output)
    await sink.open()
    return sink


def _places(output: Path) -> list[Place]:
    """Root and path of each accepted row, read line by line."""
    places: list[Place] = []
    with output.open("rb") as file:
        for line in file:
            origin = orjson.loads(line)[PROVENANCE_COLUMN]
            places.append((origin["root"], tuple(origin["path"])))
    return places


def _cut(source: PacedSource, wanted: Wanted, *, stopped: bool) -> str:
    if stopped:
        return (
            f"the run was stopped after {wanted.longest:.0f} s, with rows under way: use a smaller --limit "
            "or a longer --duration"
        )
    if source.out_of_time:
        return f"no row was begun after {wanted.feed_seconds:.0f} s; those that were ran to their end"
    return ""
