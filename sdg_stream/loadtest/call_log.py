"""What a run asks of the teacher, call by call, and a sample of its prompts.

A call's time is known at two places: where a block asks (:class:`WatchedTeacher`) and where its attempts go
over the wire (:class:`WatchedBackend`). What lies between them, the waiting for a slot, tells a teacher that
is idle for want of records from one that is kept from working.

Each call leaves a few numbers. Its prompt is kept only if a sample of bounded size has room for its root:
all requests of a root, or none, so that what they share stays shared. Roots have fixed random places between
0 and 1, and those below a bound are kept; it is halved whenever they have become too many (the adaptive
sampling of Wegman, analysed by Flajolet, "On adaptive sampling", Computing 43, 1990).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from hashlib import blake2b

import anyio
import msgspec

from ..abc import HttpReply, Request, Teacher, TeacherWrapper
from ..calls import Completion
from ..teacher.http import AiohttpBackend
from ..teacher.lean import LeanBackend
from .questions import salted

__all__ = ["Call", "CallLog", "PromptSample", "WatchedBackend", "WatchedTeacher"]

SAMPLE = 2048  # requests
SAMPLE_BYTES = 32 * 1024 * 1024  # of their prompts

Clock = Callable[[], float]


class Call(msgspec.Struct, gc=False):
    """One call of a block. Times are seconds on one monotonic clock, 0 for what has not happened.

    Attributes:
        asked: when the block asked; ``ended``: when it had its answer, or none.
        depth, root, path: who asked: the block's position, and the record.
        choices: sequences that it takes.
        flights: its attempts: when sent, when over, sequences in flight meanwhile.
        answered: it has an answer.
    """

    asked: float
    depth: int
    root: int
    path: tuple[int, ...]
    choices: int = 1
    ended: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    flights: list[tuple[float, float, int]] = []
    answered: bool = False

    @property
    def tokens(self) -> int:
        """Of prompt and reply together."""
        return self.prompt_tokens + self.output_tokens

    @property
    def slot_seconds(self) -> float:
        """Sequences times the seconds for which they were in flight."""
        return sum(n * (over - sent) for sent, over, n in self.flights)


class PromptSample:
    """The requests of a random part of the roots, of bounded size.

    Args:
        most: requests that are kept.
        most_bytes: of their prompts, about.
    """

    def __init__(self, most: int = SAMPLE, most_bytes: int = SAMPLE_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._share = 1.0
        self._bytes = 0
        self._kept: list[tuple[float, Request]] = []

    def add(self, request: Request, moment: float = 0.0) -> None:
        """One more request has come by, at a moment."""
        if _place(request.root) >= self._share:
            return
        self._kept.append((moment, request))
        self._bytes += _size(request)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._halve()

    def _halve(self) -> None:
        if len({request.root for _, request in self._kept}) == 1:  # of one root alone no part can be taken
            self._bytes -= _size(self._kept.pop()[1])
            return
        self._share /= 2
        left = [item for item in self._kept if _place(item[1].root) < self._share]
        self._kept = left or self._kept[:1]
        self._bytes = sum(_size(request) for _, request in self._kept)

    def requests(self, begin: float = -math.inf, end: float = math.inf) -> list[Request]:
        """Those that were kept and came between two moments, in the order in which they came."""
        return [request for moment, request in self._kept if begin <= moment <= end]


class CallLog:
    """The calls of a run so far.

    Attributes:
        calls: all of them.
        roots: who has asked.
        waiting: sequences of calls that are not sent yet.
        sample: of the requests.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self.roots: set[int] = set()
        self.waiting = 0
        self.sample = PromptSample()
        self._moved = anyio.Event()

    def asked(self, request: Request) -> Call:
        """A block asks."""
        choices = request.shape.n
        call = Call(self.clock(), request.depth, request.root, request.path, choices, flights=[])
        self.calls.append(call)
        self.roots.add(request.root)
        self.waiting += choices
        return call

    def sent(self, call: Call) -> None:
        """An attempt goes out."""
        if not call.flights:
            self.waiting -= call.choices
            self._moved.set()

    def ended(self, call: Call) -> None:
        """The block has its answer, or an error."""
        call.ended = self.clock()
        if not call.flights:  # it was answered by another one, or given up
            self.waiting -= call.choices
            self._moved.set()

    async def moved(self, seconds: float) -> bool:
        """Wait until fewer calls wait, for so many seconds at most; whether that has come to pass."""
        self._moved = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._moved.wait()
            return True
        return False


_CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


class WatchedTeacher(TeacherWrapper):
    """Implements :class:`~sdg_stream.abc.Teacher`: notes each call and has another one make it.

    Attributes:
        salt: text to put before each prompt, so that it is new to the server's prefix cache.
    """

    def __init__(self, teacher: Teacher, log: CallLog) -> None:
        super().__init__(teacher)
        self.salt = ""
        self._log = log

    async def complete(self, request: Request) -> Completion:
        """Make the call; see :class:`~sdg_stream.abc.Teacher` for what is raised."""
        log = self._log
        call = log.asked(request)
        before = _CURRENT.set(call)
        try:
            asked = salted(request, self.salt) if self.salt else request
            completion = await self._teacher.complete(asked)
        finally:
            _CURRENT.reset(before)
            log.ended(call)
        call.answered = True
        call.prompt_tokens, call.output_tokens = completion.prompt_tokens, completion.completion_tokens
        if call.flights:
            kept = Request(request.shape, request.prompt, request.depth, request.root, request.path)
            log.sample.add(kept, call.ended)
        return completion


class WatchedBackend:
    """Implements :class:`~sdg_stream.abc.Backend`: notes when the attempts of a call are sent and over.

    Args:
        backend: that sends them.
        log: where they are noted.

    Attributes:
        honours_n: one request gets several choices; else each has one of its own.
    """

    def __init__(self, backend: AiohttpBackend | LeanBackend, log: CallLog) -> None:
        self.honours_n = True
        self._backend = backend
        self._log = log

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """As the backend does."""
        call = _CURRENT.get()
        if call is None:
            return await self._backend.send(method, url, body, headers=headers, timeout=timeout)
        log = self._log
        log.sent(call)
        place = len(call.flights)
        choices = call.choices if self.honours_n else 1
        begun = log.clock()
        call.flights.append((begun, begun, choices))
        try:
            return await self._backend.send(method, url, body, headers=headers, timeout=timeout)
        finally:
            call.flights[place] = (begun, log.clock(), choices)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._backend.aclose()


def _place(root: int) -> float:
    """A random number from 0 to 1, the same for a root each time."""
    return int.from_bytes(blake2b(b"%d" % root, digest_size=8).digest()) / 2**64


def _size(request: Request) -> int:
    """About how many bytes a prompt takes."""
    prompt = request.prompt
    if isinstance(prompt, str):
        return len(prompt)
    return sum(len(str(message)) for message in prompt)
