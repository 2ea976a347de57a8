"""The limit of slots that finds itself.

Slow start: the limit grows with each answer until answers no longer come faster, which takes a few replies'
time. From there on it looks for the smallest limit that loses nothing: it changes the limit by a factor,
waits until the change shows, and compares the work a second with that before, over as many answers as their
noise demands (:mod:`.windows`). Too high a limit only lengthens the server's queue, too low a limit loses
throughput, so less is tried rarely once it has failed. A server that tells its queue is not guessed at: a few
requests are kept waiting there and no more.

"Less" (429, 503, 529) cuts the limit once an episode. Some servers refuse now and then whatever the load: if
refusals keep their share after a cut while the slots are used all the same, the cut is taken back, and
refusals of that share cut no more. Otherwise the limit comes back to just under where it was refused, and
goes on from there in ever rarer small steps. While many attempts fail in other ways the limit does not grow.

Nothing here waits or looks at a clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, TypeAlias

from ..events import LimitChange
from .metrics import ServerMetrics
from .windows import Share, Window, gain

__all__ = ["Auto"]

START = 16
MOST = 1024
HISTORY = 1000  # changes that are kept

GROWING = 1.25  # slow start goes on while a round is so many times faster than the best before
FIRST_STEP, LAST_STEP = 1.5, 1.2  # factors that are tried
FIRST_RESTS, MOST_RESTS = 8, 64  # times a trial's length that is rested after it failed
TURNS = 2.5  # answers for each slot that a window needs, since answers come in bursts
LATENCIES = 500  # the latest ones, which tell mean and p90

CUT = 0.7
SHORTEST_EPISODE = 1.0  # seconds
LONGEST_ASKED = 120.0  # seconds of Retry-After that are believed
TOLERATED = 0.5  # share of refusals that may have nothing to do with the limit
RARE, RARE_SECONDS = 0.03, 10.0  # share of refusals that for so long begins no new episode
FIRST_PATIENCE, MOST_PATIENCE = 5, 160  # times the limit's number of choices, at the ceiling
MANY_FAILURES = 0.2  # share of attempts

KV_FULL = 0.95
QUEUE = 0.1  # most that may wait, as a share of what runs
METRICS_SECONDS = 10.0  # for which a look at a server's metrics counts

Phase: TypeAlias = Literal["start", "climb", "regrow"]


class Auto:
    """Implements :class:`~sdg_stream.teacher.controller.Controller`.

    Args:
        start: the first limit.
        least: never less than this; two keep a server busy while one reply travels.
        most: never more.
    """

    def __init__(self, *, start: int = START, least: int = 2, most: int = MOST) -> None:
        self._most = max(1, most)
        self._least = min(max(1, least), self._most)
        self._start = min(max(start, self._least), self._most)
        self.limit = self._start
        self.history = [LimitChange(0.0, self.limit, "start")]
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._unsorted = 0  # latencies that the known p90 does not know
        self._known_p90 = 0.0
        self._metrics: ServerMetrics | None = None
        self._metrics_at = self._steered_until = -math.inf
        self._idle_looks = 0  # looks in a row that found nothing waiting
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the server."""
        self._phase: Phase = "start"
        self._window: Window | None = None
        self._settled_at: float | None = None
        self._failures, self._growth_at = Share(100), -math.inf
        # slow start
        self._best, self._knee, self._stalled, self._round = 0.0, self.limit, 0, self.limit
        # trials: the window before, its limit, and when the trial began
        self._trial: tuple[Window, int, float] | None = None
        self._step, self._upwards = FIRST_STEP, False
        self._rests, self._rest_until = FIRST_RESTS, -math.inf
        # "less"
        self._refusals, self._tolerable, self._episode_until = Share(100), 0.0, -math.inf
        self._before_cut: tuple[int, Phase] | None = None
        self._cut_attempts = self._cut_refusals = 0
        self._before_episode: Phase = "start"
        self._ceiling, self._patience = 0, FIRST_PATIENCE

    # ------------------------------------------------------------ what happens to calls

    def completed(self, now: float, *, choices: int, tokens: int, seconds: float, saturated: bool) -> None:
        """See :class:`~sdg_stream.teacher.controller.Controller`."""
        self._latencies.append(seconds)
        self._unsorted += 1
        self._refusals.add(False)
        self._failures.add(False)
        if self._settled_at is None:
            self._settled_at = now - seconds
        if now < self._settled_at:
            return
        self._cut_attempts += 1
        if self._window is None:
            self._window = Window(self._settled_at)
        window = self._window
        window.add(now, choices=choices, tokens=tokens, seconds=seconds, saturated=saturated)
        if self._before_cut is not None:
            self._judge_cut(now, window, *self._before_cut)
        elif self._phase == "start":
            self._slow_start(now, window, choices if saturated else 0)
        elif self._phase == "regrow":
            self._regrow(now, window)
        else:
            self._climb(now, window)

    def throttled(self, now: float, retry_after: float | None) -> None:
        """See :class:`~sdg_stream.teacher.controller.Controller`."""
        self._refusals.add(True)
        if self._settled_at is not None and now >= self._settled_at:
            self._cut_attempts += 1
            self._cut_refusals += 1
        asked = min(max(retry_after or 0.0, 0.0), LONGEST_ASKED)
        if now < self._episode_until:
            self._episode_until = max(self._episode_until, now + asked)
            return
        if retry_after is None:
            undecided = self._cut_attempts < 20 or self._cut_refusals < TOLERATED * self._cut_attempts
            rare = RARE if now < self._episode_until + RARE_SECONDS else 0.0
            tolerable = max(self._tolerable, rare)
            if self._refusals.value <= tolerable or (self._before_cut is not None and undecided):
                return
        self._cut(now, asked, judge=retry_after is None)

    def failed(self, now: float) -> None:
        """See :class:`~sdg_stream.teacher.controller.Controller`."""
        self._failures.add(True)
        if self._failures.value >= MANY_FAILURES:
            self._growth_at = now + max(1.0, self._mean_latency())

    def restart(self, now: float) -> None:
        """Begin again at the start limit, or where the limit was if that was lower."""
        self._set(now, min(self.limit, self._start), "the server was away")
        self._begin()
        self._settled_at = now

    # ------------------------------------------------------------ slow start

    def _slow_start(self, now: float, window: Window, choices: int) -> None:
        """One more slot for each answer: the limit doubles in the time of a reply."""
        if not self._stalled and self._may_grow(now):
            self.limit = min(self._most, self.limit + choices)
        if window.choices < self._round:
            return
        self._remeasure(now)
        self._round = self.limit
        if window.full:
            self._end_round(now, window.choices_per_second)

    def _end_round(self, now: float, rate: float) -> None:
        """Grow on while answers come faster; stand still for a second look before it is over."""
        if rate > GROWING * self._best:
            self._stalled, self._knee = 0, self.limit
            self._note(now, f"slow start: {rate:.0f} choices/s")
        else:
            self._stalled += 1
        self._best = max(self._best, rate)
        if self._stalled == 2 or self.limit == self._most:
            self._phase = "climb"
            words = f"more slots do not help: {self._best:.0f} choices/s"
            self._move(now, self._knee if self._stalled else self.limit, words)

    # ------------------------------------------------------------ hill climbing

    def _climb(self, now: float, window: Window) -> None:
        if not window.full and window.calls >= 20:  # too little is asked: nothing can be learnt
            self._remeasure(now)
        elif window.elapsed >= self._p90() and window.choices >= TURNS * self.limit:
            if self._trial is not None:
                self._judge_trial(now, window, *self._trial)
            elif window.calls >= self._enough(window) and now >= self._rest_until:
                self._try(now, window)
            elif window.calls >= 4 * self._enough(window):
                window.go_on(now)

    def _enough(self, window: Window) -> float:
        """Calls that tell a step of the present size from none: its standard error is a quarter of it."""
        return max(40.0, 2 * window.noise / (math.log(self._step) / 4) ** 2)

    def _try(self, now: float, window: Window) -> None:
        upwards = self._upwards
        metrics = self._fresh(now)
        if metrics is not None:
            upwards = True
            if self._idle_looks < 2:  # the server says where it stands
                self._remeasure(now)
                return
        less = min(self.limit - 1, math.ceil(self.limit / self._step))
        limit = self._rounded(math.ceil(self.limit * self._step) if upwards else less)
        if limit == self.limit or (upwards and not self._may_grow(now)):
            self._upwards = not upwards
            self._remeasure(now)
            return
        self._trial = (window, self.limit, now)
        self._move(now, limit, "trying more" if upwards else "trying less")

    def _judge_trial(self, now: float, window: Window, base: Window, before: int, begun: float) -> None:
        """Keep a step up that gains, or one down that loses next to nothing."""
        change = math.log(self.limit / before)
        per_slot, error = gain(base, window)
        gained, up = per_slot + change, change > 0
        threshold = (0.1 if self._step <= LAST_STEP and not up else 0.3) * change
        surely = 3 if up or gained > threshold else 2  # too little costs meanwhile, so that ends sooner
        if window.calls < self._enough(window) and abs(gained - threshold) < surely * error:
            return
        if up and self._fresh(now) is not None:
            threshold = 0.01  # nothing waits there: that alone speaks for more
        words = f"{math.expm1(gained):+.0%} work a second"
        self._trial = None
        if gained >= threshold:
            self._upwards = up
            self._rests = max(FIRST_RESTS, self._rests // 2)
            self._note(now, f"kept: {words}")
            return
        self._rest(now, now - begun)
        self._upwards = not up
        self._move(now, before, f"back: {words}")
        base.go_on(now + self._p90())
        self._window = base

    def _rest(self, now: float, seconds: float) -> None:
        """Smaller steps after a failed trial; at the smallest, longer and longer rests."""
        rests = 1
        if self._step > LAST_STEP:
            self._step = max(LAST_STEP, math.sqrt(self._step))
        else:
            rests = self._rests
            self._rests = min(MOST_RESTS, 2 * rests)
        self._rest_until = now + rests * seconds

    # ------------------------------------------------------------ after "less"

    def _cut(self, now: float, asked: float, *, judge: bool) -> None:
        self._before_cut = (self.limit, self._phase) if judge else None
        again = abs(self.limit - self._ceiling) <= 0.15 * self._ceiling
        self._patience = min(MOST_PATIENCE, 2 * self._patience) if again else FIRST_PATIENCE
        if self._phase != "regrow":
            self._before_episode = self._phase
        self._ceiling, self._phase, self._trial = self.limit, "regrow", None
        self._cut_attempts = self._cut_refusals = 0
        self._move(now, self.limit * CUT, "the server said less")
        self._episode_until = now + max(asked, SHORTEST_EPISODE, 2 * self._mean_latency())

    def _judge_cut(self, now: float, window: Window, before: int, phase: Phase) -> None:
        """Take a cut back that the refusals do not follow."""
        needed = 50 if self._cut_refusals else min(150, max(50, 4 * self.limit))  # none may be chance
        if self._cut_attempts < needed or now < self._episode_until or window.elapsed < self._p90():
            return
        share = self._cut_refusals / self._cut_attempts
        used = window.slot_seconds / (self.limit * window.elapsed)
        self._before_cut = None
        if 0 < share <= TOLERATED and used >= 0.7:
            self._tolerable = max(self._tolerable, 2 * share + 0.05)
            self._phase = phase
            self._move(now, before, f"the server says less to {share:.1%} at any limit")
            self._settled_at = now
        else:
            self._tolerable = 0.0
            self._remeasure(now)

    def _regrow(self, now: float, window: Window) -> None:
        """Come back to the ceiling in a few rounds; go on from there slowly, then faster."""
        below = self._ceiling - self.limit
        rounds = 1 if below > 1 else self._patience
        if window.choices < rounds * self.limit or now < self._episode_until:
            return
        self._remeasure(now)
        if window.full and self._may_grow(now):
            step = below / 3 if below > 1 else max(0.02 * self.limit, -below)
            self._set(now, self._rounded(math.ceil(self.limit + max(1.0, step))), "growing again")
        if self.limit > 1.1 * self._ceiling:  # that was no ceiling
            self._phase, self._step = self._before_episode, LAST_STEP
            self._stalled, self._round = 0, self.limit

    # ------------------------------------------------------------ what the server says of itself

    def observed(self, now: float, metrics: ServerMetrics, *, own: int | None = None) -> None:
        """See :class:`~sdg_stream.teacher.controller.Controller`."""
        everything = metrics.running + metrics.waiting
        if everything <= 0:
            return
        last, self._metrics = self._metrics, metrics
        self._metrics_at = now
        self._idle_looks = self._idle_looks + 1 if metrics.waiting < 1 else 0
        preempted = last is not None and metrics.preemptions > last.preemptions
        if now < self._steered_until:
            return
        most_waiting = max(1.0, QUEUE * metrics.running)
        if preempted or metrics.kv_usage > KV_FULL:
            why = "the server preempts requests" if preempted else f"KV cache {metrics.kv_usage:.0%} full"
            self._steer(now, 0.9 * self.limit, why)
        elif metrics.waiting > most_waiting:
            if own is not None and everything > 1.25 * own + 4:  # the queue is somebody else's
                return
            surplus = metrics.waiting - max(1.0, 0.7 * most_waiting)
            words = f"{metrics.waiting:.0f} requests wait there, {metrics.running:.0f} run"
            self._steer(now, max(self.limit / 2, self.limit - surplus), words)
        elif metrics.waiting >= 1 and self._phase == "start":
            self._phase = "climb"
            self._remeasure(now)
            self._note(now, "the server has a queue")

    def _steer(self, now: float, limit: float, words: str) -> None:
        """Set the limit, and let that show before the next look counts."""
        if self._phase == "start":
            self._phase = "climb"
        self._trial, self._step = None, LAST_STEP
        self._steered_until = now + max(1.0, 2 * self._mean_latency())
        self._move(now, limit, words)

    def _fresh(self, now: float) -> ServerMetrics | None:
        return self._metrics if now - self._metrics_at < METRICS_SECONDS else None

    # ------------------------------------------------------------ small things

    def _may_grow(self, now: float) -> bool:
        return now >= max(self._episode_until, self._growth_at)

    def _p90(self) -> float:
        if self._unsorted > min(50, 0.1 * len(self._latencies)):  # sorting for each call would cost too much
            self._unsorted = 0
            self._known_p90 = sorted(self._latencies)[int(0.9 * len(self._latencies))]
        return self._known_p90

    def _mean_latency(self) -> float:
        return sum(self._latencies) / len(self._latencies) if self._latencies else 0.0

    def _rounded(self, limit: float) -> int:
        return min(self._most, max(self._least, math.floor(limit)))

    def _move(self, now: float, limit: float, reason: str) -> None:
        """Change the limit, and measure once calls made under the old one have come back."""
        self._set(now, self._rounded(limit), reason)
        self._remeasure(now + self._p90())

    def _remeasure(self, since: float) -> None:
        """Forget what was measured at this limit."""
        self._settled_at = since
        self._window = None

    def _set(self, now: float, limit: int, reason: str) -> None:
        if limit != self.limit:
            self.limit = limit
            self._note(now, reason)

    def _note(self, now: float, reason: str) -> None:
        self.history.append(LimitChange(now, self.limit, reason))
        if len(self.history) > HISTORY:
            del self.history[: HISTORY // 10]
