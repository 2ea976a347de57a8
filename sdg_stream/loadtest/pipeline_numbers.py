"""From the calls of a run to its numbers. Pure arithmetic.

*Waste.* A call is used if an accepted row descends from the record that it was made for: if the call's path
is a beginning of the row's. All other tokens of settled roots are wasted. A reply from which five records
come, one of which is accepted, is used as a whole.

*Idle.* At each moment as many slots are idle as sequences are missing in flight. If calls wait meanwhile,
that many idle slots are held back; the rest has no record to ask about, and the moment says why: before the
first call, behind the last one, in the drain tail, at a barrier, or simply because the records are under way
elsewhere.

*Projection.* Roots are taken as a random sample of the input. The total of an input of N rows, of which R are
known, is N times the mean, plus or minus ``t s sqrt(N (N - R) / R)``: the normal interval of a total with
the finite population correction (Cochran, "Sampling Techniques", 3rd edition, 1977, sections 2.6 to 2.9),
with Student's t by the expansion of Abramowitz and Stegun, 26.7.5. Wall time is the slot seconds of the
roots, divided by the slots that the run kept busy, plus start and drain tail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter

import msgspec

from .call_log import Call
from .pipeline_results import BlockTokens, DrainTail, Estimate, Idle, Projection
from .window import Sample, percentiles

__all__ = [
    "Busy",
    "Sums",
    "busy_of",
    "drain_tail",
    "estimate",
    "idle_of",
    "projection",
    "samples_of",
    "sums_of",
    "tokens_by_block",
    "used_places",
]

Place = tuple[int, tuple[int, ...]]
"""Root and path of a record."""

_Z = 1.959963984540054  # 97.5 % of the normal distribution
_FEWEST = 4  # roots that make an interval


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """The times that matter of a run with a number of slots.

    Attributes:
        first, last: when the first call was sent, and the last one was over.
        full_from, full_to: the first and the last moment with all slots taken; None if there is none.
        utilisation: share of the slot time between these two that was used; 1 if there is none.
    """

    first: float
    last: float
    full_from: float | None
    full_to: float | None
    utilisation: float

    @property
    def steady_seconds(self) -> float:
        """Between the first and the last moment with all slots taken."""
        return 0.0 if self.full_from is None or self.full_to is None else self.full_to - self.full_from


class Sums(msgspec.Struct):
    """What one root came to."""

    rows: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    slot_seconds: float = 0.0


# ------------------------------------------------------------ time


def busy_of(calls: Sequence[Call], slots: int) -> Busy:
    """When the slots were in use; ``calls`` with at least one that was sent."""
    flights = [flight for call in calls for flight in call.flights]
    first, last = min(flight[0] for flight in flights), max(flight[1] for flight in flights)
    full = [(begin, end) for begin, end, in_flight, _ in _slices(calls, ()) if in_flight >= slots]
    if not full:
        return Busy(first=first, last=last, full_from=None, full_to=None, utilisation=1.0)
    since, to = full[0][0], full[-1][1]
    used = sum(
        min(in_flight, slots) * max(0.0, min(end, to) - max(begin, since))
        for begin, end, in_flight, _ in _slices(calls, ())
    )
    return Busy(
        first=first, last=last, full_from=since, full_to=to, utilisation=used / (slots * (to - since))
    )


def idle_of(
    calls: Sequence[Call], slots: int, begin: float, end: float, barriers: Sequence[int] = ()
) -> Idle:
    """Why slots were idle between ``begin`` and ``end``, the run's; ``barriers`` are positions of blocks."""
    busy = busy_of(calls, slots)
    tail = _tail_begin(calls, busy)
    stops = [span for depth in barriers if (span := _barrier(calls, depth, slots)) is not None]
    marks = [begin, busy.first, tail, busy.last, end, *(mark for span in stops for mark in span)]
    idle = dict.fromkeys(Idle.__struct_fields__[1:], 0.0)
    for since, to, in_flight, waiting in _slices(calls, marks):
        free = max(0, slots - in_flight) * (to - since)
        held = min(free, waiting * (to - since))
        idle["held_back"] += held
        middle = (since + to) / 2
        if middle < busy.first:
            reason = "start"
        elif middle > busy.last:
            reason = "end"
        elif any(low < middle < high for low, high in stops):
            reason = "barrier"
        else:
            reason = "drain_tail" if middle > tail else "no_ready_records"
        idle[reason] += free - held
    whole = slots * (end - begin)
    shares = {name: seconds / whole for name, seconds in idle.items()} if whole > 0 else idle
    return Idle(fraction=sum(shares.values()), **shares)


def drain_tail(calls: Sequence[Call], busy: Busy, seconds: float) -> DrainTail:
    """How the run of so many seconds came to its end."""
    replies = percentiles(over - sent for call in calls if call.answered for sent, over, _ in call.flights)
    tail = busy.last - _tail_begin(calls, busy)
    return DrainTail(
        seconds=tail, share=tail / seconds if seconds else 0.0, reply_p50=replies.p50, reply_p99=replies.p99
    )


def samples_of(calls: Iterable[Call]) -> list[Sample]:
    """Calls that were sent as requests of a load test: by the attempt that brought the answer."""
    return [
        Sample(
            sent=call.flights[-1][0],
            ended=call.flights[-1][1],
            prompt_tokens=call.prompt_tokens,
            output_tokens=call.output_tokens,
            error="" if call.answered else "failed",
        )
        for call in calls
        if call.flights
    ]


def _tail_begin(calls: Sequence[Call], busy: Busy) -> float:
    if busy.full_to is not None:
        return busy.full_to
    began: dict[int, float] = {}
    for call in calls:
        if call.flights:
            began.setdefault(call.root, call.flights[0][0])
    return max(began.values())


def _barrier(calls: Sequence[Call], depth: int, slots: int) -> tuple[float, float] | None:
    """From when a block that waits for all records had slots left to idle, to when it let records go."""
    after = [call.asked for call in calls if call.depth > depth]
    before = [call for call in calls if call.depth < depth and call.flights]
    if not after or not before:
        return None
    busy = busy_of(before, slots)
    return (busy.first if busy.full_to is None else busy.full_to), min(after)


def _slices(calls: Sequence[Call], marks: Sequence[float]) -> Iterable[tuple[float, float, int, int]]:
    """Stretches of time: begin, end, sequences in flight, sequences of calls that wait to be sent.

    A call waits from when it is asked for until it is over, but for the time in which it is in flight.
    """
    changes: list[tuple[float, int, int]] = [(mark, 0, 0) for mark in marks]
    for call in calls:
        if not call.flights:
            continue
        changes += [(call.asked, 0, call.choices), (call.ended, 0, -call.choices)]
        for sent, over, n in call.flights:
            changes += [(sent, n, -n), (over, -n, n)]
    changes.sort(key=itemgetter(0))
    in_flight = waiting = 0
    for (since, more, wait), (to, _, _) in pairwise(changes):
        in_flight += more
        waiting += wait
        if to > since:
            yield since, to, in_flight, max(0, waiting)


# ------------------------------------------------------------ tokens


def used_places(accepted: Iterable[Place]) -> set[Place]:
    """Records that an accepted row is, or descends from."""
    return {(root, path[:length]) for root, path in accepted for length in range(len(path) + 1)}


def tokens_by_block(
    calls: Iterable[Call], names: Mapping[int, str], used: set[Place], settled: Callable[[int], bool]
) -> tuple[BlockTokens, ...]:
    """What each block asked for, by its position; ``names`` has those of all blocks that may ask."""
    found: dict[int, list[int]] = {}
    for call in calls:
        if not call.flights:
            continue
        sums = found.setdefault(call.depth, [0, 0, 0, 0])
        wasted = settled(call.root) and (call.root, call.path) not in used
        more = (1, call.prompt_tokens, call.output_tokens, call.tokens if wasted else 0)
        found[call.depth] = [a + b for a, b in zip(sums, more, strict=True)]
    return tuple(
        BlockTokens(
            name=names.get(depth, str(depth)),
            calls=sums[0],
            prompt_tokens=sums[1],
            output_tokens=sums[2],
            wasted_tokens=sums[3],
        )
        for depth, sums in sorted(found.items())
    )


# ------------------------------------------------------------ projection


def sums_of(calls: Iterable[Call], accepted: Iterable[Place], roots: int) -> list[Sums]:
    """What each of the first ``roots`` roots came to; also of those that asked nothing."""
    found = [Sums() for _ in range(roots)]
    for call in calls:
        if call.root < roots and call.flights:
            sums = found[call.root]
            sums.calls += 1
            sums.prompt_tokens += call.prompt_tokens
            sums.output_tokens += call.output_tokens
            sums.slot_seconds += call.slot_seconds
    for root, _ in accepted:
        if root < roots:
            found[root].rows += 1
    return found


def estimate(values: Sequence[float], size: int) -> Estimate:
    """The total of ``size`` values of which these are the first, with its 95 % interval."""
    known = len(values)
    mean = math.fsum(values) / known
    total = mean * size
    if known < _FEWEST:
        return Estimate(value=total)
    scatter = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (known - 1))
    # Of fewer rows than are known none need be among these: then both are samples.
    spread = size * (size - known) / known if size >= known else size + size * size / known
    half = _student(known - 1) * scatter * math.sqrt(spread)
    return Estimate(value=total, low=max(0.0, total - half), high=total + half)


def projection(
    sums: Sequence[Sums], size: int, *, slots: float, extra: float, method: str = ""
) -> Projection:
    """What ``size`` input rows would come to.

    Args:
        sums: of the roots that are known; at least one.
        size: input rows.
        slots: that are kept busy.
        extra: seconds at start and end, when they are not.
        method: words to add to how it was made.
    """
    busy = estimate([one.slot_seconds for one in sums], size)
    hours = Estimate(
        value=(busy.value / slots + extra) / 3600,
        low=None if busy.low is None else (busy.low / slots + extra) / 3600,
        high=None if busy.high is None else (busy.high / slots + extra) / 3600,
    )
    names = ("rows", "calls", "prompt_tokens", "output_tokens")
    return Projection(
        input_rows=size,
        hours=hours,
        sampled=len(sums),
        method="mean of the sampled roots, 95 % interval by Student's t with finite population correction"
        + method,
        **{name: estimate([float(getattr(one, name)) for one in sums], size) for name in names},
    )


def _student(degrees: int) -> float:
    """97.5 % of Student's t distribution; within 1 % from 3 degrees of freedom on."""
    z, v = _Z, degrees
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / math.pow(v, power) for power, term in enumerate(terms, 1))
