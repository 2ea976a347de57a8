"""Waiting for a server that is starting: models take minutes to load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from ..abc import HttpReply
from ..errors import AttemptError, TeacherUnusable
from ..events import EventHook, Notice
from .wire import failure

__all__ = ["PROBE_SECONDS", "Patience", "first_reply", "not_ready"]

PROBE_SECONDS = 60.0
FIRST_PAUSE = 0.1  # seconds; grows by half with each look
LONGEST_PAUSE = 2.0
NOTICE_SECONDS = 5.0
_GRACE_LOOKS = 3  # a passing fault is no reason to give a server up, even without waiting


class Patience:
    """When to look again at a server that is not ready, and when to say so. Times are seconds.

    Args:
        url: of the server, for the words.
        seconds: how long to wait in all.
        now: when the waiting begins.
    """

    def __init__(self, url: str, seconds: float, now: float) -> None:
        self._url = url
        self._seconds = seconds
        self._begun = now
        self._told: float | None = None
        self._pause = FIRST_PAUSE
        self._looks = 0

    def next(self, words: str, now: float, *, answered: bool) -> tuple[float | None, str]:
        """After a look in vain: the pause before the next one, None to give up; what to tell, if anything.

        Args:
            words: why the server is not ready.
            now: the time.
            answered: whether something answered, so that it is worth a second look in any case.
        """
        self._looks += 1
        waited = now - self._begun
        left = self._seconds - waited
        pause = min(self._pause, LONGEST_PAUSE)
        self._pause *= 1.5
        if left <= 0:
            return (pause if answered and self._looks < _GRACE_LOOKS else None), ""
        told = ""
        if self._told is None or now - self._told >= NOTICE_SECONDS:
            told = f"waiting for {self._url}: {words} ({waited:.0f} of {self._seconds:g} s)"
            self._told = now
        return min(pause, left), told


def not_ready(reply: HttpReply) -> bool:
    """Whether a reply says "later": busy, failing, or still loading its model."""
    return reply.status in {425, 429} or reply.status >= 500


async def first_reply(
    ask: Callable[[float], Awaitable[HttpReply]],
    url: str,
    wait_ready: float,
    hook: EventHook | None,
    secrets: Sequence[str] = (),
) -> HttpReply:
    """The first reply of a server that is ready.

    Args:
        ask: makes one small request within so many seconds.
        url: of the server, for the words.
        wait_ready: seconds to wait while it refuses connections or says "later".
        hook: told every few seconds what is waited for.
        secrets: not to be repeated from the server's words.

    Raises:
        TeacherUnusable: it is not ready in time, or cannot be used at all.
    """
    begun = anyio.current_time()
    patience = Patience(url, wait_ready, begun)
    while True:
        left = wait_ready - (anyio.current_time() - begun)
        try:
            reply = await ask(min(PROBE_SECONDS, max(left, PROBE_SECONDS / 2)))
            if not not_ready(reply):
                return reply
            words, answered = failure(reply, secrets).message, True
        except AttemptError as error:
            words, answered = error.message, False
        pause, told = patience.next(words, anyio.current_time(), answered=answered)
        if told and hook is not None:
            hook(Notice(code="waiting", message=told))
        if pause is None:
            raise TeacherUnusable(_given_up(url, words, wait_ready, answered=answered))
        await anyio.sleep(pause)


def _given_up(url: str, words: str, wait_ready: float, *, answered: bool) -> str:
    waited = f" after {wait_ready:g} s" if wait_ready > 0 else ""
    if answered:
        return (
            f"{url}/models answered {words}{waited}. Look at the server's log, or wait longer: --wait-ready"
        )
    return (
        f"no teacher at {url}{waited}: {words}. Start a server there, name another with --endpoint-url, "
        "or try --simulate"
    )
