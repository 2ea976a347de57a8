"""Which failures are tried again, and when; and how many retries a run makes. Pure: no clock, no dice."""

from __future__ import annotations

import msgspec

from ..errors import AttemptError, RateLimited, RequestRefused

__all__ = ["RetryBudget", "RetryPolicy", "retry_delay"]


TIMEOUT_TOKENS = 4096  # tokens of a reply that ``timeout`` is meant for


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Budget and pace of one call's attempts. All times are seconds.

    Attributes:
        max_attempts: attempts a call may take, the first included.
        timeout: the first attempt's deadline for replies of up to 4,096 tokens, longer ones get more. Each
            further attempt gets half as much again, since one that was cut off once would be cut off again.
        first_delay: the first pause; it doubles with each attempt.
        longest_delay: where the doubling ends.
        longest_retry_after: what a server may ask for at most.
    """

    max_attempts: int = 6
    timeout: float = 600.0
    first_delay: float = 0.5
    longest_delay: float = 30.0
    longest_retry_after: float = 120.0

    def deadline(self, attempt: int, max_tokens: int = 0) -> float:
        """Seconds that attempt number ``attempt`` (from 1) may take; a longer reply may take longer."""
        length = max(1.0, max_tokens / TIMEOUT_TOKENS)
        return float(self.timeout * length * 1.5 ** (attempt - 1))


def retry_delay(policy: RetryPolicy, error: AttemptError, attempt: int, random: float) -> float | None:
    """Seconds to wait after attempt number ``attempt`` (from 1) failed; None to give the call up.

    Only charged attempts are counted: being told "less" and the failures of an outage cost a call nothing.

    ``random`` in [0, 1) spreads calls that failed together: half of the pause is fixed, half is drawn.
    (Drawing all of it could make it almost nothing, which a throttling server does not forgive.)
    """
    if isinstance(error, RequestRefused) or attempt >= policy.max_attempts:
        return None
    pause = min(policy.longest_delay, policy.first_delay * 2.0 ** (attempt - 1))
    if isinstance(error, RateLimited) and error.retry_after is not None:
        asked = min(max(error.retry_after, 0.0), policy.longest_retry_after)
        return asked + pause * random / 2
    return pause * (1 + random) / 2


class RetryBudget:
    """The run's budget: retries are at most a share of the calls, and a few a second beyond that.

    It never refuses a retry, which would cost a record; it puts it off. So a server on which everything fails
    sees few retries a second, however many calls wait.

    Args:
        share: retries that each call adds.
        per_second: retries that each second adds.
        most: that are saved up at most.
    """

    def __init__(self, *, share: float = 0.2, per_second: float = 10.0, most: float = 100.0) -> None:
        self._share = share
        self._per_second = per_second
        self._most = most
        self._saved = most
        self._at: float | None = None

    def called(self) -> None:
        """A call was made for the first time."""
        self._saved = min(self._most, self._saved + self._share)

    def delay(self, now: float, longest: float = 30.0) -> float:
        """Take one retry; returns the seconds to put it off, beside its own pause."""
        if self._at is not None:
            self._saved = min(self._most, self._saved + (now - self._at) * self._per_second)
        self._at = now
        self._saved = max(self._saved - 1, -longest * self._per_second)
        return max(0.0, -self._saved / self._per_second)
