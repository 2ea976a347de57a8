"""The circuit breaker: what opens it, who pays, who probes, and when it is over."""

from __future__ import annotations

import socket

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sdg_stream.errors import (
    AttemptError,
    AttemptTimeout,
    BadReply,
    ConnectFailed,
    RateLimited,
    RequestRefused,
    ServerFailed,
)
from sdg_stream.teacher.breaker import Attempt, Breaker, never_reached


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(cause: OSError | None = None) -> ConnectFailed:
    """A connection that nobody took."""
    error = ConnectFailed("cannot connect")
    error.__cause__ = cause or ConnectionRefusedError(111, "Connection refused")
    return error


def lose(breaker: Breaker, call: object, error: AttemptError, *, elsewhere: bool = False) -> Attempt:
    """One attempt that fails."""
    attempt = breaker.begin(call)
    breaker.failed(attempt, error, elsewhere=elsewhere)
    breaker.end(attempt)
    return attempt


def win(breaker: Breaker, call: object = "won") -> bool:
    """One attempt that is answered."""
    attempt = breaker.begin(call)
    ended = breaker.succeeded(attempt)
    breaker.end(attempt)
    return ended


@pytest.mark.parametrize(
    "error", [ConnectFailed("reset"), AttemptTimeout("slow"), ServerFailed("x", status=500), BadReply("x")]
)
def test_many_calls_failing_in_a_row_open_it_and_none_of_them_pays(error: AttemptError) -> None:
    """The failures that told of the outage are part of it."""
    breaker = Breaker(after=4)
    attempts = [lose(breaker, object(), error) for _ in range(3)]
    assert [attempt.charged for attempt in attempts] == [True] * 3
    attempts.append(lose(breaker, object(), error))
    assert breaker.is_open
    attempts.append(lose(breaker, object(), error))
    assert [attempt.charged for attempt in attempts] == [False] * 5


def test_an_answer_in_between_keeps_it_closed() -> None:
    """Scattered failures are each call's own."""
    breaker = Breaker(after=3)
    attempts = []
    for _ in range(10):
        attempts += [lose(breaker, object(), ServerFailed("x", status=500)) for _ in range(2)]
        assert not win(breaker)
    assert not breaker.is_open
    assert all(attempt.charged for attempt in attempts)


def test_one_call_that_keeps_failing_is_not_an_outage() -> None:
    """The last call of a run, and its prompt crashes the server each time."""
    breaker = Breaker(after=3)
    call = object()
    assert all(lose(breaker, call, ServerFailed("x", status=500)).charged for _ in range(1000))
    assert not breaker.is_open


def test_a_refused_connection_opens_it_at_once() -> None:
    """There is nobody, and it costs nobody an attempt."""
    breaker = Breaker()
    assert not lose(breaker, "a", refused()).charged
    assert breaker.is_open
    assert breaker.outages == 1


def test_one_replica_that_refuses_is_no_outage() -> None:
    """Others are up: the call goes there, unpaid."""
    breaker = Breaker()
    assert not lose(breaker, "a", refused(), elsewhere=True).charged
    assert not breaker.is_open


def test_a_refused_request_is_an_answer() -> None:
    """A 400 shows that the server lives."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    lose(breaker, "a", refused())
    clock.now += 3
    assert lose(breaker, "b", RequestRefused("no", status=400)).charged
    assert not breaker.is_open
    assert breaker.outage_seconds == 3


def test_being_told_less_is_free_but_not_for_ever() -> None:
    """Sustained 429: no call pays, and after max_outage without an answer it is over."""
    clock = Clock()
    breaker = Breaker(max_outage=60, clock=clock)
    for _ in range(5):
        attempt = breaker.begin("a")
        assert breaker.failed(attempt, RateLimited("HTTP 429: slow down", status=429)) == ""
        breaker.end(attempt)
        assert not attempt.charged
        clock.now += 11
    assert not breaker.is_open
    clock.now += 10
    attempt = breaker.begin("a")
    words = breaker.failed(attempt, RateLimited("HTTP 429: slow down", status=429))
    assert words == "no answer for 65 s; the last attempt ended with: HTTP 429: slow down"


def test_an_answer_starts_the_clock_again() -> None:
    """max_outage counts from the last answer."""
    clock = Clock()
    breaker = Breaker(max_outage=60, clock=clock)
    lose(breaker, "a", RateLimited("x", status=429))
    clock.now += 59
    win(breaker)
    lose(breaker, "a", RateLimited("x", status=429))
    clock.now += 59
    assert breaker.failed(breaker.begin("a"), RateLimited("x", status=429)) == ""


def test_a_long_call_that_is_under_way_keeps_hope() -> None:
    """Its reply may still come: it began before the silence did."""
    clock = Clock()
    breaker = Breaker(max_outage=60, clock=clock)
    long = breaker.begin("long")
    clock.now += 1
    lose(breaker, "a", RateLimited("x", status=429))
    clock.now += 100
    assert breaker.failed(breaker.begin("a"), RateLimited("x", status=429)) == ""
    breaker.end(long)
    assert breaker.failed(breaker.begin("a"), RateLimited("x", status=429)) != ""


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (ConnectionRefusedError(111, "refused"), True),
        (OSError(113, "no route to host"), True),
        (socket.gaierror(-2, "name not known"), True),
        (ConnectionResetError(104, "reset"), False),
        (OSError(24, "too many open files"), False),
    ],
)
def test_what_never_reached_a_server(cause: OSError, expected: bool) -> None:
    """Read off what the backend raised its error from, however deep."""
    middle = RuntimeError("between")
    middle.__cause__ = cause
    error = ConnectFailed("x")
    assert not never_reached(error)
    error.__cause__ = middle
    assert never_reached(error) is expected


# ---------------------------------------------------------------- those who wait


async def turns(count: int = 10) -> None:
    """Let everything that can run do so."""
    for _ in range(count):
        await checkpoint()


@pytest.mark.anyio
async def test_while_it_is_open_one_call_probes_and_the_others_wait() -> None:
    """The answer to the probe lets all of them pass."""
    breaker = Breaker(first_probe=0.01)
    lose(breaker, "a", refused())
    probes: list[object] = []
    passed: list[object] = []

    async def call(name: int) -> None:
        if await breaker.passage():
            probes.append(name)
            attempt = breaker.begin(name, probe=True)
            await turns()
            assert passed == []
            breaker.succeeded(attempt)
            breaker.end(attempt)
        passed.append(name)

    async with anyio.create_task_group() as tasks:
        for name in range(5):
            tasks.start_soon(call, name)
    assert len(probes) == 1
    assert sorted(passed, key=str) == [0, 1, 2, 3, 4]
    assert not breaker.is_open


@pytest.mark.anyio
async def test_probes_come_at_growing_intervals() -> None:
    """Each that fails doubles the pause before the next, up to the longest."""
    clock = Clock()
    breaker = Breaker(first_probe=0.002, longest_probe=0.008, clock=clock)
    lose(breaker, "a", refused())
    pauses = []
    for _ in range(4):
        before = breaker._probe_at
        assert await breaker.passage()
        attempt = breaker.begin("a", probe=True)
        clock.now = before
        breaker.failed(attempt, refused())
        breaker.end(attempt)
        assert not attempt.charged
        pauses.append(breaker._probe_at - before)
    assert pauses == pytest.approx([0.004, 0.008, 0.008, 0.008])


@pytest.mark.anyio
@pytest.mark.parametrize("sent", [False, True])
async def test_a_cancelled_probe_is_taken_over(sent: bool) -> None:
    """Whether it was still waiting or already under way."""
    breaker = Breaker(first_probe=0.01)
    lose(breaker, "a", refused())
    under_way = anyio.Event()

    async def probe() -> None:
        assert await breaker.passage()
        under_way.set()
        attempt = breaker.begin("first", probe=True)
        try:
            await anyio.sleep_forever()
        finally:
            breaker.end(attempt)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(probe)
        await turns()
        if sent:
            await under_way.wait()
        tasks.cancel_scope.cancel()
    assert await breaker.passage()


@pytest.mark.anyio
async def test_a_late_answer_lets_everybody_pass_without_a_probe() -> None:
    """A call from before the outage came through after all."""
    breaker = Breaker(first_probe=60)
    early = breaker.begin("early")
    lose(breaker, "a", refused())
    passed: list[bool] = []

    async def call() -> None:
        passed.append(await breaker.passage())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        tasks.start_soon(call)
        await turns()
        assert passed == []
        assert breaker.succeeded(early)
    assert passed == [False, False]


@pytest.mark.anyio
async def test_a_pause_that_a_server_asked_for_holds_all_senders() -> None:
    """Retry-After: nobody passes before."""
    breaker = Breaker()
    breaker.pause(60)
    with anyio.move_on_after(0.01) as scope:
        await breaker.passage()
    assert scope.cancelled_caught
    assert breaker.blocked
