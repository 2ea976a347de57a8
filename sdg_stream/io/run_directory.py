"""The output file and the run directory beside it: what may be written where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyio import to_thread

from ..abc import Sink, Source
from ..errors import OutputError, RunStateError
from .jsonl import JsonlSink

__all__ = ["check_output", "open_output"]


async def open_output(
    output: str | Path | Sink[Any], source: Source, *, overwrite: bool
) -> tuple[Sink[Any], JsonlSink | None]:
    """Open the sink of the rows, and the one of the rejects if the output is a file.

    Raises:
        RunStateError: the output exists, or is the input.
        OutputError: it cannot be written.
    """
    if not isinstance(output, str | Path):
        return output, None
    path = Path(output)
    await to_thread.run_sync(check_output, path, source, overwrite)
    sink, rejects = JsonlSink(path), JsonlSink(_run_dir(path) / "rejects.jsonl")
    await sink.open()
    try:
        await to_thread.run_sync(_make_run_dir, path)
        await rejects.open()
    except BaseException:
        await sink.aclose()
        raise
    return sink, rejects


def _run_dir(output: Path) -> Path:
    return output.with_name(output.name + ".run")


def check_output(path: Path, source: Source, overwrite: bool) -> None:
    """Make sure that nothing is lost by writing to ``path``."""
    if not path.exists():
        return
    if Path(source.name).exists() and path.samefile(source.name):
        raise RunStateError(f"{path} is the input as well; name another output")
    if path.stat().st_size and not overwrite:
        raise RunStateError(
            f"{path} exists and holds {path.stat().st_size} bytes. Name another output, or replace it with "
            "--overwrite (in Python: overwrite=True)"
        )


def _make_run_dir(path: Path) -> None:
    folder = _run_dir(path)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the run directory {folder}: {error.strerror}") from error
