"""The call cache: every answer that was bought, found again by what was asked.

A greedy request (temperature 0) is known by its content alone; so it is answered once for all records. Of a
sampled one each record gets an answer of its own: its key also holds the record's root and path, and a number
that counts how often this very record has asked the same before. The key of a request says nothing about the
block: what an edit does not reach is answered as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sqlite3 import Connection
from typing import TypeAlias

import anyio
import msgspec
import orjson

from ..abc import Teacher, TeacherWrapper
from ..calls import Choice, Completion, Halt, Request
from ..errors import Halted
from ..events import TeacherReport
from .database import Database

__all__ = ["Answers", "RememberingTeacher"]

_INSERT = """
insert into calls (place, key, reply)
select json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
from json_each(cast(? as text))
"""

_LOOK_UP = "select id, reply from calls where place = ? and key = ? and id >= ? order by id desc limit 1"

Key: TypeAlias = tuple[int, str]
"""Where an answer is looked for (a root, or a number below 0), and what tells it from others there."""

_NOT_ANEW = (-1, 0)


class Answers:
    """Answers in a database, and those that are not in it yet."""

    def __init__(self, database: Database) -> None:
        self.database = database
        found = database.look_up("select max(id) from calls")
        self._before: int = (found and found[0]) or 0
        self._new: dict[Key, bytes] = {}
        self._staged: dict[Key, bytes] = {}
        self.told: Callable[[], None] = lambda: None
        """Called when an answer was put."""

    @property
    def next_id(self) -> int:
        """Above those of the answers that earlier sessions bought."""
        return self._before + 1

    def get(self, key: Key, since: int = 0) -> tuple[Completion, bool] | None:
        """The latest answer with an id from ``since`` on, and whether an earlier session bought it."""
        reply = self._new.get(key) or self._staged.get(key)
        if reply is not None:
            return _completion(reply), False
        if key[0] >= 0 and not self._before:  # nobody has asked for this record before
            return None
        row = self.database.look_up(_LOOK_UP, *key, since)
        return None if row is None else (_completion(row[1]), row[0] <= self._before)

    def put(self, key: Key, completion: Completion) -> None:
        """Keep an answer; it is in the database after the next :meth:`write`."""
        self._new[key] = _reply(completion)
        self.told()

    def stage(self) -> bool:
        """Choose what is written next; whether that is anything. To be called where ``put`` is."""
        self._staged.update(self._new)
        self._new.clear()
        return bool(self._staged)

    def write(self, connection: Connection) -> None:
        """Write what is staged, as one statement."""
        if self._staged:
            rows = b",".join(
                b'[%d,"%b",%b]' % (place, key.encode(), reply) for (place, key), reply in self._staged.items()
            )
            connection.execute(_INSERT, (b"[%b]" % rows,))

    def written(self) -> None:
        """What was staged is in the database. To be called where ``put`` is."""
        self._staged.clear()


def _shared_key(request: Request) -> Key:
    """The key of a greedy request: its content."""
    return -1 - (int.from_bytes(request.key[:8]) >> 1), request.key.hex()


def _reply(completion: Completion) -> bytes:
    choices = [
        (choice.text, choice.finish_reason, choice.reasoning, choice.refusal, choice.logprobs)
        for choice in completion.choices
    ]
    cost = (completion.prompt_tokens, completion.completion_tokens, completion.attempts)
    return orjson.dumps((choices, *cost, completion.endpoint, round(completion.seconds, 3)))


def _completion(reply: bytes | str) -> Completion:
    choices, *rest = orjson.loads(reply)
    return Completion([Choice(*choice) for choice in choices], *rest)


class RememberingTeacher(TeacherWrapper):
    """A teacher as the blocks of one run see it: what was answered before is not asked again.

    Args:
        teacher: who is asked.
        answers: where answers are kept; None keeps none.
        anew: (root, path) of records that were rejected, the position of the block whose request for them
            is to be asked again rather than found, and the id from which on answers count as asked again.
        answered: the teacher has answered in an earlier session, so that it is no use to doubt it as a whole
            when it refuses the first calls of this one.

    Attributes:
        halt: calls off what has not begun.
    """

    def __init__(
        self,
        teacher: Teacher,
        answers: Answers | None,
        anew: Mapping[tuple[int, tuple[int, ...]], tuple[int, int]] | None = None,
        *,
        answered: bool = False,
    ) -> None:
        super().__init__(teacher)
        self.halt = Halt()
        self._tell: Callable[[bytes], None] = getattr(teacher, "answered_before", lambda _: None)
        self._told: set[bytes] = set()
        if answered:
            self._tell(b"")
        self._answers = answers
        self._anew = anew or {}
        self._asked: dict[int, dict[str, int]] = {}
        self._kept = 0
        self._repeated = 0

    async def complete(self, request: Request) -> Completion:
        """Find the answer, or make the call; see :class:`~sdg_stream.abc.Teacher` for what is raised."""
        answers = self._answers
        if answers is None:
            return await self._ask(request)
        greedy = request.shape.greedy
        key = _shared_key(request) if greedy else self._own_key(request)
        depth, since = self._anew.get((request.root, request.path), _NOT_ANEW)
        found = answers.get(key, since if depth == request.depth else 0)
        if found is not None:
            self._tell_once(request.shape.family)
            return self._found(*found, free=greedy)
        completion = await self._ask(request)
        answers.put(key, completion)
        return completion

    def settled(self, root: int) -> None:
        """A root asks nothing any more."""
        self._asked.pop(root, None)

    def report(self) -> TeacherReport:
        """The teacher's, with the calls that were not made."""
        report = getattr(self._teacher, "report", TeacherReport)()
        return msgspec.structs.replace(
            report,
            calls=report.calls + self._kept + self._repeated,
            saved_calls=report.saved_calls + self._repeated,
            repeated_calls=self._repeated,
            kept_calls=self._kept,
        )

    def _own_key(self, request: Request) -> Key:
        """The key of a sampled request: whose it is, and how many of its kind came before."""
        asked = self._asked.setdefault(request.root, {})
        key = f"{request.key.hex()}{request.path}"
        number = asked.get(key, 0)
        asked[key] = number + 1
        return request.root, f"{key}{number}" if number else key

    def _found(self, completion: Completion, before: bool, *, free: bool) -> Completion:
        """An answer that is not bought again: a shared one is free, a record's own costs what it did."""
        if before:
            self._kept += 1
        else:
            self._repeated += 1
        if free:
            completion.prompt_tokens = completion.completion_tokens = completion.attempts = 0
            completion.seconds = 0.0
        return completion

    def _tell_once(self, family: bytes) -> None:
        """Tell the teacher that it has answered such a request before."""
        if family not in self._told:
            self._told.add(family)
            self._tell(family)

    async def _ask(self, request: Request) -> Completion:
        request.halt = self.halt
        if not self.halt.on:
            try:
                return await self._teacher.complete(request)
            except Halted:
                pass
        await anyio.sleep_forever()  # the run is being stopped: the record stays open
        raise AssertionError
