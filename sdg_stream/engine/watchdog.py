"""Notices when something blocks the event loop, and names the block that does.

A thread looks at a heartbeat that the loop keeps; when the heart stops, the thread reads the loop thread's
stack and looks for the innermost block method on it. The hot path pays nothing for this.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import anyio

from ..abc import Block

__all__ = ["BLOCKED_SECONDS", "watch_loop"]

BEAT = 0.05  # seconds
BLOCKED_SECONDS = 0.25


async def watch_loop(told: Callable[[str, float], None]) -> None:
    """Run until cancelled; call ``told(block name, seconds)`` once for each block that blocks the loop.

    ``told`` runs on the event loop, after it is free again.
    """
    watch = _Watch(threading.get_ident())
    thread = threading.Thread(target=watch.run, name="sdg-stream-watchdog", daemon=True)
    thread.start()
    try:
        while True:
            watch.beat = time.monotonic()
            for name, seconds in watch.take():
                told(name, seconds)
            await anyio.sleep(BEAT)
    finally:
        watch.stop.set()


class _Watch:
    def __init__(self, loop_thread: int) -> None:
        self.loop_thread = loop_thread
        self.beat = time.monotonic()
        self.stop = threading.Event()
        self._found: dict[str, float] = {}
        self._told: set[str] = set()

    def run(self) -> None:
        while not self.stop.wait(BEAT):
            late = time.monotonic() - self.beat
            if late > BLOCKED_SECONDS:
                stacks = sys._current_frames()  # noqa: SLF001 - documented
                name = _block_on(stacks.get(self.loop_thread))
                if name is not None:
                    self._found[name] = late

    def take(self) -> list[tuple[str, float]]:
        if not self._found:
            return []
        found, self._found = self._found, {}
        fresh = [(name, seconds) for name, seconds in found.items() if name not in self._told]
        self._told.update(found)
        return fresh


def _block_on(frame: FrameType | None) -> str | None:
    """The name of the innermost block whose method is on the stack."""
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Block):
            return owner.context.name
        frame = frame.f_back
    return None
