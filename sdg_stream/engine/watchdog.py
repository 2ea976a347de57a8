"""Notices when something blocks the event loop, and names the block that does.

A thread looks at a heartbeat that the loop keeps; when the heart stops, the thread reads the loop thread's
stack and looks for the innermost block method on it. The hot path pays nothing for this.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import anyio
from anyio.lowlevel import RunVar

from ..abc import Block

__all__ = ["BLOCKED_SECONDS", "watch_loop"]

BEAT = 0.05  # seconds
BLOCKED_SECONDS = 0.25


_Told = Callable[[str, float], None]


async def watch_loop(told: _Told) -> None:
    """Run until cancelled; call ``told(block name, seconds)`` once for each block that blocks the loop.

    ``told`` runs on the event loop, after it is free again. Runs side by side on one loop share one watch,
    and all of them are told.
    """
    while True:
        watch = _current.get(None)
        if watch is None:
            await _keep(_Watch(threading.get_ident()), told)
        else:
            with watch.telling(told):
                await watch.ended.wait()


async def _keep(watch: _Watch, told: _Told) -> None:
    """Keep the heartbeat; when this is cancelled, somebody else who waits takes over."""
    _current.set(watch)
    thread = threading.Thread(target=watch.run, name="sdg-stream-watchdog", daemon=True)
    thread.start()
    try:
        with watch.telling(told):
            while True:
                watch.beat = time.monotonic()
                watch.tell()
                await anyio.sleep(BEAT)
    finally:
        watch.stop.set()
        _current.set(None)
        watch.ended.set()


class _Watch:
    def __init__(self, loop_thread: int) -> None:
        self.loop_thread = loop_thread
        self.beat = time.monotonic()
        self.stop = threading.Event()
        self.ended = anyio.Event()
        self._found: dict[str, float] = {}
        self._hearers: dict[_Told, set[str]] = {}  # with the names that each has been told

    @contextmanager
    def telling(self, told: _Told) -> Iterator[None]:
        """Let somebody hear what is found inside the block."""
        self._hearers[told] = set()
        try:
            yield
        finally:
            del self._hearers[told]

    def run(self) -> None:
        while not self.stop.wait(BEAT):
            late = time.monotonic() - self.beat
            if late > BLOCKED_SECONDS:
                stacks = sys._current_frames()  # noqa: SLF001 - documented
                name = _block_on(stacks.get(self.loop_thread))
                if name is not None:
                    self._found[name] = late

    def tell(self) -> None:
        if not self._found:
            return
        found, self._found = self._found, {}
        for told, known in list(self._hearers.items()):
            for name in found.keys() - known:
                known.add(name)
                told(name, found[name])


_current: RunVar[_Watch | None] = RunVar("sdg_stream_watchdog", None)
"""The watch of the event loop that is running."""


def _block_on(frame: FrameType | None) -> str | None:
    """The name of the innermost block whose method is on the stack."""
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Block) and hasattr(owner, "context"):  # else it is just being made
            return owner.context.name
        frame = frame.f_back
    return None
