"""Other programs in their bounds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

from sdg_stream.taxonomy.processes import NOT_FOUND, Bounds, Exceeded, Finished, run_bounded

pytestmark = pytest.mark.anyio

BOUNDS = Bounds(seconds=20, memory=256 * 1024**2, file_size=1000, output=1000)
ENVIRONMENT = {"PATH": os.environ["PATH"]}


async def python(code: str, folder: Path, bounds: Bounds = BOUNDS) -> Finished:
    """Run a line of Python."""
    return await run_bounded([sys.executable, "-I", "-S", "-c", code], bounds, env=ENVIRONMENT, folder=folder)


async def test_what_a_program_says_comes_back(tmp_path: Path) -> None:
    """Its output, its errors and its exit code; it runs in the folder and sees the environment given."""
    done = await python("import os, sys; print(os.getcwd(), len(os.environ)); sys.exit('no')", tmp_path)
    assert done.code == 1
    assert done.stdout.decode().startswith(str(tmp_path))
    assert done.stderr == b"no\n"


async def test_memory_is_bounded(tmp_path: Path) -> None:
    """Asking for more fails in the program."""
    done = await python("bytearray(10**9)", tmp_path)
    assert done.code == 1
    assert b"MemoryError" in done.stderr


async def test_files_are_bounded(tmp_path: Path) -> None:
    """A file does not become larger than it may."""
    done = await python(
        "open('x', 'wb', buffering=0).write(bytes(900)); open('y', 'wb').write(bytes(9000))", tmp_path
    )
    assert done.code != 0
    assert (tmp_path / "x").stat().st_size == 900
    assert (tmp_path / "y").stat().st_size <= 1000


async def test_output_is_bounded_and_errors_are_cut(tmp_path: Path) -> None:
    """A program that does not stop talking is ended; of its errors the beginning is kept."""
    with pytest.raises(Exceeded, match="gave more than 1000 bytes"):
        await python("while True: print('x' * 1000)", tmp_path)
    done = await python("import sys; sys.stderr.write('x' * 1000000)", tmp_path)
    assert 0 < len(done.stderr) < 100_000


async def test_time_is_bounded_for_all_that_was_started(tmp_path: Path) -> None:
    """What a program has started ends with it."""
    os.mkfifo(tmp_path / "pipe")
    held = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    code = "import subprocess; subprocess.run(['sh', '-c', 'exec 3>pipe; echo x >&3; sleep 1000'])"
    with pytest.raises(Exceeded, match=r"took longer than 0\.5 s"):
        await python(code, tmp_path, Bounds(seconds=0.5, memory=2**30, file_size=1000, output=10))
    with anyio.fail_after(5):
        await anyio.wait_readable(held)
        assert await anyio.to_thread.run_sync(os.read, held, 10) == b"x\n"
        await anyio.wait_readable(held)
        assert os.read(held, 10) == b""  # nobody can write any more
    os.close(held)


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """Has the exit code that shells have for it."""
    done = await run_bounded(["no-such-program"], BOUNDS, env=ENVIRONMENT, folder=tmp_path)
    assert done.code == NOT_FOUND
