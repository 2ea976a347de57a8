"""Second attempts for stragglers: when, how many, and which answer counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from sdg_stream.abc import CallShape, Request
from sdg_stream.errors import AttemptError, ConnectFailed, ServerFailed
from sdg_stream.teacher.hedging import ENOUGH, FACTOR, Hedging, hedged

pytestmark = pytest.mark.anyio

SHAPE = CallShape.make("completions", {"model": "m"})


def request(depth: int = 0) -> Request:
    """A request of the block at ``depth``."""
    return Request(SHAPE, "prompt", depth=depth)


def test_nothing_is_a_straggler_before_enough_is_known() -> None:
    """Patience is twice the 95th percentile of the block's own recent attempts."""
    hedging = Hedging()
    for number in range(ENOUGH):
        assert hedging.patience(request()) is None
        hedging.learn(request(), 1.0 if number else 50.0)
    assert hedging.patience(request()) == FACTOR * 1.0
    assert hedging.patience(request(depth=1)) is None


def test_patience_follows_the_last_attempts() -> None:
    """What was long ago is forgotten."""
    hedging = Hedging()
    for seconds in (1.0, 4.0):
        for _ in range(200):
            hedging.learn(request(), seconds)
    assert hedging.patience(request()) == FACTOR * 4.0


def test_second_attempts_keep_to_their_share() -> None:
    """At most one in twenty."""
    hedging = Hedging()
    for _ in range(200):
        hedging.patience(request())
        if hedging.allowed():
            hedging.hedges += 1
    assert hedging.hedges == 10


class Attempt:
    """An attempt that waits to be told how it ends."""

    def __init__(self) -> None:
        self.end = anyio.Event()
        self.outcome: str | AttemptError = ""
        self.begun = False
        self.left = False

    async def run(self) -> str:
        """The attempt."""
        self.begun = True
        try:
            await self.end.wait()
        except anyio.get_cancelled_exc_class():
            self.left = True
            raise
        if isinstance(self.outcome, AttemptError):
            raise self.outcome
        return self.outcome

    def ends(self, outcome: str | AttemptError) -> None:
        """It is over."""
        self.outcome = outcome
        self.end.set()


class Race:
    """Two attempts side by side: no patience at all unless ``patience`` says so."""

    def __init__(self, patience: float = 0.0, *, room: bool = True) -> None:
        self.first, self.second = Attempt(), Attempt()
        self.patience = patience
        self.room = room
        self.answer = ""
        self.error: AttemptError | None = None

    def _second(self) -> Callable[[], Awaitable[str]] | None:
        return self.second.run if self.room else None

    async def run(self) -> None:
        """To its end."""
        try:
            self.answer = await hedged(self.first.run, self.patience, self._second)
        except AttemptError as error:
            self.error = error


async def test_the_first_answer_counts_and_the_other_attempt_is_cancelled() -> None:
    """Whichever of the two it is."""
    for winner, loser in (("first", "second"), ("second", "first")):
        race = Race()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(race.run)
            await anyio.wait_all_tasks_blocked()
            getattr(race, winner).ends(winner)
        assert race.answer == winner
        assert getattr(race, loser).left
        assert not getattr(race, winner).left


async def test_a_quick_attempt_stays_alone() -> None:
    """Within its patience no second attempt begins; an early failure is the retry loop's business."""
    for outcome in ("fine", ConnectFailed("reset")):
        race = Race(patience=60.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(race.run)
            await anyio.wait_all_tasks_blocked()
            race.first.ends(outcome)
        assert not race.second.begun
        assert outcome in {race.answer, race.error}


async def test_without_room_elsewhere_the_first_goes_on() -> None:
    """Nowhere to send a second attempt: the first one is waited for."""
    race = Race(room=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.run)
        await anyio.wait_all_tasks_blocked()
        race.first.ends("late")
    assert race.answer == "late"


async def test_a_failure_leaves_the_hope_to_the_other_attempt() -> None:
    """One of two attempts fails: the answer of the other one counts."""
    race = Race()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.run)
        await anyio.wait_all_tasks_blocked()
        race.first.ends(ServerFailed("broken", status=500))
        await anyio.wait_all_tasks_blocked()
        race.second.ends("fine")
    assert race.answer == "fine"


async def test_when_both_fail_the_first_failure_is_told() -> None:
    """The retry loop decides by it."""
    race = Race()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.run)
        await anyio.wait_all_tasks_blocked()
        race.second.ends(ConnectFailed("reset"))
        await anyio.wait_all_tasks_blocked()
        race.first.ends(ServerFailed("broken", status=500))
    assert isinstance(race.error, ConnectFailed)


async def test_cancelling_the_call_cancels_both_attempts() -> None:
    """A run that stops leaves nothing behind."""
    race = Race()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert race.first.left
    assert race.second.left


async def test_a_bug_surfaces_as_itself() -> None:
    """Not as a group of exceptions."""

    async def broken() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await hedged(broken, 60.0, lambda: None)
