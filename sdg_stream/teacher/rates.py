"""Requests and tokens a minute: what the user allows, and what a server's headers say that it allows.

Each limit is a bucket that fills evenly and holds a few seconds' worth, so that a minute's allowance is never
spent in one burst. A call takes what it needs at once and is told how long to wait; the bucket may go below
zero, so later calls wait longer: first come, first served. What a call did not use comes back afterwards.

Headers: OpenAI's ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}`` (resets like ``12ms``, ``6m0s``),
Anthropic's ``anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`` (resets as RFC 3339 dates). Some
servers send a remaining -1 or 0 with every answer, so only a refusal makes a remaining 0 believable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

__all__ = ["Estimates", "Rates", "reset_seconds"]

BURST_SECONDS = 2.0
LONGEST_HOLD = 120.0
PER_MINUTE_RESET = 65.0  # a limit whose reset is further away is not one per minute
MOST_PER_MINUTE = 1e10
CHARS_PER_TOKEN = 4
UNKNOWN_COMPLETION = 256  # tokens of a choice whose length nobody has said yet
MOST_SHAPES = 1000

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


class _Bucket:
    """Fills with ``per_minute`` / 60 a second, holds BURST_SECONDS of it; None never runs dry."""

    __slots__ = ("_at", "_given", "_learnt", "level")

    def __init__(self, per_minute: float | None) -> None:
        self._given = per_minute
        self._learnt: float | None = None
        self._at: float | None = None
        self.level = 0.0

    @property
    def per_minute(self) -> float | None:
        """The smaller of what the user and the server say."""
        known = [limit for limit in (self._given, self._learnt) if limit is not None]
        return min(known) if known else None

    def take(self, now: float, amount: float) -> float:
        """Seconds until the amount may be used; it is taken at once."""
        limit = self.per_minute
        if limit is None:
            return 0.0
        self._fill(now, limit)
        self.level -= amount
        return max(0.0, -self.level * 60 / limit)

    def give_back(self, amount: float) -> None:
        """What was taken and not used; a negative amount was used beyond what was taken."""
        if self.per_minute is not None:
            self.level += amount

    def learn(self, now: float, limit: float, remaining: float | None) -> None:
        """What the server says it allows in a minute, and what is left of that."""
        self._learnt = limit
        self._fill(now, self.per_minute or limit)
        if remaining is not None:
            self.level = min(self.level, remaining)

    def _fill(self, now: float, limit: float) -> None:
        most = max(1.0, limit / 60 * BURST_SECONDS)
        if self._at is None:
            self.level = 1.0  # the first call goes at once, the second waits its turn
        else:
            self.level += (now - self._at) * limit / 60
        self._at = now
        self.level = min(self.level, most)


class Rates:
    """The limits per minute. Every ``now`` is in seconds on one monotonic clock.

    Args:
        rpm: requests a minute, None for no limit.
        tpm: tokens a minute, prompts and replies together.

    Attributes:
        active: whether there is any limit, given or learnt; without one nothing need be reserved.
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None) -> None:
        self._requests = _Bucket(rpm)
        self._tokens = _Bucket(tpm)
        self._hold_until = float("-inf")
        self.active = rpm is not None or tpm is not None

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """Requests and tokens a minute that hold now, learnt ones included."""
        return self._requests.per_minute, self._tokens.per_minute

    def reserve(self, now: float, tokens: float) -> float:
        """Take one request of so many tokens; returns the seconds to wait before it is sent, 0 for none.

        Whoever gives up meanwhile says so with :meth:`cancel`.
        """
        wait = max(self._requests.take(now, 1), self._tokens.take(now, tokens))
        return max(wait, self._hold_until - now)

    def settle(self, reserved: float, used: float) -> None:
        """The request is over and cost ``used`` tokens."""
        self._tokens.give_back(reserved - used)

    def cancel(self, reserved: float) -> None:
        """The request was never sent."""
        self._requests.give_back(1)
        self._tokens.give_back(reserved)

    def learn(
        self, headers: Mapping[str, str], now: float, *, status: int = 200, wall: datetime | None = None
    ) -> None:
        """Take over what an answer's headers say, as far as it can be believed.

        Args:
            headers: of the answer; names in lower case or a mapping that ignores case.
            now: monotonic seconds.
            status: of the answer.
            wall: the time of day, for resets that are dates; None for the machine's.
        """
        for bucket, kind in ((self._requests, "requests"), (self._tokens, "tokens")):
            said = _said(headers, kind, wall)
            if said is None:
                continue
            limit, remaining, reset = said
            if reset is not None and status == 429 and remaining == 0:
                self._hold_until = max(self._hold_until, now + min(reset, LONGEST_HOLD))
            per_minute = reset is not None and reset <= PER_MINUTE_RESET
            if limit is not None and per_minute:
                bucket.learn(now, limit, remaining or None)
                self.active = True


def _said(
    headers: Mapping[str, str], kind: str, wall: datetime | None
) -> tuple[float | None, float | None, float | None] | None:
    """Limit, remaining and seconds to the reset; each None where nothing sound is said."""
    names = [f"x-ratelimit-{part}-{kind}" for part in ("limit", "remaining", "reset")]
    if names[0] not in headers and names[1] not in headers:
        names = [f"anthropic-ratelimit-{kind}-{part}" for part in ("limit", "remaining", "reset")]
        if names[0] not in headers and names[1] not in headers:
            return None
    limit, remaining = _count(headers.get(names[0])), _count(headers.get(names[1]))
    reset = headers.get(names[2])
    if not limit or (remaining is not None and remaining > limit):
        limit = None
    return limit, remaining, None if reset is None else reset_seconds(reset, wall)


def _count(written: str | None) -> float | None:
    try:
        value = float(written or "")
    except ValueError:
        return None
    return value if 0 <= value <= MOST_PER_MINUTE else None


def reset_seconds(written: str, wall: datetime | None = None) -> float | None:
    """Seconds of a reset header: ``12ms``, ``1s``, ``6m0s``, a plain number, or an RFC 3339 date.

    None for anything else, and for what lies in the past or more than a day ahead.
    """
    text = written.strip()
    seconds: float | None = None
    found = _DURATION.fullmatch(text)
    if found is not None and text:
        days, hours, minutes, whole, millis = (float(part or 0) for part in found.groups())
        seconds = days * 86_400 + hours * 3600 + minutes * 60 + whole + millis / 1000
    else:
        try:
            seconds = float(text)
        except ValueError:
            seconds = _until(text, wall)
    return seconds if seconds is not None and 0 <= seconds <= 86_400 else None


def _until(date: str, wall: datetime | None) -> float | None:
    try:
        when = datetime.fromisoformat(date)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - (wall or datetime.now(UTC))).total_seconds()


class _Lengths(msgspec.Struct, gc=False):
    completion: float
    prompt_per_byte: float


class Estimates:
    """What a request will cost in tokens: from what requests of its shape have cost so far."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Lengths] = {}

    def guess(self, shape: bytes, prompt_bytes: int, max_tokens: int, n: int) -> float:
        """Tokens of the prompt and of ``n`` choices. ``shape`` is what such requests have in common."""
        known = self._known.get(shape)
        if known is None:
            return prompt_bytes / CHARS_PER_TOKEN + n * (max_tokens or UNKNOWN_COMPLETION)
        return prompt_bytes * known.prompt_per_byte + n * known.completion

    def learn(self, shape: bytes, prompt_bytes: int, n: int, prompt: int, completion: int) -> None:
        """What a request of this shape used."""
        if n < 1 or prompt_bytes < 1:
            return
        known = self._known.get(shape)
        if known is None:
            if len(self._known) >= MOST_SHAPES:
                self._known.clear()
            self._known[shape] = _Lengths(completion / n, prompt / prompt_bytes)
            return
        known.completion += 0.1 * (completion / n - known.completion)
        known.prompt_per_byte += 0.1 * (prompt / prompt_bytes - known.prompt_per_byte)
