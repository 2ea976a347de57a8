"""The best makespan that a client can have which does not know how long replies take."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple


class Call(NamedTuple):
    """A call of the work.

    Attributes:
        seconds: its service time.
        depth: of its stage; deeper ones go first.
        after: place in the list of the call whose answer it needs; None if it is there from the start.
    """

    seconds: float
    depth: int = 0
    after: int | None = None


def best_makespan(calls: Sequence[Call], slots: int) -> float:
    """Seconds of greedy list scheduling on so many slots.

    A call is ready when the one that it needs is answered; of those ready the deepest goes first, then the
    one that stands first in the list.
    """
    children: dict[int | None, list[int]] = {}
    for place, call in enumerate(calls):
        children.setdefault(call.after, []).append(place)
    ready = [(-calls[place].depth, place) for place in children.get(None, ())]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            place = heapq.heappop(ready)[1]
            heapq.heappush(running, (now + calls[place].seconds, place))
        now, place = heapq.heappop(running)
        for child in children.get(place, ()):
            heapq.heappush(ready, (-calls[child].depth, child))
    return now
