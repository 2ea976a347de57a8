"""Targets and budgets: how many rows are wanted, how much may be spent on them, and when the feed must wait.

A run with a limit stops at the feed and nowhere else: input rows that are not fed are not read, and what is
in flight is finished and kept. So a run exceeds its limit by what is in flight at most. To keep even that
small, the feed is steered: with a target it opens another root only while the open ones are not expected to
give the missing rows; with a token or cost budget, only while they are not expected to use up the rest of it.
A time budget is not steered: the feed ends when the time is over.

Nothing here waits for ever: the feed is told to wait only while roots are in flight, and each of them that
settles or is committed asks again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias, TypeVar

import anyio
import msgspec

from ..errors import ConfigError

__all__ = [
    "BUDGETS",
    "CANDIDATE_CAP",
    "COST_BUDGET",
    "TARGET_REACHED",
    "TIME_BUDGET",
    "TOKENS_BUDGET",
    "Governor",
    "Limits",
    "RowsPerRoot",
    "Step",
]

TARGET_REACHED = "target reached"
CANDIDATE_CAP = "candidate cap"
TOKENS_BUDGET = "token budget"
COST_BUDGET = "cost budget"
TIME_BUDGET = "time budget"
BUDGETS = frozenset({CANDIDATE_CAP, TOKENS_BUDGET, COST_BUDGET, TIME_BUDGET})
"""Values of ``RunReport.stopped`` that leave something undone: the command line's exit code 7."""

FIRST_GUESS = 10.0  # rows of a root, until the first one tells
FIRST_ROOTS = 16  # open roots under a token or cost budget, until the first one tells what a root costs
MEMORY = (
    256  # roots: how far back the expected rows of a root look; drop_duplicates lets fewer through with time
)

Step: TypeAlias = Literal["feed", "wait", "stop"]
T = TypeVar("T")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run ends before its input does. None is no limit.

    Attributes:
        target: accepted rows that are wanted. Reaching it is success.
        max_candidates: input rows that are read at most, target reached or not.
        max_tokens_total: tokens of prompts and replies together.
        max_cost: in the currency of the prices.
        max_time: seconds after which no more roots are fed.
        price_in: of a million prompt tokens.
        price_out: of a million reply tokens.

    Raises:
        ConfigError: a limit is not positive, or a cost limit has no prices.
    """

    target: int | None = None
    max_candidates: int | None = None
    max_tokens_total: int | None = None
    max_cost: float | None = None
    max_time: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0

    def __post_init__(self) -> None:
        for name in ("target", "max_candidates", "max_tokens_total", "max_cost", "max_time"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be more than 0, not {value}")
        if not (0 <= self.price_in < math.inf and 0 <= self.price_out < math.inf):
            raise ConfigError("price_in and price_out must be 0 or more")
        if self.max_cost is not None and not self.price_in + self.price_out:
            raise ConfigError(
                "max_cost needs prices: of a million prompt tokens (price_in) and reply tokens (price_out)"
            )

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        ends = (self.target, self.max_candidates, self.max_tokens_total, self.max_cost, self.max_time)
        return any(end is not None for end in ends)

    def check(self, *, barrier: bool) -> None:
        """See whether a pipeline can be run within these limits; ``barrier``: a block waits for all records.

        Raises:
            ConfigError: there is a target, but no row is finished before the input has ended.
        """
        if self.target is not None and barrier:
            raise ConfigError(
                "a target needs rows that are done while the input is read, but this pipeline has a block "
                "that waits for all records (the command plan shows it); limit the input rows instead"
            )

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens that were used must be known."""
        return self.max_tokens_total is not None or self.max_cost is not None

    def cost(self, tokens: tuple[int, int]) -> float:
        """What (prompt tokens, reply tokens) cost, in the currency of the prices."""
        return (tokens[0] * self.price_in + tokens[1] * self.price_out) / 1e6


class RowsPerRoot:
    """Accepted rows that a root is expected to give, from those that settled; the recent ones count more."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._sum = 0.0
        self._squares = 0.0

    def add(self, rows: float) -> None:
        """A root settled with so many rows."""
        keep = 1 - 1 / MEMORY
        self._weight = self._weight * keep + 1
        self._sum = self._sum * keep + rows
        self._squares = self._squares * keep + rows * rows

    @property
    def mean(self) -> float:
        """The mean, unguarded; the guess while there is none."""
        return self._sum / self._weight if self._weight else FIRST_GUESS

    @property
    def cautious(self) -> float:
        """The mean and what it may be off by: one standard error, and one row in all of the roots seen.

        Too high a number only makes the feed wait for the next root to settle; too low a number is paid for.
        """
        if not self._weight:
            return FIRST_GUESS
        variance = max(0.0, self._squares / self._weight - self.mean**2)
        return self.mean + math.sqrt(variance / self._weight) + 1 / self._weight


class Governor:
    """Decides for one run whether another root may be fed.

    Args:
        limits: where the run ends.
        tokens: (prompt tokens, reply tokens) that the teacher has used so far; asked only if a limit needs
            it. A teacher that several runs share counts for all of them.
        steered: false for pipelines with a barrier, where no root settles before the input has ended: the
            limits are then only compared with what was spent.
        clock: seconds, monotonic.

    Raises:
        ConfigError: there is a target, but a barrier keeps all rows back until the input has ended.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        tokens: Callable[[], tuple[int, int]] = lambda: (0, 0),
        steered: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits.check(barrier=not steered)
        self.limits = limits
        self.opened = 0
        self.settled = 0
        self.rows = 0
        self._promised = 0  # rows of roots that have settled and are not committed yet
        self._rate = RowsPerRoot()
        self._steered = steered
        self._tokens = tokens if limits.counts_tokens else lambda: (0, 0)
        self._before = self._tokens()
        self._clock = clock
        self._started = clock()
        self._stopped = ""
        self._changed = anyio.Event()
        self._reading: anyio.CancelScope | None = None

    def restore(self, roots: int, rows: int, tokens: tuple[int, int]) -> None:
        """Count what earlier sessions of the run have read, made and spent; time counts anew."""
        self.opened = self.settled = roots
        self.rows = rows
        self._before = (self._before[0] - tokens[0], self._before[1] - tokens[1])
        if roots:
            self._rate.add(rows / roots)

    # ------------------------------------------------------------ for the feed

    async def read(self, read: Callable[[], Awaitable[Sequence[T]]]) -> Sequence[T]:
        """The next input rows; none as well when the feed has to end, also while it waits for the source."""
        if self._step() == "stop":
            return ()
        with anyio.move_on_after(self._seconds_left()) as self._reading:
            rows = await read()
        if self._reading.cancelled_caught:
            self._stopped = self._stopped or TIME_BUDGET
            rows = ()
        self._reading = None
        return rows

    async def room(self) -> bool:
        """Wait until another root may be opened, and count it; False if none may be any more."""
        while (step := self._step()) == "wait":
            self._changed = anyio.Event()
            await self._changed.wait()
        if step == "feed":
            self.opened += 1
        return step == "feed"

    # ------------------------------------------------------------ for the last gate and the commit

    def root_settled(self, rows: int) -> None:
        """All descendants of a root are decided; ``rows`` of them wait to be committed."""
        self.settled += 1
        self._promised += rows
        self._rate.add(rows)
        self._again()

    def root_committed(self, rows: int, lost: int = 0) -> None:
        """A settled root is in the output with ``rows`` rows; ``lost`` more could not be written."""
        self._promised -= rows + lost
        self.rows += rows
        self._again()

    # ------------------------------------------------------------ deciding

    @property
    def stopped(self) -> str:
        """Why the run ended before its input, one of this module's words; empty if it did not."""
        return TARGET_REACHED if self._reached() else self._stopped

    def roots_wanted(self) -> int | None:
        """How many roots it will take to reach the target, as far as is known; None without a target."""
        if self.limits.target is None:
            return None
        missing = self.limits.target - self._sure() - (self.opened - self.settled) * self._rate.mean
        more = math.ceil(max(0.0, missing) / max(self._rate.mean, 1 / MEMORY))
        return min(self.opened + more, self.limits.max_candidates or self.opened + more)

    def decide(self, now: float, tokens: tuple[int, int]) -> Step:
        """What the feed may do at a time of the clock, with these tokens used since the run began.

        ``stop`` is for good; ``wait`` is said only while a root is in flight.
        """
        self._stopped = self._stopped or self._exhausted(now, tokens)
        if self._stopped:
            return "stop"
        return "wait" if self._steered and self._enough_open(tokens) else "feed"

    def _exhausted(self, now: float, tokens: tuple[int, int]) -> str:
        """The limit that is reached; empty if none is."""
        limits = self.limits
        if self._reached():
            return TARGET_REACHED
        if limits.max_candidates is not None and self.opened >= limits.max_candidates:
            return CANDIDATE_CAP
        if limits.max_tokens_total is not None and sum(tokens) >= limits.max_tokens_total:
            return TOKENS_BUDGET
        if limits.max_cost is not None and limits.cost(tokens) >= limits.max_cost:
            return COST_BUDGET
        if limits.max_time is not None and now - self._started >= limits.max_time:
            return TIME_BUDGET
        return ""

    def _enough_open(self, tokens: tuple[int, int]) -> bool:
        """Whether the open roots are expected to be all that it takes to come to a limit."""
        limits, opened = self.limits, self.opened - self.settled
        if limits.target is not None and self._sure() + opened * self._rate.cautious >= limits.target:
            return True
        if limits.max_tokens_total is not None and self._uses_up(sum(tokens), limits.max_tokens_total):
            return True
        return limits.max_cost is not None and self._uses_up(limits.cost(tokens), limits.max_cost)

    def _uses_up(self, spent: float, allowed: float) -> bool:
        """Whether the open roots are expected to spend the rest of a budget.

        What open roots have spent already counts as spent by the settled ones, so the expectation is high
        while few have settled. Nothing open spends nothing, so the feed never waits for nobody.
        """
        opened = self.opened - self.settled
        if not self.settled:
            return opened >= FIRST_ROOTS
        return opened > 0 and spent + opened * spent / self.settled >= allowed

    def _sure(self) -> int:
        return self.rows + self._promised

    def _reached(self) -> bool:
        return self.limits.target is not None and self.rows >= self.limits.target

    def _step(self) -> Step:
        used = self._tokens()
        return self.decide(self._clock(), (used[0] - self._before[0], used[1] - self._before[1]))

    def _seconds_left(self) -> float:
        if self.limits.max_time is None:
            return math.inf
        return self._started + self.limits.max_time - self._clock()

    def _again(self) -> None:
        """Something changed: a waiting feed asks again, one that reads stops reading if it has to end."""
        self._changed.set()
        if self._reading is not None and self._step() == "stop":
            self._reading.cancel()
