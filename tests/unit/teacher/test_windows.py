"""What a stretch of answers tells about throughput, and how surely."""

from __future__ import annotations

import random
import statistics

import pytest

from sdg_stream.teacher.windows import Share, Window, gain


def filled(calls: list[tuple[int, int, float]], since: float = 0.0) -> Window:
    """A window over calls of (choices, tokens, seconds), answered one a second."""
    window = Window(since)
    for number, (choices, tokens, seconds) in enumerate(calls, 1):
        window.add(since + number, choices=choices, tokens=tokens, seconds=seconds, saturated=True)
    return window


def test_work_is_counted_per_slot_second() -> None:
    """A call with four choices holds four slots."""
    window = filled([(4, 100, 2.0), (1, 20, 2.0)])
    assert window.slot_seconds == 10.0
    assert window.work(in_tokens=True) == 12.0
    assert window.work(in_tokens=False) == 0.5
    assert window.choices_per_second == 2.5


def test_the_unit_with_less_noise_is_taken() -> None:
    """Tokens where time follows them; choices where servers do not say tokens, or lengths say nothing."""
    dice = random.Random(1)
    times = [dice.lognormvariate(0, 0.8) for _ in range(500)]
    assert filled([(1, round(1000 * seconds), seconds) for seconds in times]).counts_tokens
    assert not filled([(1, 0, seconds) for seconds in times]).counts_tokens
    shuffled = [round(1000 * dice.lognormvariate(0, 1.2)) for _ in times]
    assert not filled(list(zip([1] * 500, shuffled, times, strict=True))).counts_tokens


@pytest.mark.parametrize("follows", [True, False])
def test_the_error_of_a_gain_is_what_repeating_it_shows(follows: bool) -> None:
    """The standard error that it tells is that of many repetitions, or somewhat above."""
    dice = random.Random(2)
    gains, errors = [], []
    for _ in range(200):
        pair = []
        for _ in range(2):
            calls = []
            for _ in range(200):
                seconds = dice.lognormvariate(0, 0.8)
                noise = dice.lognormvariate(0, 0.5)
                calls.append((1, round(1000 * seconds * noise) if follows else 0, seconds))
            pair.append(filled(calls))
        gained, error = gain(*pair)
        gains.append(gained)
        errors.append(error)
    assert abs(statistics.mean(gains)) < 0.03
    assert 0.9 <= statistics.mean(errors) / statistics.stdev(gains) <= 1.6


def test_nothing_is_known_of_nothing() -> None:
    """Empty windows, and calls without any time."""
    assert gain(Window(0.0), filled([(1, 10, 1.0)])) == (0.0, float("inf"))
    assert filled([(1, 10, 0.0)]).work(in_tokens=True) == 0.0


def test_going_on_after_a_break_halves_what_is_known() -> None:
    """The time in between does not count."""
    window = filled([(1, 10, 1.0)] * 10)
    window.go_on(100.0)
    window.add(101.0, choices=1, tokens=10, seconds=1.0, saturated=True)
    assert (window.calls, window.elapsed, window.choices) == (6.0, 6.0, 6.0)


def test_a_share_follows_the_latest_attempts() -> None:
    """From none to all, and back to half."""
    share = Share(10)
    for _ in range(100):
        share.add(True)
    assert share.value > 0.99
    for number in range(200):
        share.add(number % 2 == 0)
    assert share.value == pytest.approx(0.5, abs=0.06)
