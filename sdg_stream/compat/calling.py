"""Asynchronous work as a plain call: in an event loop of its own, in a thread of its own.

So it works from everywhere: from a script, from another thread, and from code that an event loop runs, such
as a notebook's. Ctrl-C stops it as it stops the command line.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

from anyio.from_thread import start_blocking_portal

from ..errors import GenerateException, SdgStreamError

__all__ = ["as_generate_exception", "run_to_end"]

T = TypeVar("T")

_LOOK = 0.2  # seconds

_STOPPING = (
    "stopping: calls under way get their grace, and what is settled is kept; the same call goes on from"
    " there. A second Ctrl-C does not wait"
)


def run_to_end(work: Callable[[], Awaitable[T]], warn: Callable[[str], None]) -> T:
    """Do some work, and give what it gives.

    Args:
        work: called in the event loop.
        warn: told in words that Ctrl-C was heard.

    Raises:
        KeyboardInterrupt: by Ctrl-C, once the work has wound up; by a second one at once.
        Exception: what the work raised.
    """
    options = {"use_uvloop": sys.platform != "win32" and find_spec("uvloop") is not None}
    with _heard_here(), start_blocking_portal(backend_options=options, name="sdg_stream") as portal:
        try:
            future = portal.start_task_soon(work)
            while not wait([future], timeout=_LOOK).done:
                pass  # a signal that another thread got, or on Windows any, is heard when this one wakes up
            return future.result()
        except KeyboardInterrupt:
            warn(_STOPPING)
            raise  # the portal cancels the work, and waits for its end


@contextmanager
def as_generate_exception() -> Iterator[None]:
    """Give errors for people the name that callers of upstream's functions expect."""
    try:
        yield
    except GenerateException:
        raise
    except SdgStreamError as error:
        raised = GenerateException(str(error))
        raised.exit_code = error.exit_code
        for note in getattr(error, "__notes__", ()):
            raised.add_note(note)
        raise raised from error


@contextmanager
def _heard_here() -> Iterator[None]:
    """Have Ctrl-C interrupt this call, also where an event loop of the caller's listens to it.

    That loop stands still until the call has ended, and would hear of it only then.
    """
    before = signal.getsignal(signal.SIGINT)
    mine = threading.current_thread() is threading.main_thread() and _in_a_loop() and callable(before)
    if mine:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
