"""Programs that answer line for line."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import pytest

from sdg_stream.taxonomy.processes import Bounds, Exceeded
from sdg_stream.taxonomy.workers import Ended, Worker, start_worker

pytestmark = pytest.mark.anyio

BOUNDS = Bounds(seconds=20, memory=256 * 1024**2, file_size=0, output=1000)
PROGRAM = """
import os, sys, time
for line in sys.stdin:
    what = line.strip()
    if what == "die": sys.exit(3)
    if what == "hang": time.sleep(1000)
    print("x" * 2000 if what == "much" else f"{what} {os.getpid()}", flush=True)
"""


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    """A program that says what it is asked, and its process id."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM]
    env = {"PATH": os.environ["PATH"]}
    async with aclosing(await start_worker(command, BOUNDS, env=env)) as started:
        yield started


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_one_process_answers_all(worker: Worker) -> None:
    """Line for line, until it is closed."""
    answers = [await worker.ask(word, BOUNDS) for word in (b"a", b"b")]
    words, pids = zip(*(answer.split() for answer in answers), strict=True)
    assert words == (b"a", b"b")
    assert len(set(pids)) == 1
    await worker.aclose()
    assert worker.has_ended
    assert not is_running(int(pids[0]))


@pytest.mark.parametrize(
    ("word", "error", "text"),
    [
        (b"hang", Exceeded, "took longer than 0.3 s"),
        (b"much", Exceeded, "gave more than 1000 bytes"),
        (b"die", Ended, "^$"),
    ],
)
async def test_what_goes_wrong_ends_it(
    word: bytes, error: type[Exception], text: str, worker: Worker
) -> None:
    """Since what it would say next is not known; asking once more tells the same."""
    pid = int((await worker.ask(b"a", BOUNDS)).split()[1])
    seconds = 0.3 if word == b"hang" else 20
    with pytest.raises(error, match=text):
        await worker.ask(word, Bounds(seconds=seconds, memory=0, file_size=0, output=1000))
    assert worker.has_ended
    assert not is_running(pid)
    with pytest.raises(Ended):
        await worker.ask(b"a", BOUNDS)


async def test_cancellation_ends_it(worker: Worker) -> None:
    """Its answer would be taken for the next one's."""
    pid = int((await worker.ask(b"a", BOUNDS)).split()[1])
    with anyio.move_on_after(0.1) as scope:
        await worker.ask(b"hang", BOUNDS)
    assert scope.cancelled_caught
    assert worker.has_ended
    assert not is_running(pid)
