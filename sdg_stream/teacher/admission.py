"""The one authority over slots: who may have a call in flight.

Slots go to the deepest block first, then to the oldest root: rows finish early and memory stays small. A call
costs as many slots as it asks for choices. One more call is let in while any slot is free, even if it costs
more than that: otherwise expensive calls would leave slots empty.
"""

from __future__ import annotations

import asyncio
import heapq
import time

__all__ = ["Admission"]


class Admission:
    """Slots of one teacher, shared by everything that asks it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_use = 0
        self._waiting: list[tuple[int, int, int, _Waiter]] = []
        self._tickets = 0
        self._busy_slot_seconds = 0.0
        self._slot_seconds = 0.0
        self._since = time.monotonic()

    @property
    def limit(self) -> int:
        """Slots that may be in use."""
        return self._limit

    @property
    def saturated(self) -> bool:
        """Whether all slots are in use."""
        return self.in_use >= self._limit

    def resize(self, limit: int) -> None:
        """Change the limit. More slots are handed out at once; of fewer, those in use are waited for."""
        self._account()
        self._limit = limit
        self._grant()

    def start(self) -> None:
        """Slot time counts from now on: the first call is about to be made."""
        self._since = time.monotonic()

    async def acquire(self, depth: int, root: int, cost: int) -> None:
        """Wait until this call may be made."""
        if self.in_use < self._limit and not self._waiting:
            self.take(cost)
            return
        self._tickets += 1
        waiter = _Waiter(cost)
        heapq.heappush(self._waiting, (-depth, root, self._tickets, waiter))
        try:
            await waiter.granted
        except BaseException:
            waiter.gone = True
            if waiter.granted.done() and not waiter.granted.cancelled():
                self.release(cost)
            raise

    def release(self, cost: int) -> None:
        """A call is over; whoever is next may go."""
        self._account()
        self.in_use -= cost
        self._grant()

    @property
    def busy_slot_seconds(self) -> float:
        """Sum over time of the slots in use, at most the limit counting."""
        self._account()
        return self._busy_slot_seconds

    @property
    def slot_seconds(self) -> float:
        """Sum over time of the limit: what :attr:`busy_slot_seconds` could have been."""
        self._account()
        return self._slot_seconds

    def take(self, cost: int) -> None:
        """Take slots whether they are free or not: for the one call that asks if a server is back."""
        self._account()
        self.in_use += cost

    def _grant(self) -> None:
        while self._waiting and self.in_use < self._limit:
            waiter = heapq.heappop(self._waiting)[-1]
            if not waiter.gone and not waiter.granted.done():
                self.take(waiter.cost)
                waiter.granted.set_result(None)

    def _account(self) -> None:
        now = time.monotonic()
        self._busy_slot_seconds += (now - self._since) * min(self.in_use, self._limit)
        self._slot_seconds += (now - self._since) * self._limit
        self._since = now


class _Waiter:
    """A call that waits. A plain future, since at full load every call waits once."""

    __slots__ = ("cost", "gone", "granted")

    def __init__(self, cost: int) -> None:
        self.cost = cost
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = False
