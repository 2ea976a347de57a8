"""The closed loop against a double of a server: what it keeps in flight, counts, stops at, and tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import anyio
import pytest

from sdg_stream.abc import HttpReply
from sdg_stream.calls import CallShape, Request
from sdg_stream.errors import ConnectFailed, TeacherUnusable
from sdg_stream.loadtest.load import Load, Phases, Wire
from sdg_stream.loadtest.questions import Questions, from_requests
from sdg_stream.loadtest.results import Level
from sdg_stream.loadtest.server_view import ServerMeter
from sdg_stream.loadtest.sweep import Plan, Sweep, combined
from sdg_stream.testing.backend import completion_reply

pytestmark = pytest.mark.anyio

QUICK = Phases(warmup=0.02, duration=0.15)
PAGE = b"vllm:num_requests_running 3\nvllm:num_requests_waiting 1\nvllm:generation_tokens_total %d\n"


class Slots:
    """A server of a few slots: each request takes one for ``seconds``, then ``answer`` decides."""

    def __init__(
        self, slots: int, seconds: float, answer: Callable[[int], HttpReply | Exception] | None = None
    ) -> None:
        self._free = anyio.Semaphore(slots)
        self._seconds = seconds
        self._answer = answer or (lambda _: completion_reply("a", usage=(10, 5)))
        self.in_flight = self.most_in_flight = self.count = 0

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        *,
        headers: Mapping[str, str],
        timeout: float,
        seen: Callable[[bytes], None] | None = None,
    ) -> HttpReply:
        """Wait for a slot, hold it, answer."""
        if body is None:
            return HttpReply(200, {}, PAGE % (5 * self.count))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            async with self._free:
                await anyio.sleep(self._seconds)
        finally:
            self.in_flight -= 1
        self.count += 1
        answer = self._answer(self.count)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Nothing to close."""


def asking(n: int = 1) -> Questions:
    """One question, again and again."""
    shape = CallShape.make("completions", {"model": "m", "n": n})
    return from_requests([Request(shape, "hello")], "one", stream=False)


def wire(backend: Slots, *secrets: str) -> Wire:
    """The way to the double."""
    return Wire(backend=backend, urls=["http://x/v1"], headers={}, secrets=secrets, stream=False)


async def test_so_many_are_in_flight_and_all_is_given_up_at_the_end() -> None:
    """Never more, and none is left behind; the rate is that of slots and seconds."""
    backend = Slots(4, 0.01)
    loaded = await Load(wire(backend), asking(), 6, ServerMeter(backend, [])).run(QUICK)
    assert backend.most_in_flight == 6
    assert backend.in_flight == 0
    assert loaded.end - loaded.begin >= 0.14
    assert not loaded.notes
    assert loaded.server is None
    assert loaded.client.cpu_per_1000 > 0


async def test_the_window_waits_for_enough_requests() -> None:
    """Each worker at least once, and as many as are wanted to know the rate."""
    backend = Slots(8, 0.05)
    phases = Phases(warmup=0.0, duration=0.06, requests=10)
    loaded = await Load(wire(backend), asking(), 2, ServerMeter(backend, [])).run(phases)
    assert sum(loaded.begin < sample.ended <= loaded.end for sample in loaded.samples) >= 10


async def test_failures_are_counted_and_not_asked_again_at_once() -> None:
    """A worker waits a little after a failure; what the server said is kept, without the key."""
    refused = HttpReply(400, {}, b'{"message": "no, sk-canary-4711"}')
    backend = Slots(8, 0.0, lambda count: completion_reply("a") if count % 2 else refused)
    loaded = await Load(wire(backend, "sk-canary-4711"), asking(), 2, ServerMeter(backend, [])).run(QUICK)
    bad = [sample for sample in loaded.samples if sample.error]
    assert {sample.error for sample in bad} == {"refused_400"}
    assert {sample.words for sample in bad} == {"HTTP 400: no, [redacted]"}
    assert len(loaded.samples) < 50


async def test_nothing_but_failures_ends_it() -> None:
    """After 20 of them, with the last words."""
    backend = Slots(64, 0.0, lambda _: ConnectFailed("gone"))
    with pytest.raises(TeacherUnusable, match="20 requests failed and none succeeded; the last one: gone"):
        await Load(wire(backend), asking(), 20, ServerMeter(backend, [])).run(QUICK)
    assert backend.in_flight == 0


async def test_a_server_that_goes_away_is_no_measurement() -> None:
    """Answers first, then no connection any more: the level is not taken for a slow one."""
    backend = Slots(4, 0.01, lambda count: completion_reply("a") if count < 20 else ConnectFailed("gone"))
    with pytest.raises(TeacherUnusable, match="the server has gone: gone"):
        await Load(wire(backend), asking(), 2, ServerMeter(backend, [])).run(Phases(warmup=0.02, duration=1))


async def test_the_servers_own_numbers_stand_beside() -> None:
    """Gauges as they are, tokens a second from its counter."""
    backend = Slots(4, 0.01)
    meter = ServerMeter(backend, ["http://x/metrics"], beat=0.02)
    loaded = await Load(wire(backend), asking(), 4, meter).run(QUICK)
    assert loaded.server is not None
    assert (loaded.server.running, loaded.server.waiting_max) == (3, 1)
    assert loaded.server.output_tokens_per_s is not None
    assert loaded.server.output_tokens_per_s > 0


async def sweep(backend: Slots, plan: Plan, questions: Questions | None = None) -> tuple[Sweep, list[int]]:
    """A sweep and the levels in the order in which they were measured."""
    begun: list[int] = []
    made = Sweep(
        wire(backend),
        questions or asking(),
        [],
        plan,
        begins=lambda concurrency, _: begun.append(concurrency),
        ends=_ignore,
        samples=lambda _, samples: _ignore(samples),
    )
    await made.run()
    return made, begun


def _ignore(_: Level | Sequence[object]) -> None:
    """Nobody listens."""


async def test_doubled_until_it_does_not_help_then_closer() -> None:
    """1, 2, 4, 8 and then between; all is kept by concurrency."""
    made, begun = await sweep(Slots(3, 0.02), Plan(phases=QUICK))
    assert begun[:3] == [1, 2, 4]
    assert made.finished
    assert "in flight gave" in made.stopped
    assert [level.concurrency for level in made.levels] == sorted(begun)


async def test_the_levels_that_were_named_and_no_others() -> None:
    """In the order of their size, each as often as wanted, with the spread of the replicas."""
    made, begun = await sweep(Slots(8, 0.01), Plan(levels=(1, 4), repeat=2, phases=QUICK))
    assert begun == [1, 4, 1, 4]
    for level in made.levels:
        spread = level.spread["requests_per_s"]
        assert len(level.replicas) == 2
        assert spread.low <= level.requests_per_s <= spread.high
    assert made.stopped == ""


async def test_choices_count_as_sequences() -> None:
    """With n=10 a request is ten in flight, and levels are multiples of ten."""
    made, begun = await sweep(Slots(8, 0.01), Plan(levels=(10, 40), phases=QUICK), asking(n=10))
    assert begun == [10, 40]
    assert [level.requests_in_flight for level in made.levels] == [1, 4]


async def test_the_most_that_may_be_tried() -> None:
    """Then the words say that it was the limit, not the server."""
    made, begun = await sweep(Slots(64, 0.02), Plan(most=3, phases=QUICK))
    assert begun[:3] == [1, 2, 3]
    assert "--max-concurrency" in made.stopped


async def test_ending_in_the_middle_keeps_what_is_there() -> None:
    """Cancelled after a first level: it is there, and nothing is in flight."""
    backend = Slots(8, 0.01)
    begun = time.monotonic()
    made = Sweep(
        wire(backend),
        asking(),
        [],
        Plan(levels=(1, 2), phases=QUICK),
        begins=lambda concurrency, _: scope.cancel() if concurrency == 2 else None,
        ends=_ignore,
        samples=lambda _, samples: _ignore(samples),
    )
    with anyio.CancelScope() as scope:
        await made.run()
    assert [level.concurrency for level in made.levels] == [1]
    assert not made.finished
    assert backend.in_flight == 0
    assert time.monotonic() - begun < 5


def test_replicas_are_medians_and_sums() -> None:
    """Rates and times are medians, counts are sums, notes are all of them."""
    runs = [
        Level(
            concurrency=8,
            requests_in_flight=8,
            seconds=1.0,
            completed=10,
            requests_per_s=rate,
            errors={"timeout": 1} if rate == 3.0 else {},
            notes=("odd",),
            noise=0.03,
        )
        for rate in (1.0, 3.0, 2.0)
    ]
    found = combined(runs)
    assert (found.requests_per_s, found.completed, found.errors) == (2.0, 30, {"timeout": 1})
    assert (found.spread["requests_per_s"].low, found.spread["requests_per_s"].high) == (1.0, 3.0)
    assert found.notes == ("odd",)
    assert found.noise == pytest.approx(0.03 / 3**0.5)
