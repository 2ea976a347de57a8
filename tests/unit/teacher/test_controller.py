"""How many slots a run takes: rules one by one, then whole runs against virtual servers."""

from __future__ import annotations

import random

import pytest
from virtual_teacher import Outcome, Policy, VirtualServer, bucket, hard_cap, scattered, simulate

from sdg_stream.teacher.auto import Auto
from sdg_stream.teacher.controller import Controller, Fixed
from sdg_stream.teacher.metrics import ServerMetrics


def answer(controller: Controller, now: float, count: int = 1, *, saturated: bool = True) -> None:
    """So many calls of one second each are answered at a moment."""
    for _ in range(count):
        controller.completed(now, choices=1, tokens=100, seconds=1.0, saturated=saturated)


# ---------------------------------------------------------------- rules


def test_a_fixed_limit_stays() -> None:
    """Whatever happens: the user said so."""
    fixed = Fixed(7)
    answer(fixed, 1.0, 100)
    fixed.throttled(2.0, 5.0)
    fixed.failed(3.0)
    fixed.observed(4.0, ServerMetrics(running=7, waiting=100))
    fixed.restart(5.0)
    assert fixed.limit == 7
    assert [change.limit for change in fixed.history] == [7]


def test_slow_start_doubles_with_each_round_of_answers() -> None:
    """16, 32, 64, 128: each answer makes room for one more."""
    auto = Auto()
    for second in range(1, 4):
        answer(auto, float(second), auto.limit)
    assert auto.limit == 128
    assert [change.limit for change in auto.history] == [16, 32, 64, 128]


def test_low_demand_changes_nothing() -> None:
    """A limit that nobody reaches teaches nothing, neither at the start nor later."""
    auto = Auto()
    for second in range(1, 100):
        answer(auto, float(second), 10, saturated=False)
    assert auto.limit == 16
    late = Auto()
    simulate(late, VirtualServer(64), 10)
    limit, changes = late.limit, len(late.history)
    for second in range(11, 100):
        answer(late, float(second), 10, saturated=False)
    assert (late.limit, len(late.history)) == (limit, changes)


def test_a_call_with_choices_makes_room_for_as_many() -> None:
    """Each choice is a slot."""
    auto = Auto()
    auto.completed(1.0, choices=8, tokens=100, seconds=1.0, saturated=True)
    assert auto.limit == 24


def test_less_is_one_cut_an_episode() -> None:
    """A hundred refusals at once cut as one does."""
    auto = Auto(start=100)
    for _ in range(100):
        auto.throttled(1.0, None)
    assert auto.limit == 70
    auto.throttled(1.9, None)
    assert auto.limit == 70
    assert [change.reason for change in auto.history[1:]] == ["the server said less"]


def test_retry_after_makes_the_episode_longer() -> None:
    """While it lasts there is no second cut and no growth, and no asking is longer than two minutes."""
    auto = Auto(start=100)
    auto.throttled(1.0, 30.0)
    auto.throttled(29.0, 10.0)
    auto.throttled(38.0, None)
    answer(auto, 38.5, 500)
    assert auto.limit == 70
    auto.throttled(40.0, 1e9)
    assert auto.limit == 49
    auto.throttled(159.0, 0.0)
    assert auto.limit == 49
    auto.throttled(161.0, 0.0)
    assert auto.limit == 34


def test_the_limit_comes_back_after_a_cut() -> None:
    """To where it was refused in a few rounds, then waiting longer and longer before going beyond."""
    auto = Auto(start=100)
    auto.throttled(1.0, 1.0)
    for second in range(3, 12):
        answer(auto, float(second), auto.limit)
    assert 95 <= auto.limit <= 100
    for again in (20.0, 40.0):
        auto.throttled(again, 1.0)
        for second in range(3, 19):
            answer(auto, again + second, auto.limit)
        assert 95 <= auto.limit <= 110


def test_a_refusal_at_the_very_start_does_not_keep_the_limit_low() -> None:
    """It was no ceiling: slow start goes on where it was."""
    auto = Auto()
    auto.throttled(0.1, None)
    out = simulate(auto, VirtualServer(256), 30)
    assert out.rate(15, 30) >= 0.95 * best(256, 30)


def test_failures_stop_growth_for_a_while() -> None:
    """5xx, timeouts and resets do not cut; while a fifth of the attempts fail, nothing grows."""
    auto = Auto()
    for _ in range(40):
        auto.failed(1.0)
    answer(auto, 1.5, 8)
    assert auto.limit == 16
    for second in range(3, 20):
        answer(auto, float(second), auto.limit)
    assert auto.limit > 16


def test_a_few_failures_stop_nothing() -> None:
    """Eight in a hundred are what a bad day has."""
    auto = Auto()
    for second in range(1, 5):
        for number in range(auto.limit):
            if number % 12 == 0:
                auto.failed(float(second))
            answer(auto, float(second))
    assert auto.limit > 128


def test_a_queue_at_the_server_ends_slow_start() -> None:
    """The surplus goes at once, a small queue stays."""
    auto = Auto(start=200)
    auto.observed(1.0, ServerMetrics(running=64, waiting=90), own=154)
    assert auto.limit == 114
    assert auto.history[-1].reason == "90 requests wait there, 64 run"
    auto.observed(1.5, ServerMetrics(running=64, waiting=90), own=154)
    assert auto.limit == 114  # the first cut has not shown yet
    auto.observed(3.0, ServerMetrics(running=64, waiting=50), own=114)
    assert auto.limit == 68
    auto.observed(6.0, ServerMetrics(running=64, waiting=3), own=68)
    for second in range(7, 30):
        auto.observed(float(second), ServerMetrics(running=64, waiting=second % 4), own=68)
        answer(auto, float(second), 64)
    assert auto.limit == 68


def test_somebody_elses_queue_is_left_alone() -> None:
    """A server that others have filled does not press this run down to nothing."""
    auto = Auto(start=32)
    for second in range(1, 20):
        auto.observed(float(second), ServerMetrics(running=64, waiting=500), own=32)
    assert auto.limit == 32


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (ServerMetrics(running=60, kv_usage=0.97), "KV cache 97% full"),
        (ServerMetrics(running=60, preemptions=5), "the server preempts requests"),
    ],
)
def test_a_full_kv_cache_and_preemptions_cut(metrics: ServerMetrics, words: str) -> None:
    """Ten percent at a time, then a wait until it shows."""
    auto = Auto(start=100)
    auto.observed(0.0, ServerMetrics(running=60, preemptions=4))
    auto.observed(1.0, metrics)
    auto.observed(1.5, metrics)
    assert auto.limit == 90
    assert auto.history[-1].reason == words


def test_metrics_of_a_server_that_tells_nothing_are_passed_over() -> None:
    """All zero while calls are in flight: the page belongs to something else."""
    auto = Auto()
    auto.observed(0.5, ServerMetrics())
    answer(auto, 1.0, 16)
    assert auto.limit == 32


def test_after_an_outage_it_begins_again() -> None:
    """At the start limit, growing as at first; a limit below that stays."""
    auto = Auto()
    for second in range(1, 4):
        answer(auto, float(second), auto.limit)
    auto.restart(50.0)
    assert auto.limit == 16
    answer(auto, 51.0, 16)
    assert auto.limit == 32
    small = Auto(start=16, most=8)
    small.restart(1.0)
    assert small.limit == 8


def test_limits_stay_within_bounds_and_history_too() -> None:
    """Whatever comes in whatever order."""
    dice, auto, now = random.Random(3), Auto(least=4, most=40), 0.0
    for _ in range(20_000):
        now += dice.random() / 20
        match dice.randrange(40):
            case 0:
                auto.throttled(now, dice.choice([None, 0.5]))
            case 1:
                auto.failed(now)
            case 2:
                waiting = dice.choice([0, 0, 2, 50])
                auto.observed(now, ServerMetrics(running=20, waiting=waiting, kv_usage=dice.random()))
            case 3 if dice.random() < 0.01:
                auto.restart(now)
            case _:
                auto.completed(
                    now,
                    choices=dice.choice([1, 4]),
                    tokens=dice.choice([0, 50]),
                    seconds=dice.random(),
                    saturated=dice.random() < 0.9,
                )
        assert 4 <= auto.limit <= 40
    assert len(auto.history) <= 1000


# ---------------------------------------------------------------- runs against virtual servers


def best(slots: int, seconds: float, seed: int = 0) -> float:
    """Calls a second with a fixed limit that keeps every slot busy."""
    return simulate(Fixed(slots + slots // 4 + 2), VirtualServer(slots), seconds, seed=seed).rate(0, seconds)


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("slots", [8, 64, 256])
def test_from_a_cold_start_within_3_percent_of_the_best_fixed_limit(slots: int, tokens: bool) -> None:
    """A minute against servers that tell nothing but their answers; the limit ends near the slots."""
    auto = Auto()
    options = {} if tokens else {"tokens": lambda _service, _dice: 0}
    out = simulate(auto, VirtualServer(slots), 60, seed=2, **options)  # type: ignore[arg-type]
    assert out.rate(0, 60) >= 0.97 * best(slots, 60, seed=2)
    assert 0.95 * slots <= out.mean_limit(40) <= max(1.3 * slots, 20)


@pytest.mark.parametrize("slots", [8, 64, 256])
def test_with_metrics_a_small_queue_is_kept(slots: int) -> None:
    """The limit ends at the slots and a few more, and 1 % of the minute is lost at most."""
    auto = Auto()
    out = simulate(auto, VirtualServer(slots), 30, seed=1, poll=1.0)
    assert out.rate(0, 30) >= 0.98 * best(slots, 30, seed=1)
    assert slots + 1 <= out.mean_limit(15) <= 1.1 * slots + 2


@pytest.mark.parametrize("sigma", [0.0, 0.8])
def test_a_capacity_of_300_that_never_says_no(sigma: float) -> None:
    """Within 10 % of its best goodput within 30 s, and no runaway after."""
    auto = Auto()
    out = simulate(auto, VirtualServer(300, mean=1.0, sigma=sigma), 60)
    assert out.rate(15, 30) >= 0.9 * 300
    assert out.rate(30, 60) >= 0.95 * 300
    assert auto.limit <= 1.5 * 300


@pytest.mark.parametrize("share", [0.002, 0.02, 0.1, 0.3])
def test_scattered_refusals_do_not_ratchet_the_limit_down(share: float) -> None:
    """Refusals whatever the load, without Retry-After: far above 70 % of the fault-free goodput."""
    out = simulate(Auto(), VirtualServer(64), 60, seed=1, policy=scattered(share))
    assert out.rate(0, 60) >= 0.85 * best(64, 60, seed=1)


def test_a_cap_on_what_is_in_flight_is_found() -> None:
    """A server that refuses all beyond 64 is kept nearly full."""
    out = simulate(Auto(), VirtualServer(1000), 60, policy=hard_cap(64))
    assert out.rate(0, 60) >= 0.9 * best(64, 60)


@pytest.mark.parametrize("policy", [bucket(5), bucket(5, retry_after=1.0)])
def test_a_server_that_admits_5_a_second_gets_5_a_second(policy: Policy) -> None:
    """Goodput within 10 % of what it admits, and few requests in vain."""
    out = simulate(Auto(), VirtualServer(64), 60, policy=policy)
    assert out.rate(0, 60) >= 4.5
    assert out.attempts <= 4 * len(out.answered)


def test_scattered_failures_cost_what_they_cost() -> None:
    """8 % of attempts failing otherwise do not keep the limit down."""
    out = simulate(Auto(), VirtualServer(64), 60, fail=0.08)
    assert out.rate(0, 60) >= 0.95 * best(64, 60)


def test_long_replies_are_waited_for() -> None:
    """Ten seconds each: the limit settles as for short ones, only later."""

    def run(controller: Controller) -> Outcome:
        return simulate(controller, VirtualServer(64, mean=10.0), 600)

    assert run(Auto()).rate(0, 600) >= 0.93 * run(Fixed(80)).rate(0, 600)
