"""SIGINT, SIGTERM and SIGHUP: the first stops the work cleanly, a second one leaves at once.

A second SIGHUP does not: when a terminal goes away, both the system and the shell may send one, and nobody is
impatient. What is ignored when the program starts stays so: that is what ``nohup`` is for.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import TaskStatus

__all__ = ["Stopped", "run_until_signal"]

T = TypeVar("T")

_SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter while others want it; the usual 5 ms add up.

Writing a batch takes it a dozen times. Beside a thread that cuts a document, or makes training rows, with the
journals of 30 leaf nodes in a queue for it, batches then came to the disk a second late.
"""

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


class Stopped(Exception):
    """The work was stopped by a signal and has ended cleanly."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def run_until_signal(work: Callable[[], Awaitable[T]], told: Callable[[str], None]) -> T:
    """Run ``work`` on an event loop of its own; ``told`` is called with words when a signal comes.

    Raises:
        Stopped: a signal ended the work.
        KeyboardInterrupt: SIGINT where loops cannot listen to signals (Windows).
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    return anyio.run(_supervise, work, told, backend_options={"use_uvloop": _has_uvloop()})


def _has_uvloop() -> bool:
    if sys.platform == "win32":
        return False
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


async def _supervise(work: Callable[[], Awaitable[T]], told: Callable[[str], None]) -> T:
    caught: list[signal.Signals] = []
    results: list[T] = []
    try:
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()
            if sys.platform != "win32":
                await tasks.start(_listen, scope, caught, told)
            with scope:
                results.append(await work())
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = _leaf(group)
        raise error from error.__cause__  # not from the group, which only wraps it
    if not results:
        raise Stopped(caught[0])
    return results[0]


async def _listen(
    scope: anyio.CancelScope,
    caught: list[signal.Signals],
    told: Callable[[str], None],
    *,
    task_status: TaskStatus[None],
) -> None:
    """Cancel ``scope`` on the first signal; on the second there is nothing left to wait for."""
    with anyio.open_signal_receiver(*_heeded()) as signals:
        task_status.started()
        async for number in signals:
            caught.append(number)
            if len(caught) == 1:
                told(f"{number.name}: stopping; a second one leaves at once")
                scope.cancel()
            elif number is not _HANGUP:
                os._exit(128 + number)


def _heeded() -> list[signal.Signals]:
    """The signals to listen to: those that were not ignored from the start."""
    numbers = [signal.SIGINT, signal.SIGTERM, *([_HANGUP] if _HANGUP else [])]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception that a task group wrapped."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
