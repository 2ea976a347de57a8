"""The closed loop: so many requests in flight, each followed by the next as soon as it is answered.

It goes past the teacher client with its slots, retries and cache: what fails is counted and not asked again,
so what is measured is the server. After failures in a row a worker waits a little: a server that refuses
everything at once must not be stormed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import anyio
import msgspec

from ..abc import Backend, HttpReply
from ..errors import AttemptError, TeacherUnusable, first_leaf
from ..teacher.redaction import without
from .client_share import ClientMeter
from .questions import Question, Questions
from .reply import Arrivals, error_kind, read_reply
from .results import ClientShare, ServerView
from .server_view import ServerMeter
from .window import Sample

__all__ = ["Load", "LoadedWindow", "Phases", "Wire"]

_RAMP = 0.5  # of the warm-up, over which requests begin
_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds after a failure, doubling
_HOPELESS = 20  # failures, and one of each worker, without any success: the level is given up
_GONE = 5  # requests in a row, and one of each worker, without a connection
_STRETCH = 4.0  # a phase takes at most so many times what was asked for, and ...
_SLACK = 5.0  # ... so many seconds more
_WORDS = 200  # of a failure that are kept


class WatchedBackend(Backend, Protocol):
    """A backend that tells the pieces of a reply as they come."""

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
        """As :meth:`~sdg_stream.abc.Backend.send`; ``seen`` is told each piece of a streamed body."""


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is reached.

    Attributes:
        urls: endpoints, asked in turn by the workers.
        headers: with the key.
        secrets: not to be repeated from a server's words.
        timeout: seconds for one request.
        stream: replies are streamed.
    """

    backend: WatchedBackend
    urls: Sequence[str]
    headers: Mapping[str, str]
    secrets: Sequence[str] = ()
    timeout: float = 600.0
    stream: bool = True


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """Least lengths of warm-up and window, in seconds, and of the window in requests."""

    warmup: float = 3.0
    duration: float = 15.0
    requests: int = 0

    @property
    def longest_window(self) -> float:
        """Seconds that a window may take to see enough requests."""
        return _STRETCH * self.duration + _SLACK

    @property
    def longest_wait(self) -> float:
        """Seconds that warm-up and cool-down may take."""
        return _STRETCH * (self.warmup + self.duration) + _SLACK


class LoadedWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What one level's loop brought: all samples, the window's ends, and what was seen beside it."""

    samples: Sequence[Sample]
    begin: float
    end: float
    client: ClientShare
    server: ServerView | None
    notes: tuple[str, ...]


class Load:
    """One level under load.

    Args:
        wire: how the server is reached.
        questions: what is asked.
        workers: requests in flight.
        meter: looks at the servers.
    """

    def __init__(self, wire: Wire, questions: Questions, workers: int, meter: ServerMeter) -> None:
        self._wire = wire
        self._questions = questions
        self._workers = workers
        self._meter = meter
        self._samples: list[Sample] = []
        self._warm = _Countdown(workers)
        self._window = _Countdown(0)
        self._tail = _Countdown(0)
        self._in_flight = 0
        self._end = 0.0
        self._succeeded = False

    async def run(self, phases: Phases) -> LoadedWindow:
        """Warm up, measure, cool down.

        Raises:
            TeacherUnusable: nothing succeeds, or the server has gone away.
        """
        client = ClientMeter()
        notes: list[str] = []
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._meter.watch)
                tasks.start_soon(client.watch)
                for number in range(self._workers):
                    delay = _RAMP * phases.warmup * number / self._workers
                    tasks.start_soon(self._work, number, delay)
                await self._warm_up(phases, notes)
                client.begin()
                begin, done = time.monotonic(), len(self._samples)
                await self._meter.look()
                self._window = _Countdown(max(phases.requests, self._workers))
                await anyio.sleep(phases.duration)
                await self._window.met(phases.longest_window - phases.duration)
                self._end = end = time.monotonic()
                self._tail = _Countdown(self._in_flight)
                share = client.end(len(self._samples) - done)
                await self._meter.look()
                server = self._meter.view(begin, time.monotonic())
                await self._cool_down(phases, notes)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = first_leaf(group)
            raise error from error.__cause__
        self._check_there()
        return LoadedWindow(
            samples=self._samples, begin=begin, end=end, client=share, server=server, notes=tuple(notes)
        )

    def _check_there(self) -> None:
        """See that the server has not gone away meanwhile: such a level is no measurement of it.

        Raises:
            TeacherUnusable: the latest requests got no connection, none of them.
        """
        latest = self._samples[-max(self._workers, _GONE) :]
        if latest and all(sample.error == "connection" for sample in latest):
            raise TeacherUnusable(f"the server has gone: {latest[-1].words}")

    async def _warm_up(self, phases: Phases, notes: list[str]) -> None:
        """Until each worker has had an answer, so that the window begins in the midst of the load."""
        begun = time.monotonic()
        if not await self._warm.met(phases.longest_wait):
            notes.append(
                f"replies take so long that some had not come after {phases.longest_wait:.0f} s of warm-up: "
                "use a longer --duration"
            )
        await anyio.sleep(max(0.0, begun + phases.warmup - time.monotonic()))

    async def _cool_down(self, phases: Phases, notes: list[str]) -> None:
        """Until what was in flight at the window's end is answered: each of these counts in part."""
        if not await self._tail.met(phases.longest_wait):
            left = self._tail.left
            notes.append(f"{left} requests of the window were still not answered: use a longer --duration")

    async def _work(self, number: int, delay: float) -> None:
        """One worker: ask, wait for the answer, ask again."""
        await anyio.sleep(delay)
        url = self._wire.urls[number % len(self._wire.urls)]
        ask, first, failures = self._questions.next, True, 0
        while True:
            question = ask()
            self._in_flight += 1
            sample = await self._ask(url, question)
            self._in_flight -= 1
            self._take(sample, first=first)
            first = False
            if not sample.error:
                failures = 0
                continue
            failures += 1
            await anyio.sleep(min(_LONGEST_PAUSE, _PAUSE * 2 ** min(failures - 1, 10)))

    async def _ask(self, url: str, question: Question) -> Sample:
        """One request and what became of it."""
        wire = self._wire
        seen = Arrivals() if wire.stream else None
        sample = Sample(time.monotonic(), 0.0)
        try:
            reply = await wire.backend.send(
                "POST",
                url + question.path,
                question.body,
                headers=wire.headers,
                timeout=wire.timeout,
                seen=seen,
            )
            sample.ended = time.monotonic()
            tokens = read_reply(reply, question.shape)
        except AttemptError as error:
            sample.ended = sample.ended or time.monotonic()
            sample.error = error_kind(error)
            sample.words = without(error.message, wire.secrets)[:_WORDS]
            return sample
        if seen is not None:
            sample.first, sample.last, sample.pieces = seen.first, seen.last, seen.pieces
        if tokens is None:
            sample.output_tokens, sample.estimated = sample.pieces, True
        else:
            sample.prompt_tokens, sample.output_tokens = tokens
        return sample

    def _take(self, sample: Sample, *, first: bool) -> None:
        """Note a request that has ended, and see whether somebody waits for it.

        Raises:
            TeacherUnusable: it is one failure too many.
        """
        self._samples.append(sample)
        if first:
            self._warm.hit()
        self._window.hit()
        if sample.sent < self._end:
            self._tail.hit()
        self._succeeded = self._succeeded or not sample.error
        if not self._succeeded and len(self._samples) >= max(_HOPELESS, self._workers):
            raise TeacherUnusable(
                f"{len(self._samples)} requests failed and none succeeded; the last one: {sample.words}"
            )


class _Countdown:
    """Somebody waits until so many things have happened."""

    def __init__(self, left: int) -> None:
        self.left = left
        self._met = anyio.Event()

    def hit(self) -> None:
        """One of them has."""
        self.left -= 1
        if self.left == 0:
            self._met.set()

    async def met(self, seconds: float) -> bool:
        """Wait until all have, for so many seconds at most; whether they have."""
        if self.left > 0:
            with anyio.move_on_after(seconds):
                await self._met.wait()
        return self.left <= 0
