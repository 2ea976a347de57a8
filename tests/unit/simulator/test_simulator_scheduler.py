"""The simulated teacher's engine on a clock of its own: slots, queue, prefixes, pre-emption."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import pytest

from sdg_stream.simulator import SimulatorSettings
from sdg_stream.simulator.prefix_cache import PrefixCache
from sdg_stream.simulator.scheduler import Scheduler, Sequence, Work


class Clock:
    """Virtual time with timers; ``lateness`` is how late each timer fires."""

    def __init__(self, lateness: float = 0.0) -> None:
        self.now = 0.0
        self.lateness = lateness
        self._timers: list[tuple[float, int, Handle]] = []
        self._order = count()

    def call_later(self, delay: float, call: Callable[[], None]) -> Handle:
        """Make the call after ``delay``."""
        handle = Handle(call)
        heapq.heappush(self._timers, (self.now + delay + self.lateness, next(self._order), handle))
        return handle

    def run(self, until: float = 1e9) -> None:
        """Let time pass; stops early when there is nothing left to do."""
        while self._timers and self._timers[0][0] <= until:
            self.now, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled:
                handle.call()
        self.now = until if until < 1e9 else self.now


class Handle:
    """A timer's handle."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        """Do not make the call."""
        self.cancelled = True


def scheduler_of(clock: Clock, **settings: object) -> Scheduler:
    """A scheduler on that clock, with fixed latency unless said otherwise."""
    chosen = SimulatorSettings(**{"latency": "fixed", **settings})  # type: ignore[arg-type]
    return Scheduler(chosen, lambda: clock.now, clock.call_later)


def work_of(*seconds: float, prompt: str = "", tokens: int = 10) -> Work:
    """A prompt whose sequences take these times."""
    sequences = [Sequence(index, tokens, second) for index, second in enumerate(seconds)]
    return Work(prompt, max(1, len(prompt) // 4), sequences)


def submit(scheduler: Scheduler, clock: Clock, works: list[Work]) -> list[tuple[int, float]]:
    """Submit all works now; the list fills with (place, time) as they finish."""
    finished: list[tuple[int, float]] = []
    for place, work in enumerate(works):
        work.on_done = lambda place=place: finished.append((place, clock.now))  # type: ignore[misc]
        scheduler.submit(work)
    return finished


def test_first_come_first_served() -> None:
    """Sequences start in the order in which they came, as slots become free."""
    clock = Clock()
    scheduler = scheduler_of(clock, slots=2)
    works = [work_of(3), work_of(1), work_of(1), work_of(1), work_of(1)]
    finished = submit(scheduler, clock, works)
    assert repr(scheduler) == "<Scheduler 2/2 running, 3 waiting>"
    clock.run()
    assert [work.sequences[0].start_at for work in works] == [0, 0, 1, 2, 3]
    assert finished == [(1, 1), (2, 2), (0, 3), (3, 3), (4, 4)]
    assert (scheduler.max_running, scheduler.busy_slot_seconds) == (2, 7)


def test_late_timers_do_not_leave_slots_idle() -> None:
    """With every timer 10 ms late, a hundred sequences after one another still start without a gap."""
    clock = Clock(lateness=0.01)
    scheduler = scheduler_of(clock, slots=1)
    works = [work_of(0.1) for _ in range(100)]
    submit(scheduler, clock, works)
    clock.run()
    assert works[-1].sequences[0].finish_at == pytest.approx(10.0)
    assert clock.now == pytest.approx(10.01)


def test_choices_take_slots_of_their_own() -> None:
    """A prompt with four choices on two slots runs them two at a time, and is done when the last one is."""
    clock = Clock()
    scheduler = scheduler_of(clock, slots=2)
    finished = submit(scheduler, clock, [work_of(1, 3, 1, 1)])
    clock.run()
    assert finished == [(0, 3)]
    assert scheduler.busy_slot_seconds == 6


def test_an_abort_frees_slots_and_queue_at_once() -> None:
    """Running and waiting sequences of an aborted prompt make room for the next one."""
    clock = Clock()
    scheduler = scheduler_of(clock, slots=2)
    given_up, other = work_of(9, 9, 9), work_of(1)
    finished = submit(scheduler, clock, [given_up, other])
    clock.run(until=2)
    scheduler.abort(given_up)
    scheduler.abort(given_up)
    assert (scheduler.running, scheduler.waiting) == (1, 0)
    clock.run()
    assert finished == [(1, 3)]
    assert scheduler.busy_slot_seconds == 5
    assert scheduler.kv_tokens == 0


def test_tokens_count_as_they_are_written() -> None:
    """Half of a reply counts half-way, a reply given up as far as it came; a reset begins at zero."""
    clock = Clock()
    scheduler = scheduler_of(
        clock, latency="tokens", slots=8, prefill_tokens_per_s=1.0, decode_tokens_per_s=10.0
    )
    given_up, kept = work_of(0, prompt="abcd", tokens=40), work_of(0, prompt="efgh", tokens=40)
    submit(scheduler, clock, [given_up, kept])  # the first token after one and two seconds
    written = []
    for now in (0.5, 1.0, 3.0):
        clock.run(until=now)
        written.append(scheduler.written_tokens)
    assert written == [0, 0, 20 + 10]
    scheduler.abort(given_up)
    clock.run(until=4.0)
    assert scheduler.written_tokens == 20 + 20
    scheduler.reset()
    clock.run()
    assert scheduler.written_tokens == 20


def test_replies_without_latency_count_when_they_end() -> None:
    """On a server that answers at once all tokens are written."""
    clock = Clock()
    scheduler = scheduler_of(clock, latency="zero", slots=8)
    submit(scheduler, clock, [work_of(0, tokens=7), work_of(0, tokens=5)])
    clock.run()
    assert scheduler.written_tokens == 12


def test_prompts_are_read_once_and_shared_beginnings_not_again() -> None:
    """N choices share one reading; a second prompt with the same beginning is read from where it differs."""
    clock = Clock()
    scheduler = scheduler_of(
        clock, latency="tokens", slots=8, prefill_tokens_per_s=1000.0, decode_tokens_per_s=10.0
    )
    start = "x" * 4000  # 1000 tokens
    first, second = work_of(0, 0, prompt=start + "a" * 400), work_of(0, prompt=start + "b" * 400)
    submit(scheduler, clock, [first, second])
    clock.run()
    assert [sequence.first_token_at for sequence in first.sequences] == pytest.approx([1.1, 1.1])
    assert first.sequences[0].finish_at == pytest.approx(2.1)
    assert (scheduler.prefix_queries, scheduler.prefix_hits) == (2200, 992)  # whole blocks of 16
    assert second.sequences[0].first_token_at == pytest.approx(1.1 + 0.108)


def test_a_full_cache_costs_a_second_reading() -> None:
    """When running sequences outgrow the cache, that is counted as pre-emption and takes time."""
    clock = Clock()
    scheduler = scheduler_of(
        clock, latency="tokens", prefill_tokens_per_s=100.0, decode_tokens_per_s=10.0, kv_cache_tokens=100
    )
    works = [work_of(0, prompt="a" * 200), work_of(0, prompt="b" * 200)]
    submit(scheduler, clock, works)
    clock.run()
    assert scheduler.preemptions == 1
    assert works[1].sequences[0].first_token_at == pytest.approx(1.5)


def test_a_reset_counts_from_zero_while_sequences_run_on() -> None:
    """Busy time before the reset is forgotten, the rest of a running sequence is counted."""
    clock = Clock()
    scheduler = scheduler_of(clock)
    submit(scheduler, clock, [work_of(4)])
    clock.run(until=1)
    scheduler.reset()
    assert (scheduler.busy_slot_seconds, scheduler.max_running) == (0, 1)
    clock.run()
    assert scheduler.busy_slot_seconds == 3


def test_the_prefix_cache_forgets_what_was_used_longest_ago() -> None:
    """With room for two blocks, the block that was used last survives a third one."""
    cache = PrefixCache(32)
    one, two, three = "1" * 64, "2" * 64, "3" * 64
    assert [cache.take(text) for text in (one, two, one, three)] == [0, 0, 16, 0]
    assert [cache.take(text) for text in (one, two)] == [16, 0]
    assert cache.take("short") == 0
    cache.clear()
    assert cache.take(one) == 0
