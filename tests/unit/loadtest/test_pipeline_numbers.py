"""The arithmetic of a watched run, on call logs made by hand."""

from __future__ import annotations

import pytest

from sdg_stream.loadtest.call_log import Call
from sdg_stream.loadtest.pipeline_numbers import (
    Sums,
    busy_of,
    drain_tail,
    estimate,
    idle_of,
    projection,
    samples_of,
    sums_of,
    tokens_by_block,
    used_places,
)


def call(
    sent: float,
    over: float,
    *,
    asked: float | None = None,
    root: int = 0,
    path: tuple[int, ...] = (),
    depth: int = 0,
    tokens: tuple[int, int] = (10, 5),
) -> Call:
    """A call of one sequence that was answered."""
    return Call(
        asked=sent if asked is None else asked,
        depth=depth,
        root=root,
        path=path,
        ended=over,
        prompt_tokens=tokens[0],
        output_tokens=tokens[1],
        flights=[(sent, over, 1)],
        answered=True,
    )


def test_slots_that_are_all_taken_are_not_idle() -> None:
    """From the first moment to the last one."""
    calls = [call(0, 5), call(5, 10, root=1), call(0, 10, root=2)]
    assert idle_of(calls, 2, 0, 10).fraction == 0
    busy = busy_of(calls, 2)
    assert (busy.full_from, busy.full_to, busy.utilisation) == (0, 10, 1.0)


def test_start_and_end_are_told_apart() -> None:
    """Before the first call and after the last reply: 2 and 1 of 10 seconds."""
    idle = idle_of([call(2, 9)], 1, 0, 10)
    assert [idle.start, idle.end] == pytest.approx([0.2, 0.1])
    assert idle.fraction == pytest.approx(0.3)


def test_records_under_way_elsewhere_leave_slots_idle() -> None:
    """One of two slots from 4 to 6, in the midst of the run."""
    calls = [call(0, 10), call(0, 4, root=1), call(6, 10, root=1)]
    idle = idle_of(calls, 2, 0, 10)
    assert idle.no_ready_records == pytest.approx(2 / 20)
    assert idle.fraction == pytest.approx(idle.no_ready_records)


def test_a_call_that_waits_beside_a_free_slot_is_held_back() -> None:
    """Asked for at 4, sent at 6: not for want of records."""
    calls = [call(0, 10), call(0, 4, root=1), call(6, 10, asked=4, root=1)]
    idle = idle_of(calls, 2, 0, 10)
    assert idle.held_back == pytest.approx(2 / 20)
    assert idle.no_ready_records == 0


def test_a_pause_between_two_attempts_holds_a_call_back() -> None:
    """The slot is free while the call waits for its second attempt."""
    retried = Call(0, 0, 0, (), ended=10, flights=[(0, 2, 1), (5, 10, 1)], answered=True)
    assert idle_of([retried], 1, 0, 10).held_back == pytest.approx(0.3)


def test_the_drain_tail_begins_when_slots_are_full_for_the_last_time() -> None:
    """Two slots until 6, then one until 10."""
    calls = [call(0, 6), call(0, 10, root=1)]
    idle = idle_of(calls, 2, 0, 10)
    assert idle.drain_tail == pytest.approx(4 / 20)
    tail = drain_tail(calls, busy_of(calls, 2), 10)
    assert [tail.seconds, tail.share] == pytest.approx([4, 0.4])
    assert [tail.reply_p50, tail.reply_p99] == pytest.approx([8, 9.96])


def test_without_a_full_moment_the_tail_begins_with_the_last_row() -> None:
    """Its first call, at 4."""
    calls = [call(0, 3), call(4, 6, root=1), call(6, 9, root=1, depth=1)]
    busy = busy_of(calls, 8)
    assert busy.full_to is None
    assert drain_tail(calls, busy, 10).seconds == pytest.approx(5)


def test_a_barrier_is_to_blame_for_the_slots_before_it() -> None:
    """Block 1 waits for all records: one slot is idle from 2 to 6."""
    before = [call(0, 2), call(0, 6, root=1)]
    after = [call(6, 10, depth=2), call(6, 10, root=1, depth=2)]
    idle = idle_of([*before, *after], 2, 0, 10, barriers=[1])
    assert idle.barrier == pytest.approx(4 / 20)
    assert idle.no_ready_records == 0
    assert idle_of([*before, *after], 2, 0, 10).no_ready_records == pytest.approx(4 / 20)


def test_a_call_answered_by_another_one_takes_no_slot_and_waits_for_none() -> None:
    """It was saved: nothing was held back by it."""
    saved = Call(0, 0, 1, (), ended=10, answered=True)
    assert idle_of([call(0, 5), saved], 1, 0, 10).held_back == 0
    assert len(samples_of([call(0, 5), saved])) == 1


def test_waste_are_calls_that_no_accepted_row_descends_from() -> None:
    """A call counts as used for any descendant; those of open roots in neither."""
    calls = [
        call(0, 1, tokens=(10, 10)),  # of root 0: a row descends from it
        call(1, 2, path=(0,), depth=1, tokens=(5, 5)),  # leads to the row
        call(1, 2, path=(1,), depth=1, tokens=(7, 3)),  # filtered
        call(0, 1, root=1, tokens=(1, 1)),  # a root that was filtered as a whole
        call(0, 1, root=2, tokens=(100, 0)),  # still open
    ]
    used = used_places([(0, (0, 4))])
    first, second = tokens_by_block(calls, {0: "ask", 1: "judge"}, used, lambda root: root < 2)
    assert (first.name, first.calls, first.wasted_tokens) == ("ask", 3, 2)
    assert (second.name, second.prompt_tokens, second.wasted_tokens) == ("judge", 12, 10)


def test_sums_are_by_root_and_know_those_that_asked_nothing() -> None:
    """Rows, calls, tokens, slot seconds."""
    calls = [call(0, 2), call(2, 3, depth=1), call(0, 1, root=5)]
    first, second = sums_of(calls, [(0, (0,)), (0, (1,))], 2)
    assert (first.rows, first.calls, first.output_tokens, first.slot_seconds) == (2, 2, 10, 3)
    assert second == Sums()


def test_what_is_known_as_a_whole_has_no_interval_left() -> None:
    """The finite population correction; a larger input has a wider interval."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    whole = estimate(values, 5)
    assert (whole.value, whole.low, whole.high) == (15, 15, 15)
    larger = estimate(values, 100)
    # t(4) = 2.776, s = 1.5811, sqrt(100 * 95 / 5) = 43.589
    assert larger.value == 300
    assert larger.high == pytest.approx(300 + 2.776 * 1.5811 * 43.589, rel=1e-3)
    assert larger.low == pytest.approx(600 - larger.high) if larger.high else False


def test_few_roots_make_no_interval() -> None:
    """Three of them only a mean."""
    assert (estimate([1, 2, 3], 30).value, estimate([1, 2, 3], 30).low) == (60, None)


def test_hours_follow_from_slot_seconds_and_what_is_added() -> None:
    """Ten roots of 36 slot seconds each on 10 slots: 1,000 of them take an hour, and 36 s more."""
    found = projection([Sums(rows=2, slot_seconds=36.0)] * 10, 1000, slots=10, extra=36)
    assert (found.rows.value, found.rows.low, found.rows.high) == (2000, 2000, 2000)
    assert found.hours.value == pytest.approx(1.01)
    assert found.sampled == 10
