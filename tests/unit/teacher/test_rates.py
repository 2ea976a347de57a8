"""Requests and tokens a minute: waits, refunds, and what headers teach."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.teacher.rates import BURST_SECONDS, Estimates, Rates, reset_seconds


def test_without_limits_nothing_waits() -> None:
    """No rpm, no tpm, no headers."""
    rates = Rates()
    assert [rates.reserve(0.0, 1e9) for _ in range(100)] == [0.0] * 100
    assert rates.limits == (None, None)


def test_requests_are_spread_over_the_minute() -> None:
    """60 a minute: the first at once, then one a second, first come, first served."""
    rates = Rates(rpm=60)
    assert [rates.reserve(0.0, 10) for _ in range(4)] == pytest.approx([0.0, 1.0, 2.0, 3.0])


@given(st.integers(10, 6000), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_no_second_sees_more_than_its_share_and_a_short_burst(rpm: int, gaps: list[float]) -> None:
    """Whatever the arrivals: in any stretch of time at most the rate, the burst and the one on its edge."""
    rates, now, sent = Rates(rpm=rpm), 0.0, []
    for gap in gaps:
        now += gap
        sent.append(now + rates.reserve(now, 1))
    assert sent == sorted(sent)
    burst = max(1.0, rpm / 60 * BURST_SECONDS)
    for first in range(0, len(sent), 7):
        for last in range(first, len(sent), 5):
            allowed = (sent[last] - sent[first]) * rpm / 60 + burst + 1
            assert last - first + 1 <= allowed + 1e-6


def test_tokens_are_reserved_and_what_was_not_used_comes_back() -> None:
    """6000 tokens a minute are 100 a second; a refund shortens the next wait."""
    rates = Rates(tpm=6000)
    assert rates.reserve(0.0, 1) == 0.0
    assert rates.reserve(0.0, 500) == pytest.approx(5.0)
    rates.settle(500, 100)
    assert rates.reserve(0.0, 100) == pytest.approx(2.0)
    rates.settle(100, 300)  # it used more than it said
    assert rates.reserve(0.0, 0) == pytest.approx(4.0)


def test_a_request_larger_than_a_burst_waits_but_goes() -> None:
    """A bucket that holds two seconds' worth never blocks what costs ten."""
    rates = Rates(tpm=60)
    assert rates.reserve(0.0, 1) == 0.0
    assert rates.reserve(0.0, 10) == pytest.approx(10.0)


def test_a_cancelled_reservation_costs_nothing() -> None:
    """Its request was never sent."""
    rates = Rates(rpm=60, tpm=600)
    rates.reserve(0.0, 1)
    wait = rates.reserve(0.0, 50)
    rates.cancel(50)
    assert rates.reserve(0.0, 50) == wait


def test_limits_are_learnt_from_headers() -> None:
    """A server's limit holds from its first answer on; the smaller one of user and server wins."""
    rates = Rates(rpm=1000)
    headers = {
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "119",
        "x-ratelimit-reset-requests": "500ms",
        "x-ratelimit-limit-tokens": "40000",
        "x-ratelimit-remaining-tokens": "39900",
        "x-ratelimit-reset-tokens": "150ms",
    }
    rates.learn(headers, 0.0)
    assert rates.limits == (120.0, 40000.0)
    assert rates.reserve(0.0, 1) == 0.0
    assert rates.reserve(0.0, 1) == pytest.approx(0.5)


def test_headers_with_dates_as_resets_are_read() -> None:
    """Other names, and dates for resets."""
    rates = Rates()
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:30Z",
    }
    rates.learn(headers, 100.0, status=429, wall=datetime(2026, 1, 1, tzinfo=UTC))
    assert rates.limits == (50.0, None)
    assert rates.reserve(100.0, 1) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-limit-requests": "-1"}, 200),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}, 200),
        ({"x-ratelimit-limit-requests": "0", "x-ratelimit-reset-requests": "1s"}, 200),
        ({"x-ratelimit-limit-requests": "nan", "x-ratelimit-reset-requests": "1s"}, 200),
        ({"x-ratelimit-limit-requests": "1e300", "x-ratelimit-reset-requests": "1s"}, 200),
        ({"x-ratelimit-limit-requests": "10", "x-ratelimit-reset-requests": "soon"}, 200),
        ({"x-ratelimit-limit-requests": "10"}, 200),
        ({"x-ratelimit-limit-requests": "1000", "x-ratelimit-reset-requests": "6m0s"}, 200),  # per day
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "junk"}, 429),
    ],
)
def test_headers_that_are_not_believed(headers: dict[str, str], status: int) -> None:
    """Missing, negative, absurd, incomplete, or a limit of another period than a minute."""
    rates = Rates()
    rates.learn(headers, 0.0, status=status)
    assert [rates.reserve(0.0, 1000) for _ in range(50)] == [0.0] * 50


def test_nothing_left_of_a_believed_limit_with_a_200_does_not_stop_the_run() -> None:
    """Azure says remaining 0 with answers that came."""
    rates = Rates()
    headers = {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "60s",
    }
    rates.learn(headers, 0.0)
    assert rates.reserve(0.0, 1) == 0.0


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("12ms", 0.012),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("1.5s", 1.5),
        ("2m59.56s", 179.56),
        ("7", 7.0),
        ("0s", 0.0),
        ("2026-01-01T00:00:05Z", 5.0),
        ("2026-01-01T01:00:05+01:00", 5.0),
        ("2026-01-01T00:00:05", 5.0),
        ("2025-01-01T00:00:00Z", None),
        ("-5", None),
        ("1e9", None),
        ("", None),
        ("tomorrow", None),
    ],
)
def test_resets(written: str, seconds: float | None) -> None:
    """Durations, numbers and dates; none for the past, the far future and nonsense."""
    found = reset_seconds(written, datetime(2026, 1, 1, tzinfo=UTC))
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=40))
def test_any_reset_is_read_without_trouble(text: str) -> None:
    """A header is what somebody else sent."""
    found = reset_seconds(text)
    assert found is None or 0 <= found <= 86_400


def test_estimates_follow_what_requests_of_a_shape_have_used() -> None:
    """At first the most that they may use, later their mean."""
    estimates = Estimates()
    assert estimates.guess(b"a", 400, 1000, 2) == 2100
    assert estimates.guess(b"a", 400, 0, 1) == 356
    estimates.learn(b"a", 400, 2, 120, 100)
    assert estimates.guess(b"a", 400, 1000, 2) == pytest.approx(220)
    for _ in range(100):
        estimates.learn(b"a", 400, 1, 120, 10)
    assert estimates.guess(b"a", 400, 1000, 1) == pytest.approx(130, rel=0.01)
    assert estimates.guess(b"b", 400, 1000, 1) == 1100
