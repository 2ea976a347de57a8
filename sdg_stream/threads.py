"""Blocking work in a thread that is never left alone: it is done before whoever wanted it goes on.

Shields hold off cancellation, but not that of an event loop that is being closed: it cancels every task
through all of them. A thread that is still writing then must not meet a closed database, or another run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
from anyio import to_thread

__all__ = ["Work", "in_thread"]

T = TypeVar("T")


class Work(Generic[T]):
    """A piece of work that is done once, by whoever comes first; who comes later waits for it.

    Attributes:
        done: it was done, without an error.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self.done = False
        self._work = work
        self._lock = threading.Lock()
        self._begun = False
        self._results: list[T] = []

    async def in_thread(self) -> T:
        """Do it in a worker thread; it has come to its end when this has, also by cancellation.

        Raises:
            Exception: what the work raised.
        """
        try:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._once)
        except anyio.get_cancelled_exc_class():
            self._once()
            raise
        return self._results[0]

    def _once(self) -> None:
        with self._lock:
            if not self._begun:
                self._begun = True
                self._results.append(self._work())
                self.done = True


async def in_thread(work: Callable[[], T]) -> T:
    """Do some work in a worker thread; see :class:`Work`."""
    return await Work(work).in_thread()
