"""The circuit breaker: when a server is gone, everybody waits and one call at a time asks whether it is back.

It opens when the connection is refused, or when so many different calls have failed without any answer in
between (one call that fails again and again is that call's own trouble). Failures of an outage cost no call
any of its attempts, those that told of it included. What ends an outage is any answer; what ends the run is
an outage, or a time in which every call was told "less", longer than ``max_outage``.
"""

from __future__ import annotations

import errno
import random
import socket
import time
from collections.abc import Callable

import anyio

from ..errors import AttemptError, ConnectFailed, RateLimited, RequestRefused
from .windows import Share

__all__ = ["Attempt", "Breaker", "never_reached"]

SELDOM = 0.25  # share of attempts

_UNREACHED = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}


class Attempt:
    """One attempt under way, or over.

    Attributes:
        call: what tells the calls apart.
        probe: whether it is the one call that asks if the server is back.
        started: seconds on the breaker's clock.
        charged: whether it counts against its call's attempts. It may become False later, when the failures
            turn out to be the beginning of an outage: count when the count is needed.
    """

    __slots__ = ("call", "charged", "probe", "started")

    def __init__(self, call: object, started: float, probe: bool) -> None:
        self.call = call
        self.started = started
        self.probe = probe
        self.charged = False


class Breaker:
    """Lets calls pass, or one at a time.

    Args:
        max_outage: seconds without any answer after which the teacher is unusable.
        after: so many calls failing in a row open it.
        first_probe: seconds until the first probe; it doubles up to ``longest_probe``.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_outage: float = 120.0,
        after: int = 8,
        first_probe: float = 0.5,
        longest_probe: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_outage = max_outage
        self.outages = 0
        self.outage_seconds = 0.0
        self._after = after
        self._first_probe = first_probe
        self._longest_probe = longest_probe
        self._clock = clock
        self._open_since: float | None = None
        self._silent_since: float | None = None
        self._interval = first_probe
        self._probe_at = 0.0
        self._probing = False
        self._pause_until = 0.0
        self._told_less = Share(30, first=1.0)
        self._streak: list[Attempt] = []
        self._running: dict[Attempt, None] = {}  # in order of their starts
        self._changed = anyio.Event()

    def another(self) -> Breaker:
        """A breaker with the same settings, for other endpoints."""
        return Breaker(
            max_outage=self.max_outage,
            after=self._after,
            first_probe=self._first_probe,
            longest_probe=self._longest_probe,
            clock=self._clock,
        )

    @property
    def is_open(self) -> bool:
        """Whether the server is taken to be gone."""
        return self._open_since is not None

    @property
    def blocked(self) -> bool:
        """Whether a call has to wait now."""
        return self.is_open or self._clock() < self._pause_until

    @property
    def seldom_less(self) -> bool:
        """Whether few of the latest attempts were told "less": one that is has had bad luck."""
        return self._told_less.value <= SELDOM

    async def passage(self) -> bool:
        """Wait until a call may be sent. True makes it the probe: send it at once, whatever the slots."""
        while True:
            now = self._clock()
            if now < self._pause_until:
                await anyio.sleep(self._pause_until - now)
            elif not self.is_open:
                return False
            elif self._probing:
                await self._changed.wait()
            elif await self._wait_to_probe():
                return True

    async def _wait_to_probe(self) -> bool:
        """Be the one who asks next; False when the server came back meanwhile."""
        self._probing = True
        try:
            with anyio.move_on_after(max(0.0, self._probe_at - self._clock())):
                while self.is_open:
                    await self._changed.wait()
        except BaseException:
            self._end_probe()
            raise
        if not self.is_open:
            self._end_probe()
        return self.is_open

    def pause(self, seconds: float) -> None:
        """All senders wait: a server asked for it. Half of a second more is drawn, so that they spread."""
        self._pause_until = max(self._pause_until, self._clock() + seconds + random.random() / 2)

    # ------------------------------------------------------------ attempts

    def begin(self, call: object, *, probe: bool = False) -> Attempt:
        """An attempt is sent; :meth:`end` it in any case, after the outcome was told, if there was one."""
        attempt = Attempt(call, self._clock(), probe)
        self._running[attempt] = None
        return attempt

    def succeeded(self, attempt: Attempt) -> bool:
        """An answer came, be it a refusal; returns whether that ended an outage."""
        del attempt
        self._told_less.add(False)
        self._streak.clear()
        self._silent_since = None
        return self._close()

    def failed(self, attempt: Attempt, error: AttemptError, *, elsewhere: bool = False) -> str:
        """The attempt failed; sets ``attempt.charged``. Returns why the teacher is unusable, or nothing.

        ``elsewhere`` says that other replicas are up: then one that refuses connections is no outage.
        """
        now = self._clock()
        if isinstance(error, RequestRefused):
            attempt.charged = True
            self.succeeded(attempt)
            return ""
        if self._silent_since is None:
            self._silent_since = now
        if isinstance(error, RateLimited):
            self._told_less.add(True)
        else:
            self._count(attempt, error, now, elsewhere)
        return self._verdict(error, now)

    def end(self, attempt: Attempt) -> None:
        """The attempt is over, with an outcome or without."""
        self._running.pop(attempt, None)
        if attempt.probe:
            attempt.probe = False
            self._end_probe()

    # ------------------------------------------------------------ opening and closing

    def _count(self, attempt: Attempt, error: AttemptError, now: float, elsewhere: bool) -> None:
        if isinstance(error, ConnectFailed) and error.begun and not self.is_open:
            attempt.charged = True  # the server is up, or it would not have begun to reply
            return
        refused = isinstance(error, ConnectFailed) and never_reached(error)
        attempt.charged = not (self.is_open or refused)
        if self.is_open:
            if attempt.probe:
                self._interval = min(self._longest_probe, 2 * self._interval)
                self._probe_at = now + self._interval
            return
        self._streak.append(attempt)
        alone = refused and not elsewhere
        if alone or len({id(one.call) for one in self._streak}) >= self._after:
            self._open(now)
        elif len(self._streak) > 100 * self._after:
            del self._streak[: self._after]

    def _open(self, now: float) -> None:
        for attempt in self._streak:
            attempt.charged = False
        self._streak.clear()
        self.outages += 1
        self._open_since = now
        self._interval = self._first_probe
        self._probe_at = now + self._interval

    def _close(self) -> bool:
        if self._open_since is None:
            return False
        self.outage_seconds += self._clock() - self._open_since
        self._open_since = None
        self._wake()
        return True

    def _end_probe(self) -> None:
        self._probing = False
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _verdict(self, error: AttemptError, now: float) -> str:
        """Why to give up: nothing was answered for too long, and nothing from before is still under way."""
        since = self._silent_since
        if since is None or now - since < self.max_outage:
            return ""
        oldest = next(iter(self._running), None)
        if oldest is not None and oldest.started < since:
            return ""
        return f"no answer for {now - since:.0f} s; the last attempt ended with: {error.message}"


def never_reached(error: BaseException) -> bool:
    """Whether there was no server to talk to: refused, unreachable, or a name that nobody knows.

    Read off the exception that a backend raised its own from.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and cause.errno in _UNREACHED):
            return True
        cause = cause.__cause__
    return False
