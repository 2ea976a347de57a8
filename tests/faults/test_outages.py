"""A server that goes away, fails, or says "less": rows 2, 15, 16 and 18 of the catalogue, and all at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import sdg_stream as sdg
from sdg_stream.abc import CallShape, Request
from sdg_stream.errors import ConnectFailed, RecordError, TeacherUnusable
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings
from sdg_stream.teacher.auto import Auto
from sdg_stream.teacher.breaker import Breaker
from sdg_stream.teacher.client import TeacherClient
from sdg_stream.teacher.controller import Controller, Fixed
from sdg_stream.teacher.retry import RetryPolicy
from sdg_stream.teacher.routing import Endpoint
from sdg_stream.testing.backend import ScriptedBackend, completion_reply, json_reply

pytestmark = pytest.mark.anyio

SHAPE = CallShape.make("completions", {"model": "m", "max_tokens": 9, "temperature": 0.0})


class Teacher:
    """A scripted teacher that can be switched off, and a client that may try each call twice."""

    def __init__(self, controller: Controller, *, max_outage: float = 60.0, attempts: int = 2) -> None:
        self.answer: Any = completion_reply("fine")
        self.answered = 0
        self.backend = ScriptedBackend(self._script)
        self.client = TeacherClient(
            self.backend,
            [Endpoint("http://one/v1")],
            controller=controller,
            policy=RetryPolicy(max_attempts=attempts, first_delay=0.001, longest_delay=0.002),
            breaker=Breaker(max_outage=max_outage, first_probe=0.005, longest_probe=0.01),
        )

    async def _script(self, _path: str, _body: Any) -> Any:
        await checkpoint()
        answer = self.answer() if callable(self.answer) else self.answer
        self.answered += answer is not None and getattr(answer, "status", 0) == 200
        return answer

    async def ask(self, calls: int, askers: int = 20) -> None:
        """So many calls, each with a prompt of its own."""
        numbers = iter(range(calls))

        async def asker() -> None:
            for number in numbers:
                await self.client.complete(Request(SHAPE, f"question {number}", root=number))

        async with anyio.create_task_group() as tasks:
            for _ in range(askers):
                tasks.start_soon(asker)


def gone() -> ConnectFailed:
    """Nobody listens."""
    error = ConnectFailed("cannot connect: Connection refused")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    return error


async def test_row_02_a_restart_in_the_middle_costs_no_call_anything() -> None:
    """Everybody waits, one call at a time probes, and it goes on from the start limit."""
    controller = Auto()
    teacher = Teacher(controller)
    down = 0

    def script() -> Any:
        nonlocal down
        if teacher.answered >= 300 and down < 60:
            down += 1
            return gone()
        return completion_reply("fine")

    teacher.answer = script
    await teacher.ask(600)
    report = teacher.client.report()
    assert teacher.answered == 600
    assert report.failed_calls == 0
    assert report.outages == 1
    assert any(change.reason == "the server was away" for change in report.limit_history) or (
        max(change.limit for change in report.limit_history) <= 16
    )


async def test_row_02_probes_go_one_at_a_time() -> None:
    """Once the outage is known, no two requests are under way together."""
    teacher = Teacher(Fixed(8))
    teacher.answer = gone()
    with anyio.move_on_after(0.1):
        await teacher.ask(100)
    assert teacher.client.report().outages == 1
    before = len(teacher.backend.sent)
    teacher.backend.most_in_flight = 0
    with anyio.move_on_after(0.1):
        await teacher.ask(100)
    assert teacher.backend.most_in_flight == 1
    assert len(teacher.backend.sent) - before <= 20


async def test_row_02_a_server_that_does_not_come_back_ends_the_run() -> None:
    """After max_outage, with its last words."""
    teacher = Teacher(Fixed(4), max_outage=0.05)
    teacher.answer = gone()
    with pytest.raises(BaseExceptionGroup) as caught:
        await teacher.ask(10)
    error = next(one for one in caught.value.exceptions if isinstance(one, TeacherUnusable))
    assert "no answer for" in str(error)
    assert "Connection refused" in str(error)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_row_15_a_server_error_is_tried_again_and_many_pause_everybody(status: int) -> None:
    """One prompt that always fails ends its record; when all fail it is an outage, which costs none."""
    teacher = Teacher(Fixed(8))
    teacher.answer = json_reply({"error": {"message": "boom"}}, status)
    with pytest.raises(RecordError, match="2 attempts failed"):
        await teacher.client.complete(Request(SHAPE, "poison"))
    failures = iter(range(50))
    broken = teacher.answer
    teacher.answer = lambda: completion_reply("fine") if next(failures, None) is None else broken
    await teacher.ask(100)
    assert teacher.answered == 100
    assert teacher.client.report().outages == 1


@pytest.mark.parametrize("status", [429, 503, 529])
async def test_row_16_less_cuts_the_limit_once(status: int) -> None:
    """503 and 529 mean what 429 means."""
    controller = Auto(start=40)
    teacher = Teacher(controller)
    refusals = iter(range(30))
    less = json_reply({"error": "slow down"}, status)
    teacher.answer = lambda: completion_reply("fine") if next(refusals, None) is None else less
    await teacher.ask(40, askers=40)
    assert teacher.answered == 40
    assert teacher.client.report().failed_calls == 0
    cuts = [change for change in controller.history if change.reason == "the server said less"]
    assert [change.limit for change in cuts] == [28]


async def test_row_18_sustained_429_costs_no_call_its_attempts() -> None:
    """Two attempts a call, seven refusals each: all are answered in the end."""
    teacher = Teacher(Auto())
    turn = Counter[str]()

    def script() -> Any:
        turn["requests"] += 1
        return completion_reply("fine") if turn["requests"] % 8 == 0 else json_reply({}, 429)

    teacher.answer = script
    await teacher.ask(10, askers=5)
    assert teacher.answered == 10
    assert teacher.client.report().failed_calls == 0


async def test_row_18_429_for_ever_ends_the_run() -> None:
    """After max_outage without any answer; what is settled by then is kept by the run."""
    teacher = Teacher(Auto(), max_outage=0.05)
    teacher.answer = json_reply({"error": {"message": "quota is used up"}}, 429)
    with pytest.raises(BaseExceptionGroup) as caught:
        await teacher.ask(10)
    error = next(one for one in caught.value.exceptions if isinstance(one, TeacherUnusable))
    assert "quota is used up" in str(error)


async def test_all_faults_at_once_leave_no_call_behind() -> None:
    """2 % each of 429, 500, resets, hangs and truncated bodies: all is answered, within the budget."""
    faults: list[Fault] = [Fault(kind="status", status=status) for status in (429, 500)]
    faults += [Fault(kind="reset"), Fault(kind="hang"), Fault(kind="truncated")]
    settings = SimulatorSettings(
        latency="fixed",
        latency_seconds=0.02,
        reply="fine",
        faults=tuple(FaultRule(fault=fault, rate=0.02, match="question") for fault in faults),
    )
    numbers = iter(range(1500))
    answers = 0
    async with serve(settings) as server, sdg.connect(server.url, timeout=0.5) as teacher:
        shape = CallShape.make("completions", {"model": teacher.model, "max_tokens": 9, "temperature": 0.0})

        async def asker() -> None:
            nonlocal answers
            for number in numbers:
                completion = await teacher.complete(Request(shape, f"question {number}"))
                answers += completion.choices[0].text == "fine"
                assert completion.attempts <= 6

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(asker)
        assert answers == 1500
        report = teacher.report()
        assert report.failed_calls == 0
        assert report.outages == 0
        assert report.slots > 16
