"""Replicas with prefix caches, and a client that keeps them busy through a router, in virtual time."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable
from itertools import count

import msgspec

from sdg_stream.abc import CallShape, Request
from sdg_stream.simulator.scheduler import Scheduler, Sequence, Work
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.teacher.routing import Router

__all__ = ["Measured", "Prompt", "prompts", "simulate"]

SHAPE = CallShape.make("completions", {"model": "m", "temperature": 0, "max_tokens": 9})
CONSTANT = "Go by the context alone, not by what you know. " * 40


class Prompt(msgspec.Struct):
    """What is asked, and the length of the answer in tokens."""

    text: str
    tokens: int


class Measured(msgspec.Struct):
    """What came of it: calls a second, share of prompt tokens found in a cache, largest load over mean."""

    rate: float
    hits: float
    max_over_mean: float


class _Timer:
    gone = False

    def cancel(self) -> None:
        self.gone = True


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, int, _Timer, Callable[[], None]]] = []
        self.order = count()

    def later(self, seconds: float, call: Callable[[], None]) -> _Timer:
        timer = _Timer()
        heapq.heappush(self.calls, (self.now + seconds, next(self.order), timer, call))
        return timer

    def run(self) -> None:
        while self.calls:
            at, _, timer, call = heapq.heappop(self.calls)
            if not timer.gone:
                self.now = at
                call()


def prompts(documents: int, records: int, *, shuffled: bool, tokens: int = 60) -> list[Prompt]:
    """``records`` prompts for each of ``documents`` documents of about 1,500 tokens."""
    dice = random.Random(documents)
    found = []
    for number in range(documents):
        document = " ".join(f"{dice.choice(['tide', 'wind', 'rock'])}{number}" for _ in range(1000))
        for record in range(records):
            length = max(5, int(dice.lognormvariate(math.log(tokens), 0.8)))
            found.append(Prompt(f"{CONSTANT}{document} Is it so? {record} {dice.random()}", length))
    if shuffled:
        dice.shuffle(found)
    return found


def simulate(
    router: Router, calls: Iterable[Prompt], settings: SimulatorSettings, in_flight: int
) -> Measured:
    """Ask everything, always with ``in_flight`` calls under way; every endpoint has a server of its own."""
    clock = _Clock()
    endpoints = router.endpoints
    servers = {endpoint.url: Scheduler(settings, lambda: clock.now, clock.later) for endpoint in endpoints}
    rest = iter(calls)
    loads: list[float] = []
    answered = 0

    def ask() -> None:
        call = next(rest, None)
        if call is None:
            return
        endpoint = router.pick(router.key(Request(SHAPE, call.text)), 1, clock.now)
        flying = sum(other.in_flight for other in endpoints)
        if flying == in_flight:
            loads.append(max(other.in_flight for other in endpoints) * len(endpoints) / flying)

        def over() -> None:
            nonlocal answered
            answered += 1
            router.done(endpoint, 1, "answered", clock.now, seconds=1.0)
            ask()

        work = Work(call.text, len(call.text) // 4, [Sequence(0, call.tokens)], over)
        servers[endpoint.url].submit(work)

    for _ in range(in_flight):
        ask()
    clock.run()
    hits = sum(server.prefix_hits for server in servers.values())
    read = sum(server.prefix_queries for server in servers.values())
    return Measured(answered / clock.now, hits / read, max(loads))
