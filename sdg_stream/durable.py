"""A run with a run directory: how its files, its input and its facts are told to :mod:`sdg_stream.state`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio
import msgspec

from .abc import Sink, Source, Teacher
from .config.settings import Settings
from .engine.columns import carried
from .engine.limits import Limits
from .engine.plan import Plan
from .errors import ConfigError, OutputError, Problem, RunStateError, first_leaf
from .events import EventHook, Notice, RunReport
from .io.checkpoint_source import CheckpointSource
from .io.jsonl import JsonlSink, JsonlSource
from .io.mark import InputMark
from .io.row_file import RowFile
from .ledger import Ledger
from .state.fingerprint import Facts, make_facts
from .state.opening import Keep, OpenedRun, RunFiles, Wanted, open_run

__all__ = [
    "begin",
    "can_be_resumed",
    "check_distinct",
    "check_input",
    "facts_of",
    "importing",
    "in_own_task",
    "ledger_closed_on_error",
    "opened_sink",
    "run_files",
    "source_closed_on_error",
    "wanted_of",
]

P = ParamSpec("P")
T = TypeVar("T")


def can_be_resumed(output: object) -> bool:
    """Whether an output is a file of its own, rather than a sink, standard output or a device."""
    if not isinstance(output, str | Path):
        return False
    try:
        return not Path(output).exists() or Path(output).is_file()
    except OSError:  # a name too long: it would be one, and :func:`check_distinct` says what is wrong
        return True


def check_distinct(output: Path, source: Source) -> None:
    """See that a run does not write over what it reads.

    Raises:
        RunStateError: it would.
        OutputError: the output's name cannot be that of a file.
    """
    try:
        same = output.exists() and Path(source.name).exists() and output.samefile(source.name)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written: {error.strerror}") from error
    if same:
        raise RunStateError(f"{output} is the input as well; name another output")


def run_files(source: Source) -> RunFiles:
    """How rows are written, and how the input, not yet read, is recognised when a run goes on."""
    track: Callable[[], None] | None = getattr(source, "track", None)
    if track is not None:
        track()
    return RunFiles(
        append=_appending,
        prepare=JsonlSink("-").prepare,
        mark=_mark_of(source),
        difference=_difference_of(source),
        longer=_longer_than(source),
    )


def _appending(path: Path) -> RowFile:
    file = RowFile(path, append=True, pack=False)
    file.open()
    return file


def _mark_of(source: Source) -> Callable[[], bytes]:
    mark: Callable[[], InputMark] | None = getattr(source, "mark", None)
    return (lambda: b"null") if mark is None else (lambda: msgspec.json.encode(mark()))


def _difference_of(source: Source) -> Callable[[bytes], Awaitable[str]]:
    compare: Callable[[InputMark], Awaitable[str]] | None = getattr(source, "difference", None)

    async def difference(mark: bytes) -> str:
        return "" if compare is None else await compare(msgspec.json.decode(mark, type=InputMark))

    return difference


def _longer_than(source: Source) -> Callable[[bytes], bool]:
    def longer(mark: bytes) -> bool:
        """Unknown counts as longer: then the input is read to see."""
        before, size = msgspec.json.decode(mark, type=InputMark), getattr(source, "size", None)
        return not before.ended or size is None or int(size) > before.bytes

    return longer


def _expect(source: Source, mark: bytes | None) -> None:
    """Tell a source what it gave to earlier sessions."""
    method: Any = getattr(source, "expect", None)
    if mark is not None and method is not None:
        method(msgspec.json.decode(mark, type=InputMark))


async def opened_sink(output: str | Path | Sink[Any]) -> Sink[Any]:
    """A sink for what is no file of its own: standard output, a device."""
    if not isinstance(output, str | Path):
        return output
    sink = JsonlSink(output)
    await sink.open()
    return sink


def facts_of(
    data: Any, folder: Path, files: Iterable[Path], settings: Settings, teacher: Teacher | None
) -> Facts:
    """What decides the rows of a run, the input aside; see :mod:`sdg_stream.state.fingerprint`."""
    return make_facts(
        data=data,
        folder=folder,
        files=sorted(files),
        settings=msgspec.to_builtins(settings),
        model=teacher.model if teacher is not None else "",
        api=teacher.api if teacher is not None else "",
    )


def wanted_of(keep: Keep, limit: int | None, limits: Limits | None) -> Wanted:
    """What is wanted of a run, for its run directory."""
    return Wanted(keep=keep, limit=limit, target=limits.target if limits else None)


def importing(
    source: Source, folder: str | Path | None, plan: Plan, hook: EventHook | None = None
) -> CheckpointSource | None:
    """An input with the rows that upstream left in a folder, if one is named; ``hook`` hears what is weak."""
    if folder is None:
        return None
    weaknesses = []
    if plan.seen():
        weaknesses.append("Rows that are taken over do not pass drop_duplicates: later rows may repeat them.")
    groups = [stage.head[0].stats.name for stage in plan.stages if stage.kind == "group"]
    if groups:
        weaknesses.append(f"Rows that are taken over do not pass {', '.join(groups)}, which sees the others.")

    def tell(code: str, words: str) -> None:
        if hook is not None:
            level = "warning" if code in ("import_torn", "import_unused") else "info"
            hook(Notice(code=code, level=level, message=words))

    follow = partial(carried, plan.blocks)
    return CheckpointSource(source, Path(folder), follow=follow, weaknesses=weaknesses, tell=tell)


async def check_input(
    source: Source,
    check: Callable[[Iterable[str]], Sequence[Problem]],
    imported: CheckpointSource | None = None,
) -> None:
    """Hold the first input row's columns against what the blocks need, and against a checkpoint, if any.

    Raises:
        ConfigError: they do not fit; or as the input and :meth:`CheckpointSource.load`.
    """
    if not isinstance(source, JsonlSource):
        return
    columns = await source.peek_columns()
    if columns is None:
        return
    problems = check(columns)
    if problems:
        raise ConfigError(
            [*problems, Problem(message=f"the first row of {source.name} has: {', '.join(columns)}")]
        )
    if imported is not None:
        await imported.load(columns)


async def begin(
    source: Source,
    output: Path,
    wanted: Wanted,
    *,
    facts: Facts,
    teacher: Teacher | None,
    asking: Sequence[int],
    check: Callable[[], Awaitable[None]],
) -> OpenedRun | RunReport:
    """Open the run directory of an output, and the input as far as earlier sessions have read it.

    Args:
        source: the input, not yet read.
        output: the output file.
        wanted: what is to be done.
        facts: what decides the rows.
        teacher: who is asked, if anybody.
        asking: positions of the blocks that ask.
        check: looks whether the input can be used at all; where that can be, before anything is written.

    Returns:
        The run, or the account of one that has nothing left to do.

    Raises:
        ConfigError, RunStateError, OutputError: it cannot begin; nothing is left open.
    """
    check_distinct(output, source)
    files = run_files(source)
    if isinstance(source, JsonlSource):
        await source.open()
    twice = getattr(source, "size", None) is not None  # compared before it is read, else while it is
    if twice:
        await check()
    opened = await open_run(output, facts, files, wanted, teacher=teacher, asking=asking)
    if not twice and isinstance(opened, OpenedRun):
        async with ledger_closed_on_error(opened.ledger):
            _expect(source, opened.mark)
            await check()
    return opened


def in_own_task(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let a function do its work in a task of its own, so that all who cancel it do so in anyio's way.

    A plain ``task.cancel()`` goes through shields: what is to be closed then would be left open.
    """

    @wraps(function)
    async def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        results: list[T] = []

        async def work() -> None:
            results.append(await function(*args, **kwargs))

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
        except BaseExceptionGroup as group:
            error = first_leaf(group)
            raise error from error.__cause__  # not from the group, which only wraps it
        return results[0]

    return inside


@asynccontextmanager
async def ledger_closed_on_error(ledger: Ledger) -> AsyncIterator[None]:
    """Close a ledger when what is done with it before the run fails."""
    try:
        yield
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await ledger.aclose(None, type(error).__name__)
        raise


@asynccontextmanager
async def source_closed_on_error(source: Source) -> AsyncIterator[None]:
    """The same for an input, which may not be open yet."""
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True):
            await source.aclose()
        raise
