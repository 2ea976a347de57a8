"""Long tails: ask a second replica when an attempt takes far longer than its like; the first answer counts.

Off unless asked for (``--hedge``): the second request is bought on top of the first. It is made for at most
``SHARE`` of the attempts, and only where another healthy replica has room. (Dean and Barroso, The Tail at
Scale, CACM 56(2), 2013: a hedge behind the 95th percentile adds about 5 % of load and takes most of the
tail away.) Replies of a teacher differ in length by nature, so the wait here is ``FACTOR`` times that
percentile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from ..abc import Request
from ..errors import AttemptError

__all__ = ["Hedging", "hedged"]

FACTOR = 2.0  # times the 95th percentile of recent attempts
PERCENTILE = 0.95
SHARE = 0.05  # of the attempts may have a second one
RECENT = 200  # attempts that the percentile is taken of
ENOUGH = 20  # attempts before which nothing is known
MAX_FAMILIES = 1024

T = TypeVar("T")


class Hedging:
    """How long to wait for an attempt before a second one, and how many second ones there may be.

    Attributes:
        attempts: first attempts that were hedged or could have been.
        hedges: second attempts.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self.hedges = 0
        self._recent: dict[tuple[bytes, int], _Recent] = {}

    def patience(self, request: Request) -> float | None:
        """Seconds after which this attempt is a straggler; None while too little is known. Counts it."""
        self.attempts += 1
        recent = self._recent.get((request.shape.family, request.depth))
        return None if recent is None else recent.patience

    def allowed(self) -> bool:
        """Whether one more second attempt keeps to the share."""
        return self.hedges + 1 <= SHARE * self.attempts

    def learn(self, request: Request, seconds: float) -> None:
        """An attempt was answered after so many seconds; for a hedged one count from its first attempt."""
        place = (request.shape.family, request.depth)
        recent = self._recent.get(place)
        if recent is None:
            if len(self._recent) >= MAX_FAMILIES:
                self._recent.clear()
            recent = self._recent[place] = _Recent()
        recent.learn(seconds)


class _Recent:
    """How long the last attempts of one block took."""

    __slots__ = ("count", "patience", "seconds")

    def __init__(self) -> None:
        self.seconds: deque[float] = deque(maxlen=RECENT)
        self.count = 0
        self.patience: float | None = None

    def learn(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.count += 1
        if self.count % ENOUGH == 0:  # sorting each time would cost more than the call
            ordered = sorted(self.seconds)
            self.patience = FACTOR * ordered[int(PERCENTILE * (len(ordered) - 1))]


class _Race(Generic[T]):
    """What became of the attempts of one call."""

    def __init__(self) -> None:
        self.running = 0
        self.answer: list[T] = []
        self.errors: list[AttemptError] = []
        self.over = anyio.Event()

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> None:
        """One attempt; the first answer ends the race, and so does the last failure."""
        try:
            answer = await attempt()
        except AttemptError as error:
            self.errors.append(error)
        else:
            self.answer.append(answer)
        self.running -= 1
        if self.answer or not self.running:
            self.over.set()


async def hedged(
    first: Callable[[], Awaitable[T]],
    patience: float,
    second: Callable[[], Callable[[], Awaitable[T]] | None],
) -> T:
    """The first good answer of one or two attempts; the other one is cancelled.

    ``second`` is called when ``first`` has run for ``patience`` seconds. It gives the other attempt, or None
    if there is nowhere to send one; what it takes for that (a place at an endpoint), the attempt gives back.
    An attempt that fails early is not hedged: trying again is the retry loop's business.

    Raises:
        AttemptError: every attempt failed; the error is that of the one that failed first.
    """
    race: _Race[T] = _Race()
    try:
        async with anyio.create_task_group() as tasks:
            race.running = 1
            tasks.start_soon(race.run, first)
            with anyio.move_on_after(patience):
                await race.over.wait()
            if not race.over.is_set() and (other := second()) is not None:
                race.running += 1
                tasks.start_soon(race.run, other)
            await race.over.wait()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    if race.answer:
        return race.answer[0]
    raise race.errors[0]
