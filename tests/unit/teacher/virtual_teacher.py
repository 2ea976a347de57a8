"""A teacher and its client on a clock of their own: what a controller of slots does to throughput.

A discrete-event simulation: a first-come server with so many slots and lognormal service times, and a client
that always has more to ask and obeys the controller. Nothing waits for real time; the same seed gives the
same run.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from functools import partial

from sdg_stream.teacher.controller import Controller
from sdg_stream.teacher.metrics import ServerMetrics

__all__ = ["Outcome", "Policy", "VirtualServer", "bucket", "hard_cap", "scattered", "simulate"]

REJECT_SECONDS = 0.002


class VirtualServer:
    """``slots`` sequences at once, the rest waits in line."""

    def __init__(self, slots: int, *, mean: float = 0.2, sigma: float = 0.8) -> None:
        self.slots = slots
        self.mean = mean
        self.sigma = sigma
        self.running = 0
        self.queue: deque[Callable[[], None]] = deque()
        self.kv = 0.0
        self.preemptions = 0

    def draw(self, dice: random.Random) -> float:
        """One service time in seconds."""
        return dice.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma)

    def metrics(self) -> ServerMetrics:
        """What the server says of itself."""
        return ServerMetrics(
            running=self.running,
            waiting=len(self.queue),
            kv_usage=self.kv,
            preemptions=self.preemptions,
        )


Policy = Callable[[float, VirtualServer, random.Random], float | bool | None]
"""Whether a request that arrives now is refused: False, or what Retry-After says (None for nothing)."""


def scattered(share: float) -> Policy:
    """So many are refused, whatever the load."""
    return lambda _now, _server, dice: None if dice.random() < share else False


def hard_cap(slots: int) -> Policy:
    """Refused while so many are in flight."""
    return lambda _now, server, _dice: None if server.running + len(server.queue) >= slots else False


def bucket(per_second: float, burst: float = 5.0, retry_after: float | None = None) -> Policy:
    """So many a second are let in."""
    level, last = burst, 0.0

    def refuse(now: float, _server: VirtualServer, _dice: random.Random) -> float | bool | None:
        nonlocal level, last
        level = min(burst, level + (now - last) * per_second)
        last = now
        if level < 1:
            return retry_after
        level -= 1
        return False

    return refuse


class Outcome:
    """What a run gave: when calls were answered, and the limit over time."""

    def __init__(self) -> None:
        self.answered: list[float] = []
        self.attempts = 0
        self.limits: list[tuple[float, int]] = []

    def rate(self, since: float, until: float) -> float:
        """Calls answered a second."""
        return sum(since <= at < until for at in self.answered) / (until - since)

    def mean_limit(self, since: float) -> float:
        """The limit's mean from a moment on."""
        chosen = [limit for at, limit in self.limits if at >= since]
        return sum(chosen) / len(chosen)


class _Call:
    __slots__ = ("attempt", "service", "started")

    def __init__(self, service: float) -> None:
        self.service = service
        self.attempt = 0
        self.started = 0.0


def tokens_like_time(service: float, _dice: random.Random) -> int:
    """Replies that took longer were longer."""
    return 1 + round(service * 500)


class _Client:
    """A client that always has more to ask, and the clock that it lives on."""

    def __init__(
        self, controller: Controller, server: VirtualServer, seed: int, policy: Policy | None, fail: float
    ) -> None:
        self.controller = controller
        self.server = server
        self.dice = random.Random(seed)
        self.policy = policy
        self.fail = fail
        self.open_calls: int | None = None
        self.tokens: Callable[[float, random.Random], int] = tokens_like_time
        self.outcome = Outcome()
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._in_use = 0
        self._pausing = 0
        self._ready: deque[_Call] = deque()

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        while self._events and self._events[0][0] <= seconds:
            self.now, _number, action = heapq.heappop(self._events)
            action()

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Do something after a while."""
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, action))

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something on a beat."""
        action()
        self.later(seconds, lambda: self.every(seconds, action))

    def look(self) -> None:
        """Read the server's metrics."""
        self.controller.observed(self.now, self.server.metrics(), own=self._in_use)
        self.pump()

    def sample(self) -> None:
        """Note the limit."""
        self.outcome.limits.append((self.now, self.controller.limit))

    def pump(self) -> None:
        """Use the free slots."""
        while self._in_use < self.controller.limit:
            most = self.open_calls or 2 * self.controller.limit + 16
            if self._ready:
                call = self._ready.popleft()
            elif self._in_use + self._pausing < most:
                call = _Call(self.server.draw(self.dice))
            else:
                return
            self._send(call)

    def _send(self, call: _Call) -> None:
        self._in_use += 1
        call.attempt += 1
        call.started = self.now
        self.outcome.attempts += 1
        refused = self.policy(self.now, self.server, self.dice) if self.policy else False
        if refused is not False:
            self.later(REJECT_SECONDS, partial(self._throttle, call, refused))
        elif self.dice.random() < self.fail:
            self.later(REJECT_SECONDS, partial(self._fail, call))
        elif self.server.running < self.server.slots:
            self._serve(call)
        else:
            self.server.queue.append(partial(self._serve, call))

    def _serve(self, call: _Call) -> None:
        self.server.running += 1
        self.later(call.service, partial(self._finish, call))

    def _finish(self, call: _Call) -> None:
        self.server.running -= 1
        if self.server.queue:
            self.server.queue.popleft()()
        self.outcome.answered.append(self.now)
        self.controller.completed(
            self.now,
            choices=1,
            tokens=self.tokens(call.service, self.dice),
            seconds=self.now - call.started,
            saturated=self._in_use >= self.controller.limit,
        )
        self._in_use -= 1
        self.pump()

    def _throttle(self, call: _Call, asked: float | None) -> None:
        self.controller.throttled(self.now, asked)
        self._again(call, asked or 0.0)

    def _fail(self, call: _Call) -> None:
        self.controller.failed(self.now)
        self._again(call, 0.0)

    def _again(self, call: _Call, asked: float) -> None:
        """A pause without a slot, then the call waits for its next attempt."""
        self._in_use -= 1
        self._pausing += 1
        pause = min(30.0, 0.5 * 2 ** (call.attempt - 1)) * (1 + self.dice.random()) / 2
        self.later(asked + pause, partial(self._back, call))
        self.pump()

    def _back(self, call: _Call) -> None:
        self._pausing -= 1
        self._ready.append(call)
        self.pump()


def simulate(
    controller: Controller,
    server: VirtualServer,
    seconds: float,
    *,
    seed: int = 0,
    policy: Policy | None = None,
    poll: float | None = None,
    fail: float = 0.0,
    open_calls: int | None = None,
    tokens: Callable[[float, random.Random], int] = tokens_like_time,
) -> Outcome:
    """Run a client against a server from a cold start.

    Args:
        controller: decides the client's limit.
        server: what is asked.
        seconds: how long.
        seed: of service times, faults and pauses.
        policy: which requests are refused with a 429.
        poll: seconds between two looks at the server's metrics; None for a server without.
        fail: share of requests that are answered with a 500.
        open_calls: calls that there are at most at a time; None for twice the limit and 16, as in a run.
        tokens: of a reply, from its service time.
    """
    client = _Client(controller, server, seed, policy, fail)
    client.open_calls = open_calls
    client.tokens = tokens
    client.every(0.1, client.sample)
    if poll is not None:
        client.later(poll, lambda: client.every(poll, client.look))
    client.pump()
    client.run(seconds)
    return client.outcome
