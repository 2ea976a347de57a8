"""Which failures are tried again, and when: tables over pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.abc import HttpReply
from sdg_stream.errors import (
    AttemptError,
    AttemptTimeout,
    BadReply,
    ConnectFailed,
    RateLimited,
    RequestRefused,
    ServerFailed,
)
from sdg_stream.teacher.retry import RetryBudget, RetryPolicy, retry_delay
from sdg_stream.teacher.wire import failure, retry_after, server_words

POLICY = RetryPolicy(max_attempts=4, first_delay=1.0, longest_delay=3.0, longest_retry_after=20.0)


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (ConnectFailed("x"), 1, (0.5, 1.0)),
        (AttemptTimeout("x"), 2, (1.0, 2.0)),
        (BadReply("x"), 3, (1.5, 3.0)),
        (ServerFailed("x"), 3, (1.5, 3.0)),
        (RateLimited("x"), 1, (0.5, 1.0)),
        (RateLimited("x", retry_after=7.0), 1, (7.0, 7.5)),
        (RateLimited("x", retry_after=500.0), 1, (20.0, 20.5)),
    ],
)
def test_pauses_double_with_half_of_them_drawn(
    error: AttemptError, attempt: int, expected: tuple[float, float]
) -> None:
    """Equal jitter up to a cap; what the server asks for comes first, up to a cap."""
    assert retry_delay(POLICY, error, attempt, 0.0) == pytest.approx(expected[0])
    assert retry_delay(POLICY, error, attempt, 1.0) == pytest.approx(expected[1])


def test_deadlines_grow_with_each_attempt_and_with_long_replies() -> None:
    """A reply that was cut off once, or is long, needs more time."""
    policy = RetryPolicy(timeout=100.0)
    assert [policy.deadline(attempt) for attempt in (1, 2, 3)] == [100.0, 150.0, 225.0]
    assert [policy.deadline(1, tokens) for tokens in (0, 512, 4096, 16_384)] == [100.0, 100.0, 100.0, 400.0]


def test_what_is_never_tried_again() -> None:
    """A refused request at once, anything else at the end of its budget."""
    assert retry_delay(POLICY, RequestRefused("x", status=400), 1, 0.5) is None
    assert retry_delay(POLICY, ServerFailed("x"), 4, 0.5) is None


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_never_negative_nor_longer_than_the_cap(attempt: int, random: float) -> None:
    """Whatever the attempt and the draw."""
    pause = retry_delay(RetryPolicy(max_attempts=1000), ServerFailed("x"), attempt, random)
    assert pause is not None
    assert 0 <= pause <= 30


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "junk", "retry-after": "3"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:07 GMT"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, milliseconds, a date; nonsense counts as nothing."""
    now = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert retry_after(headers, now) == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused), (401, RequestRefused), (404, RequestRefused), (422, RequestRefused),
        (302, RequestRefused), (408, ServerFailed), (500, ServerFailed), (502, ServerFailed),
        (504, ServerFailed), (429, RateLimited), (503, RateLimited), (529, RateLimited),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, kind: type[AttemptError]) -> None:
    """Throttled, failed or refused."""
    assert type(failure(HttpReply(status, {}, b"{}"))) is kind


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "too long", "code": 400}}', "too long"),
        (b'{"object": "error", "message": "too long"}', "too long"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"error": "no such model"}', "no such model"),
        (b"<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway"),
        (b"plain words", "plain words"),
        (b"\x1b[31mred\x1b[0m", "[31mred [0m"),
        (b"", "(empty body)"),
        (b'{"error": {"message": "key sk-1 is wrong"}}', "key [redacted] is wrong"),
    ],
)
def test_the_servers_words_are_made_readable(body: bytes, words: str) -> None:
    """Messages and titles are found, control bytes and secrets are not shown."""
    assert server_words(body, ["sk-1"]).strip() == words


def test_the_servers_words_are_cut() -> None:
    """A long message does not fill the screen."""
    assert len(server_words(b"x" * 10_000)) == 500


def test_the_runs_budget_puts_retries_off_and_never_refuses_them() -> None:
    """What is saved up goes at once; then so many a second."""
    budget = RetryBudget(share=0.2, per_second=10, most=5)
    assert [budget.delay(0.0) for _ in range(5)] == [0.0] * 5
    assert [budget.delay(0.0) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    assert budget.delay(10.0) == 0.0
    for _ in range(10_000):
        assert budget.delay(10.0) <= 30.0


@given(st.floats(0, 1), st.integers(50, 400))
def test_retries_stay_a_share_of_the_calls(failing: float, calls_per_second: int) -> None:
    """However many attempts fail: a fifth of the calls, ten a second, and what was saved up."""
    budget, now, calls, sent = RetryBudget(), 0.0, 0, []
    dice = Random(1)
    for _ in range(10 * calls_per_second):
        now += 1 / calls_per_second
        calls += 1
        budget.called()
        if dice.random() < failing:
            sent.append(now + budget.delay(now))
    within = sum(at <= now for at in sent)
    assert within <= 100 + 0.2 * calls + 10 * now + 1
