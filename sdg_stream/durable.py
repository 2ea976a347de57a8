"""A run with a run directory: how its files, its input and its facts are told to :mod:`sdg_stream.state`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from .abc import Sink, Source, Teacher
from .config.settings import Settings
from .engine.limits import Limits
from .errors import RunStateError
from .events import RunReport
from .io.jsonl import JsonlSink
from .io.mark import InputMark
from .io.row_file import RowFile
from .state.directory import RunDirectory, make_private
from .state.fingerprint import Facts, make_facts
from .state.opening import Keep, RunFiles, Wanted
from .version import __version__

__all__ = [
    "can_be_resumed",
    "check_distinct",
    "expect",
    "facts_of",
    "opened_sink",
    "run_files",
    "wanted_of",
    "write_run_file",
]


def can_be_resumed(output: object) -> bool:
    """Whether an output is a file of its own, rather than a sink, standard output or a device."""
    return isinstance(output, str | Path) and (not Path(output).exists() or Path(output).is_file())


def check_distinct(output: Path, source: Source) -> None:
    """See that a run does not write over what it reads.

    Raises:
        RunStateError: it would.
    """
    if output.exists() and Path(source.name).exists() and output.samefile(source.name):
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


def expect(source: Source, mark: bytes | None) -> None:
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


def write_run_file(output: Path, pipeline: str, file: Path, settings: Settings, report: RunReport) -> None:
    """``run.json``: what ran, and the account of it."""
    facts: Mapping[str, Any] = {
        "version": __version__,
        "pipeline": pipeline,
        "file": str(file),
        "settings": msgspec.to_builtins(settings),
        "report": msgspec.to_builtins(report),
    }
    path = RunDirectory(output).run_file
    make_private(path)
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
