"""Targets and budgets: what the feed may do, and that it never waits for nobody."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.engine.limits import (
    BUDGETS,
    CANDIDATE_CAP,
    COST_BUDGET,
    FIRST_ROOTS,
    TARGET_REACHED,
    TIME_BUDGET,
    TOKENS_BUDGET,
    Governor,
    Limits,
    RowsPerRoot,
)
from sdg_stream.errors import ConfigError


class World:
    """A run without an engine: roots take a while, cost half at their start, half at their end, give rows."""

    def __init__(self, limits: Limits, rows_of: Callable[[], int], *, seed: int = 1, cost: int = 100) -> None:
        self.dice = random.Random(seed)
        self.rows_of = rows_of
        self.cost = cost
        self.now = 0.0
        self.tokens = 0
        self.most_open = 0
        self.ending: list[tuple[float, int]] = []
        self.governor = Governor(limits, tokens=lambda: (self.tokens, 0), clock=lambda: self.now)

    def run(self, slots: int = 64) -> World:
        """Feed while it is allowed and slots are free; end the next root; until the feed has ended."""
        governor = self.governor
        while (step := governor.decide(self.now, (self.tokens, 0))) != "stop" or self.ending:
            if step == "feed" and len(self.ending) < slots:
                self._open()
            else:
                assert self.ending, "told to wait with nothing in flight"
                self._end_one()
        return self

    def _open(self) -> None:
        self.governor.opened += 1
        self.tokens += self.cost // 2
        heapq.heappush(self.ending, (self.now + self.dice.lognormvariate(0, 0.8), self.governor.opened))
        self.most_open = max(self.most_open, len(self.ending))

    def _end_one(self) -> None:
        self.now, _ = heapq.heappop(self.ending)
        self.tokens += self.cost - self.cost // 2
        rows = self.rows_of()
        self.governor.root_settled(rows)
        self.governor.root_committed(rows)


def governor_of(*, opened: int = 0, **limits: float) -> Governor:
    """A governor whose clock stands at 0, with some roots open."""
    governor = Governor(Limits(**limits), clock=lambda: 0.0)  # type: ignore[arg-type]
    governor.opened = opened
    return governor


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("name", ["target", "max_candidates", "max_tokens_total", "max_cost", "max_time"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_limits_must_be_positive(name: str, value: float) -> None:
    """A limit of nothing is a mistake, and the message names it."""
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: value}, price_in=1.0)  # type: ignore[arg-type]


def test_a_cost_limit_needs_prices() -> None:
    """Without prices nothing would ever cost anything."""
    with pytest.raises(ConfigError, match="needs prices"):
        Limits(max_cost=5.0)
    with pytest.raises(ConfigError, match="0 or more"):
        Limits(max_cost=5.0, price_in=-1.0, price_out=2.0)
    assert Limits(max_cost=5.0, price_out=2.0).cost((10**6, 3 * 10**6)) == 6.0


def test_limits_know_whether_there_are_any() -> None:
    """Prices alone limit nothing; tokens are counted only where a limit needs them."""
    assert not Limits(price_in=1.0)
    assert Limits(target=1)
    assert not Limits(target=1, max_time=3.0).counts_tokens
    assert Limits(max_tokens_total=1).counts_tokens


# ---------------------------------------------------------------- rows per root


def test_expected_rows_start_with_a_guess_and_become_the_mean() -> None:
    """One root already moves the expectation; many settle it within a few percent, from above."""
    rate = RowsPerRoot()
    assert rate.mean == rate.cautious == 10.0
    rate.add(1)
    assert rate.cautious == 2.0
    dice = random.Random(4)
    for _ in range(1000):
        rate.add(int(dice.random() < 0.5))
    assert 0.4 < rate.mean < rate.cautious < 0.6


def test_roots_without_rows_do_not_bring_the_expectation_to_zero() -> None:
    """What was not seen in n roots may come once in n: the feed opens more and more, not all at once."""
    rate = RowsPerRoot()
    for _ in range(10):
        rate.add(0)
    assert rate.mean == 0.0
    assert 0.09 < rate.cautious < 0.11


def test_expected_rows_forget() -> None:
    """When duplicates become frequent, the old rate does not hold the feed back."""
    rate = RowsPerRoot()
    for _ in range(2000):
        rate.add(1)
    for _ in range(1000):
        rate.add(0)
    assert rate.mean < 0.03


# ---------------------------------------------------------------- deciding


def test_a_target_opens_as_many_roots_as_are_expected_to_be_needed() -> None:
    """With 2 rows a root and 8 of 12 there, the third root is refused while two are open."""
    governor = governor_of(target=2000)
    for _ in range(400):
        governor.opened += 1
        governor.root_settled(2)
        governor.root_committed(2)
    opened = 0
    while governor.decide(0.0, (0, 0)) == "feed":
        governor.opened += 1
        opened += 1
    assert 590 <= opened <= 600


def test_one_root_is_always_open_until_the_target_is_reached() -> None:
    """However much a root is expected to give: while rows are missing and nothing is open, one is fed."""
    governor = governor_of(target=1)
    assert governor.decide(0.0, (0, 0)) == "feed"
    governor.opened += 1
    assert governor.decide(0.0, (0, 0)) == "wait"
    governor.root_settled(0)
    governor.root_committed(0)
    assert governor.decide(0.0, (0, 0)) == "feed"


def test_settled_rows_are_awaited_before_more_are_bought() -> None:
    """Rows that wait for their turn in the output count as sure, but only the output reaches the target."""
    governor = governor_of(opened=1, target=3)
    governor.root_settled(3)
    assert governor.decide(0.0, (0, 0)) == "wait"
    assert governor.stopped == ""
    governor.root_committed(3)
    assert governor.decide(0.0, (0, 0)) == "stop"
    assert governor.stopped == TARGET_REACHED


def test_rows_that_cannot_be_written_are_missing_again() -> None:
    """A row that the sink refused was promised and did not come: another root is fed."""
    governor = governor_of(opened=1, target=3)
    governor.root_settled(3)
    governor.root_committed(2, lost=1)
    assert governor.decide(0.0, (0, 0)) == "feed"


@pytest.mark.parametrize(
    ("limits", "now", "tokens", "why"),
    [
        ({"max_candidates": 5}, 0.0, (0, 0), CANDIDATE_CAP),
        ({"max_tokens_total": 100}, 0.0, (60, 40), TOKENS_BUDGET),
        ({"max_cost": 1.0, "price_in": 5.0, "price_out": 10.0}, 0.0, (100_000, 50_000), COST_BUDGET),
        ({"max_time": 60.0}, 60.0, (0, 0), TIME_BUDGET),
    ],
)
def test_each_budget_ends_the_feed_for_good(
    limits: dict[str, float], now: float, tokens: tuple[int, int], why: str
) -> None:
    """Reached is reached, also when the numbers look better later; the reason is told."""
    governor = governor_of(opened=5, **limits)
    assert governor.decide(now, tokens) == "stop"
    assert governor.decide(0.0, (0, 0)) == "stop"
    assert governor.stopped == why
    assert why in BUDGETS


def test_a_target_reached_while_draining_wins_over_the_budget() -> None:
    """The cap ended the feed, but the roots in flight gave what was wanted: that is success."""
    governor = governor_of(opened=2, target=2, max_candidates=2)
    assert governor.decide(0.0, (0, 0)) == "stop"
    assert governor.stopped == CANDIDATE_CAP
    for _ in range(2):
        governor.root_settled(1)
        governor.root_committed(1)
    assert governor.stopped == TARGET_REACHED


def test_a_barrier_and_a_target_exclude_each_other() -> None:
    """No row is finished before the input has ended: said at once. Budgets only compare, and never wait."""
    with pytest.raises(ConfigError, match="waits for all records"):
        Governor(Limits(target=5), steered=False)
    governor = Governor(Limits(max_tokens_total=100), steered=False)
    governor.opened = 10 * FIRST_ROOTS
    assert governor.decide(0.0, (99, 0)) == "feed"
    assert governor.decide(0.0, (100, 0)) == "stop"


# ---------------------------------------------------------------- whole runs


@pytest.mark.parametrize("target", [1, 10, 100, 1000, 5000])
@pytest.mark.parametrize("fan_out", [1, 30])
def test_targets_are_reached_with_little_too_much(target: int, fan_out: int) -> None:
    """Half of all rows pass: a run ends at its target, at most a few roots' rows above it."""
    dice = random.Random(target)
    world = World(Limits(target=target), lambda: sum(dice.random() < 0.5 for _ in range(fan_out))).run()
    assert world.governor.stopped == TARGET_REACHED
    assert target <= world.governor.rows <= target + 3 * fan_out + 0.03 * target


def test_a_target_leaves_the_server_full_until_the_end() -> None:
    """Steering costs time only where a few roots are missing: within a tenth of feeding without a brake."""
    dice = random.Random(7)
    steered = World(Limits(target=2000), lambda: int(dice.random() < 0.5)).run()
    dice = random.Random(7)
    free = World(Limits(max_candidates=4000), lambda: int(dice.random() < 0.5)).run()
    assert steered.most_open == 64
    assert steered.now < 1.1 * free.now


@pytest.mark.parametrize("budget", [100, 5_000, 100_000])
def test_token_budgets_are_overspent_by_next_to_nothing(budget: int) -> None:
    """Open roots are counted in before they are paid for: a run ends at its budget, a root or two above."""
    world = World(Limits(max_tokens_total=budget), lambda: 1).run()
    assert world.governor.stopped == TOKENS_BUDGET
    assert budget <= world.tokens <= budget + 200
    assert world.most_open == 64 or budget < 100_000


def test_a_budget_too_small_for_one_root_still_ends() -> None:
    """The first roots are let in before anything is known: they are all that is overspent."""
    world = World(Limits(max_tokens_total=1), lambda: 1).run()
    assert world.tokens == 100
    assert world.governor.opened == 1


@given(
    target=st.none() | st.integers(1, 60),
    budget=st.none() | st.integers(1, 3000),
    rows=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    slots=st.integers(1, 40),
)
def test_the_feed_never_waits_for_nobody(
    target: int | None, budget: int | None, rows: list[int], slots: int
) -> None:
    """Whatever comes out of the roots: told to wait, there is a root in flight; and every run ends."""
    limits = Limits(target=target, max_tokens_total=budget, max_candidates=500)
    given_rows = iter(rows * 500)
    world = World(limits, lambda: next(given_rows)).run(slots)
    assert world.governor.opened <= 500
    assert world.governor.stopped


def test_the_roots_that_a_target_takes_are_estimated() -> None:
    """For the progress: opened ones and those that the mean says are missing, within the cap."""
    assert governor_of(max_candidates=3).roots_wanted() is None
    governor = governor_of(target=100)
    assert governor.roots_wanted() == 10
    for _ in range(10):
        governor.opened += 1
        governor.root_settled(2)
        governor.root_committed(2)
    governor.opened += 5
    assert governor.roots_wanted() == 50
    capped = governor_of(target=100, max_candidates=4)
    assert capped.roots_wanted() == 4


# ---------------------------------------------------------------- waiting


@pytest.mark.anyio
async def test_a_waiting_feed_goes_on_when_a_root_settles() -> None:
    """The feed sleeps until something changed, then asks again; at the end it is told that it is over."""
    governor = governor_of(target=1)
    fed = 0

    async def feed() -> None:
        nonlocal fed
        while await governor.room():
            fed += 1

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed)
            for rows in (0, 1):
                await anyio.wait_all_tasks_blocked()
                assert fed == governor.settled + 1
                governor.root_settled(rows)
                governor.root_committed(rows)
    assert (fed, governor.rows, governor.stopped) == (2, 1, TARGET_REACHED)


@pytest.mark.anyio
async def test_a_feed_that_waits_for_its_source_ends_with_the_target() -> None:
    """Rows of an endless source need not come for the run to end."""
    governor = governor_of(target=1)
    came: list[Sequence[int]] = []

    async def feed() -> None:
        came.append(await governor.read(one))
        assert await governor.room()
        came.append(await governor.read(never))
        came.append(await governor.read(one))

    async def one() -> Sequence[int]:
        return [1]

    async def never() -> Sequence[int]:
        await anyio.sleep_forever()
        return [2]

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed)
            await anyio.wait_all_tasks_blocked()
            governor.root_settled(1)
            governor.root_committed(1)
    assert came == [[1], (), ()]


@pytest.mark.anyio
async def test_a_time_budget_ends_while_the_source_has_nothing() -> None:
    """The time is over at its time, whatever the source does; a cancellation from outside gets through."""

    async def never() -> Sequence[int]:
        await anyio.sleep_forever()
        return [1]

    with anyio.fail_after(5):
        governor = Governor(Limits(max_time=0.01))
        assert await governor.read(never) == ()
    assert governor.stopped == TIME_BUDGET
    with anyio.move_on_after(0.01) as outer:
        await Governor(Limits(max_time=60)).read(never)
    assert outer.cancelled_caught


@pytest.mark.anyio
async def test_only_what_the_run_itself_used_counts() -> None:
    """A teacher that was asked before the run began has not spent this run's budget."""
    used = [1_000, 1_000]
    governor = Governor(Limits(max_tokens_total=100), tokens=lambda: (used[0], used[1]))
    assert await governor.room()
    used[1] += 100
    assert not await governor.room()
    assert governor.stopped == TOKENS_BUDGET
