"""What was answered at one limit, and how surely one limit can be told from another by it."""

from __future__ import annotations

import math

__all__ = ["Share", "Window", "gain"]

_LEAST_NOISE = 0.2  # of one call's work beside its slot time, squared: a window's edges are noise as well
_MOST_NOISE = 4.0


class Window:
    """Sums over the calls that were answered while the limit stayed where it was. Times are seconds."""

    __slots__ = ("_squares", "_sums", "calls", "elapsed", "saturated", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.elapsed = 0.0
        self.calls = 0.0
        self.saturated = 0.0
        self._sums = [0.0, 0.0, 0.0]  # choices, tokens, slot seconds
        self._squares = [0.0] * 5  # of the three; choices and tokens times slot seconds

    def add(self, now: float, *, choices: int, tokens: int, seconds: float, saturated: bool) -> None:
        """A call was answered."""
        taken = choices * seconds
        self.elapsed += now - self.since
        self.since = now
        self.calls += 1
        self.saturated += saturated
        sums, squares = self._sums, self._squares
        sums[0] += choices
        sums[1] += tokens
        sums[2] += taken
        squares[0] += choices * choices
        squares[1] += tokens * tokens
        squares[2] += taken * taken
        squares[3] += choices * taken
        squares[4] += tokens * taken

    def go_on(self, now: float) -> None:
        """Go on after a break, with half of what is known: the calls may have changed meanwhile."""
        self.since = now
        self.elapsed /= 2
        self.calls /= 2
        self.saturated /= 2
        self._sums = [value / 2 for value in self._sums]
        self._squares = [value / 2 for value in self._squares]

    @property
    def choices(self) -> float:
        """Choices that came."""
        return self._sums[0]

    @property
    def slot_seconds(self) -> float:
        """Time that these calls held slots."""
        return self._sums[2]

    @property
    def choices_per_second(self) -> float:
        """Choices that came a second."""
        return self._sums[0] / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def full(self) -> bool:
        """Whether the limit was what held calls back."""
        return self.saturated >= 0.8 * self.calls

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens tell the work of a call better than choices do."""
        return self._noise_of_tokens() <= self._noise_of_choices()

    @property
    def noise(self) -> float:
        """Variance of one call's work beside its slot time, both over their means.

        Work per slot second, measured over ``n`` calls, has about this variance over ``n``, relative to
        itself (the central limit theorem for renewal-reward processes: slot times are the intervals, work
        is the reward).
        """
        return min(_MOST_NOISE, self._noise_of_tokens(), self._noise_of_choices())

    def work(self, in_tokens: bool) -> float:
        """Tokens or choices per slot second; times the slots in use that is the throughput (Little's law).

        Counting by slot time and not by the clock keeps bursts and the window's edges out.
        """
        return self._sums[in_tokens] / self._sums[2] if self._sums[2] > 0 else 0.0

    def _noise_of_tokens(self) -> float:
        """Tokens that follow slot time tell a rate almost without noise."""
        return max(_LEAST_NOISE, self._noise(1)) if self._sums[1] else math.inf

    def _noise_of_choices(self) -> float:
        """At least that of exponential times: behind a long queue slot times vary little, services do."""
        return max(1.0, self._noise(0))

    def _noise(self, unit: int) -> float:
        mean, taken = self._sums[unit], self._sums[2]
        if not mean or not taken:
            return _MOST_NOISE
        squares = self._squares
        own, both = squares[unit] / mean**2, squares[3 + unit] / (mean * taken)
        return self.calls * (own + squares[2] / taken**2 - 2 * both)


def gain(before: Window, after: Window) -> tuple[float, float]:
    """How much more work a slot second gave after than before: a logarithm, and its standard error."""
    in_tokens = before.counts_tokens and after.counts_tokens
    one, other = before.work(in_tokens), after.work(in_tokens)
    if one <= 0 or other <= 0:
        return 0.0, math.inf
    noise = max(before.noise, after.noise)
    return math.log(other / one), math.sqrt(noise * (1 / before.calls + 1 / after.calls))


class Share:
    """How many of the latest attempts ended in some way: a moving mean over about ``over`` attempts.

    Args:
        over: attempts; what came before them counts for a third.
        first: what is taken to be so before any attempt.
    """

    __slots__ = ("_weight", "value")

    def __init__(self, over: int, first: float = 0.0) -> None:
        self.value = first
        self._weight = 1 / over

    def add(self, hit: bool) -> None:
        """One more attempt has ended."""
        self.value += (hit - self.value) * self._weight
