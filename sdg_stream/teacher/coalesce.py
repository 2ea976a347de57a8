"""No answer is bought twice: identical greedy requests are one call.

A request is greedy when its temperature is 0: then the same prompt in the same shape has the same answer. Of
those in flight the first one, the leader, asks; the others wait for its answer. Answers stay in memory, those
used last the longest, up to a number of bytes.

An answer that was not asked for again carries no cost: its tokens, attempts and seconds are 0, so that sums
over completions count every call once.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from ..abc import Choice, Completion, Request
from ..errors import RecordError, TeacherUnusable

__all__ = ["AnswerStore", "Coalescer", "MemoryAnswers"]

MEMORY = 2 * 1024 * 1024  # bytes: identical requests come close together, memory stays flat
ENTRY_BYTES = 400  # what an entry takes besides its texts
LOGPROB_BYTES = 100  # a character


class AnswerStore(Protocol):
    """Where answers to greedy requests are kept."""

    def get(self, key: bytes) -> Completion | None:
        """The answer to a request with this key, if it is kept."""

    def put(self, key: bytes, completion: Completion) -> None:
        """Keep an answer."""


class MemoryAnswers:
    """Implements :class:`AnswerStore` in memory: up to ``size`` bytes, those used last are kept."""

    def __init__(self, size: int = MEMORY) -> None:
        self.size = size
        self.used = 0
        self._entries: dict[bytes, tuple[Completion, int]] = {}  # the one used last at the end

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Completion | None:
        """The answer, from now on the one used last."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._entries[key] = entry
        return entry[0]

    def put(self, key: bytes, completion: Completion) -> None:
        """Keep an answer, and give up others as far as room is needed."""
        size = ENTRY_BYTES + sum(_size(choice) for choice in completion.choices)
        if size > self.size:
            return
        self.used += size - self._entries.pop(key, (completion, 0))[1]
        self._entries[key] = (completion, size)
        while self.used > self.size:
            self.used -= self._entries.pop(next(iter(self._entries)))[1]


def _size(choice: Choice) -> int:
    """About how many bytes a choice takes; log probabilities come as some objects for every token."""
    text = sys.getsizeof(choice.text) + sys.getsizeof(choice.reasoning)
    return text if choice.logprobs is None else text + LOGPROB_BYTES * len(choice.text)


class _Flight:
    """A call that others wait for, and how it ended; neither answer nor error if it was cancelled."""

    __slots__ = ("answer", "error", "over")

    def __init__(self) -> None:
        self.over: anyio.Event | None = None  # made by the first who waits: nearly nobody does
        self.answer: Completion | None = None
        self.error: RecordError | TeacherUnusable | None = None

    async def landed(self) -> None:
        """Wait for the end."""
        if self.over is None:
            self.over = anyio.Event()
        await self.over.wait()


class Coalescer:
    """Stands before a teacher and lets through what was not asked before.

    Attributes:
        saved_calls: requests that were answered without a call of their own.
    """

    def __init__(self, answers: AnswerStore | None = None) -> None:
        self.saved_calls = 0
        self._answers = MemoryAnswers() if answers is None else answers
        self._flights: dict[bytes, _Flight] = {}

    async def complete(self, request: Request, ask: Callable[[Request], Awaitable[Completion]]) -> Completion:
        """The answer to a request: from ``ask(request)``, or from an identical one before it.

        When the leader is cancelled, one of those that wait becomes the leader. A leader's failure is also
        that of those that wait; the next identical request asks anew.

        Raises:
            RecordError, TeacherUnusable: from ``ask``.
        """
        if not request.shape.greedy:
            return await ask(request)
        key = request.key
        while True:
            kept = self._answers.get(key)
            if kept is not None:
                return self._saved(kept)
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, request, ask)
            await flight.landed()
            if flight.error is not None:
                raise _again(flight.error)
            if flight.answer is not None:
                return self._saved(flight.answer)

    async def _lead(
        self, key: bytes, request: Request, ask: Callable[[Request], Awaitable[Completion]]
    ) -> Completion:
        flight = self._flights[key] = _Flight()
        try:
            flight.answer = await ask(request)
        except (RecordError, TeacherUnusable) as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            if flight.over is not None:
                flight.over.set()
        self._answers.put(key, flight.answer)
        return flight.answer

    def _saved(self, answer: Completion) -> Completion:
        self.saved_calls += 1
        return Completion(list(answer.choices), attempts=0, endpoint=answer.endpoint)


def _again(error: RecordError | TeacherUnusable) -> RecordError | TeacherUnusable:
    """The same failure for another record: every raise needs an exception of its own."""
    if isinstance(error, RecordError):
        return RecordError(error.reason, error.message, server=error.server)
    return TeacherUnusable(*error.args)
