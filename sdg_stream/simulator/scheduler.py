"""The simulated teacher's engine: N slots with continuous batching and a first-come queue.

It decides when each sequence starts and ends and never waits itself: time and timers are handed in, so a
test drives it on a clock of its own. A sequence that waited starts at the exact moment at which the slot
became free, even when the timer that says so is late; so slots stay busy and delays do not add up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from .prefix_cache import PrefixCache
from .settings import SimulatorSettings

__all__ = ["Scheduler", "Sequence", "Timer", "Work"]


class Timer(Protocol):
    """A call that will be made later."""

    def cancel(self) -> None:
        """Do not make the call."""


class Sequence(msgspec.Struct, eq=False):
    """One choice of one prompt. Times are in seconds on the scheduler's clock.

    Attributes:
        tokens: length of the reply.
        seconds: service time where the latency model draws it, else unused.
        on_start: called when the sequence gets its slot, with its times set.
    """

    index: int
    tokens: int
    seconds: float = 0.0
    on_start: Callable[[], None] = lambda: None
    start_at: float = 0.0
    first_token_at: float = 0.0
    finish_at: float = 0.0
    timer: Timer | None = None


class Work(msgspec.Struct, eq=False):
    """One prompt with its n sequences: the unit that is queued, finished and aborted.

    Attributes:
        on_done: called when the last sequence has finished.
        queued_seconds: how long the first sequence waited for a slot.
    """

    prompt: str
    prompt_tokens: int
    sequences: list[Sequence]
    on_done: Callable[[], None] = lambda: None
    arrived_at: float = 0.0
    queued_seconds: float = -1.0
    prefilled_at: float = 0.0
    remaining: int = 0
    aborted: bool = False


class Scheduler:
    """Gives slots to sequences in order of arrival.

    Args:
        settings: number of slots and the latency model.
        clock: now, in seconds.
        call_later: makes a call after so many seconds.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._call_later = call_later
        self._prefix_cache = PrefixCache(settings.kv_cache_tokens)
        self._queue: deque[tuple[Work, Sequence]] = deque()
        self._running: dict[Sequence, Work] = {}
        self._prefill_free_at = 0.0
        self.kv_tokens = 0
        self.waiting = 0
        self.reset()

    def __repr__(self) -> str:
        return f"<Scheduler {self.running}/{self._settings.slots} running, {self.waiting} waiting>"

    @property
    def running(self) -> int:
        """Sequences in slots."""
        return len(self._running)

    @property
    def busy_slot_seconds(self) -> float:
        """Sum over all slots of the time that they were taken, since the last reset."""
        now = self._clock()
        open_seconds = sum(max(0.0, now - max(s.start_at, self._reset_at)) for s in self._running)
        return self._busy + open_seconds

    @property
    def written_tokens(self) -> int:
        """Tokens of replies since the last reset, as they are written: those of unfinished replies, too."""
        now = self._clock()
        return round(self._written + sum(self._tokens_until(now, sequence) for sequence in self._running))

    def reset(self) -> None:
        """Count from here on, and forget prefixes; what is running goes on."""
        self._busy = 0.0
        self._written = 0.0
        self._reset_at = self._clock()
        self._prefix_cache.clear()
        self.max_running = self.running
        self.preemptions = 0
        self.prefix_queries = 0
        self.prefix_hits = 0

    def submit(self, work: Work) -> None:
        """Queue a prompt's sequences; those for which a slot is free start now."""
        work.arrived_at = now = self._clock()
        work.remaining = len(work.sequences)
        self._queue.extend((work, sequence) for sequence in work.sequences)
        self.waiting += len(work.sequences)
        self._fill(now)

    def abort(self, work: Work) -> None:
        """Give up a prompt: its sequences leave the queue and their slots at once."""
        if work.aborted or not work.remaining:
            return
        work.aborted = True
        now = self._clock()
        mine = [sequence for sequence in work.sequences if sequence in self._running]
        self.waiting -= work.remaining - len(mine)
        for sequence in mine:
            if sequence.timer is not None:
                sequence.timer.cancel()
            self._release(sequence, min(now, sequence.finish_at))
        self._fill(now)

    def _fill(self, free_since: float) -> None:
        queue = self._queue
        while queue and len(self._running) < self._settings.slots:
            work, sequence = queue.popleft()
            if work.aborted:
                continue
            self.waiting -= 1
            self._start(work, sequence, max(work.arrived_at, free_since))
        self.max_running = max(self.max_running, len(self._running))

    def _start(self, work: Work, sequence: Sequence, at: float) -> None:
        if work.queued_seconds < 0:
            work.queued_seconds = at - work.arrived_at
            self._prefill(work, at)
        self._running[sequence] = work
        sequence.start_at = at
        self._reserve(work, sequence)
        if self._settings.latency == "tokens":
            sequence.first_token_at = max(at, work.prefilled_at)
            decoding = sequence.tokens / self._settings.decode_tokens_per_s
            sequence.finish_at = sequence.first_token_at + decoding
        else:
            sequence.first_token_at = at
            sequence.finish_at = at + sequence.seconds
        delay = max(0.0, sequence.finish_at - self._clock())
        sequence.timer = self._call_later(delay, lambda: self._finish(work, sequence))
        sequence.on_start()

    def _prefill(self, work: Work, at: float) -> None:
        """Read a prompt once for all its choices, except for the beginning that the cache holds."""
        hits = self._prefix_cache.take(work.prompt)
        self.prefix_queries += work.prompt_tokens
        self.prefix_hits += hits
        if self._settings.latency == "tokens":
            begin = max(at, self._prefill_free_at)
            seconds = (work.prompt_tokens - hits) / self._settings.prefill_tokens_per_s
            work.prefilled_at = self._prefill_free_at = begin + seconds

    def _reserve(self, work: Work, sequence: Sequence) -> None:
        """Take cache space. Where there is none left, vLLM drops a sequence and reads it again later.

        Here that costs the new sequence a second reading of its prompt.
        """
        self.kv_tokens += _cache_tokens(work, sequence)
        if self.kv_tokens > self._settings.kv_cache_tokens and len(self._running) > 1:
            self.preemptions += 1
            work.prefilled_at += work.prompt_tokens / self._settings.prefill_tokens_per_s

    def _finish(self, work: Work, sequence: Sequence) -> None:
        self._release(sequence, sequence.finish_at)
        work.remaining -= 1
        if not work.remaining:
            work.on_done()
        self._fill(sequence.finish_at)

    def _release(self, sequence: Sequence, at: float) -> None:
        work = self._running.pop(sequence)
        self.kv_tokens -= _cache_tokens(work, sequence)
        self._busy += max(0.0, at - max(sequence.start_at, self._reset_at))
        self._written += self._tokens_until(at, sequence)

    def _tokens_until(self, at: float, sequence: Sequence) -> float:
        """How many tokens of a reply have been written at a time, evenly from its first to its last one."""
        seconds = sequence.finish_at - sequence.first_token_at
        if seconds <= 0.0:
            return float(sequence.tokens) if at >= sequence.finish_at >= self._reset_at else 0.0
        begun = max(sequence.first_token_at, self._reset_at)
        return sequence.tokens * max(0.0, min(at, sequence.finish_at) - begun) / seconds


def _cache_tokens(work: Work, sequence: Sequence) -> int:
    """What a sequence adds to the cache: its reply, and its share of the prompt."""
    return sequence.tokens + work.prompt_tokens // len(work.sequences)
