"""Other programs, bounded: in time, memory, size of files and size of what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, Process

__all__ = ["NOT_FOUND", "Bounds", "Exceeded", "Finished", "bounded", "end", "run_bounded"]

_LIMITED = Path(__file__).with_name("limited.py")
NOT_FOUND = 127
"""Exit code when there is no such program."""

_STDERR = 64 * 1024  # bytes; what is beyond is dropped


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a program may use.

    Attributes:
        seconds: of time on the clock, and of each processor.
        memory: bytes of address space, for each of its processes.
        file_size: bytes of the largest file that it may write; 0 for none at all.
        output: bytes that it may say.
    """

    seconds: float
    memory: int
    file_size: int
    output: int


class Finished(msgspec.Struct, frozen=True):
    """What became of a program."""

    code: int
    stdout: bytes
    stderr: bytes


class Exceeded(Exception):
    """A program was stopped: it took too long, or said too much."""


def bounded(command: Sequence[str], bounds: Bounds) -> list[str]:
    """The command with bounds on memory, files and processor time that hold whoever starts it."""
    if sys.platform == "win32":
        return list(command)
    limits = (bounds.memory, bounds.file_size, int(bounds.seconds) + 1)
    return [sys.executable, "-I", "-S", str(_LIMITED), *map(str, limits), *command]


async def run_bounded(
    command: Sequence[str], bounds: Bounds, *, env: Mapping[str, str], folder: Path
) -> Finished:
    """Run a program to its end; it and all that it started are gone when this returns or raises.

    Raises:
        Exceeded: it was stopped at a bound; a bound on memory or files ends it with an error of its own.
        OSError: it cannot be started.
    """
    process = await anyio.open_process(
        bounded(command, bounds), stdin=subprocess.DEVNULL, env=env, cwd=folder, start_new_session=True
    )
    try:
        with anyio.fail_after(bounds.seconds):
            return await _finish(process, bounds)
    except TimeoutError:
        raise Exceeded(f"took longer than {bounds.seconds:g} s") from None
    finally:
        end(process)
        with anyio.CancelScope(shield=True):
            await process.wait()
            await process.aclose()


async def _finish(process: Process, bounds: Bounds) -> Finished:
    stdout, stderr = bytearray(), bytearray()

    async def read(stream: ByteReceiveStream | None, into: bytearray, most: int) -> None:
        if stream is not None:
            async for data in stream:
                into += data[: max(0, most + 1 - len(into))]
                if into is stdout and len(into) > most:
                    end(process)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, process.stdout, stdout, bounds.output)
        tasks.start_soon(read, process.stderr, stderr, _STDERR)
    code = await process.wait()
    if len(stdout) > bounds.output:
        raise Exceeded(f"gave more than {bounds.output} bytes")
    return Finished(code, bytes(stdout), bytes(stderr))


def end(process: Process) -> None:
    """End the program and what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
