"""Finding the knee on made curves, clean and noisy ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from sdg_stream.loadtest.knee import between, plateau, recommended, unit_of, useless
from sdg_stream.loadtest.results import ClientShare, Level


def level(
    concurrency: int, rate: float, *, tokens: float = 0.0, failed: int = 0, bound: bool = False
) -> Level:
    """A level with these rates."""
    return Level(
        concurrency=concurrency,
        requests_in_flight=concurrency,
        seconds=1.0,
        completed=100 - failed,
        errors={"timeout": failed} if failed else {},
        requests_per_s=rate,
        output_tokens_per_s=tokens,
        client=ClientShare(bound=bound),
    )


def swept(rate_of: Callable[[int], float], noise: float = 0.0) -> tuple[int | None, dict[int, float]]:
    """What a sweep over a server with these rates recommends, and what it measured."""
    curve: dict[int, float] = {}
    levels: list[Level] = []
    concurrency = 1
    while not levels or not useless(levels):
        curve[concurrency] = rate_of(concurrency)
        levels.append(level(concurrency, curve[concurrency]))
        concurrency *= 2
    errors = dict.fromkeys(range(10_000), noise)
    while (following := between(curve, errors)) is not None:
        curve[following] = rate_of(following)
    return recommended(curve, errors), curve


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 8, 13, 48, 64, 100, 200, 256, 700])
def test_slots_are_found(slots: int) -> None:
    """A server of S slots gets a recommendation within 10 % of S, after few levels."""
    found, curve = swept(lambda concurrency: 5.0 * min(concurrency, slots))
    assert found is not None
    assert abs(found - slots) <= 0.1 * slots
    assert len(curve) <= math.log2(slots) + 7


@pytest.mark.parametrize("slots", [8, 64, 256])
def test_slots_are_found_in_noise(slots: int) -> None:
    """With rates known to 1.5 %, 19 of 20 sweeps are within 10 %."""
    right = 0
    for seed in range(200):
        draw = random.Random(seed)

        def rate(concurrency: int, draw: random.Random = draw) -> float:
            return min(concurrency, slots) * draw.gauss(1.0, 0.015)

        found, _ = swept(rate, noise=0.015)
        right += found is not None and abs(found - slots) <= 0.1 * slots
    assert right >= 190


def test_a_gentle_curve_gives_the_first_level_near_the_plateau() -> None:
    """Where there is no corner: at least 95 % of what is there, and not more in flight than it takes."""

    def rate(concurrency: int) -> float:
        return 1000 * concurrency / (concurrency + 10)

    found, curve = swept(rate)
    assert found is not None
    assert curve[found] >= 0.95 * plateau(curve)
    assert all(curve[low] < 0.95 * plateau(curve) for low in curve if low < found)


def test_a_server_that_gets_worse_beyond_its_best() -> None:
    """Preemptions behind the knee: the recommendation stays at the best."""
    found, _ = swept(lambda concurrency: float(min(concurrency, 32) if concurrency <= 40 else 20))
    assert found is not None
    assert 29 <= found <= 35


def test_the_plateau_is_no_lucky_level() -> None:
    """One rate that is 4 % too high does not make all others fall short."""
    curve = {1: 10.0, 8: 80.0, 16: 100.0, 32: 100.0, 64: 104.0}
    assert plateau(curve) == 100.0
    assert recommended(curve) == 16


def test_steps_are_whole_requests() -> None:
    """Where a request makes 10 sequences, levels in between are multiples of 10."""
    assert between({20: 20.0, 40: 30.0, 80: 30.0}, step=10) == 30
    assert between({10: 10.0, 20: 12.0, 40: 12.0}, step=10) is None


def test_nothing_measured_recommends_nothing() -> None:
    """Neither without levels, nor when nothing succeeded."""
    assert recommended({}) is None
    assert recommended({1: 0.0}) is None
    assert between({}) is None


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([level(1, 1.0), level(2, 1.9)], ""),
        ([level(1, 1.0)], ""),
        ([level(64, 100.0), level(128, 102.0)], "128 in flight gave +2.0% over 64"),
        ([level(1, 1.0, failed=20)], "20% of the requests failed with 1 in flight"),
        ([level(8, 9.0, bound=True)], "with 8 in flight the client, not the server, was the limit"),
        ([level(4, 0.0)], "nothing was answered with 4 in flight"),
    ],
)
def test_when_a_higher_level_cannot_help(levels: list[Level], words: str) -> None:
    """No gain, failures, a client at its limit, silence: said in words."""
    assert useless(levels) == words


def test_tokens_decide_where_they_are_known() -> None:
    """Else requests do."""
    assert unit_of([level(1, 1.0, tokens=50.0)]) == "output_tokens_per_s"
    assert unit_of([level(1, 1.0)]) == "requests_per_s"
