"""Identical greedy requests are one call: in flight, afterwards, and when calls fail or are cancelled."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from sdg_stream.abc import CallShape, Choice, Completion, Request
from sdg_stream.errors import RecordError, TeacherUnusable
from sdg_stream.teacher.coalesce import ENTRY_BYTES, Coalescer, MemoryAnswers

pytestmark = pytest.mark.anyio


def request(prompt: Any = "prompt", root: int = 0, **params: Any) -> Request:
    """A greedy request unless the parameters say otherwise."""
    shape = CallShape.make("completions", {"model": "m", "temperature": 0, **params})
    return Request(shape, prompt, root=root)


class Teacher:
    """Answers with the number of the call; waits at ``door`` first, then raises what ``failures`` says."""

    def __init__(self, *failures: Exception, shut: bool = False) -> None:
        self.roots: list[int] = []
        self.failures = list(failures)
        self.door = anyio.Event()
        if not shut:
            self.door.set()

    async def ask(self, request: Request) -> Completion:
        """One call."""
        self.roots.append(request.root)
        number = len(self.roots)
        await self.door.wait()
        if self.failures:
            raise self.failures.pop(0)
        return Completion([Choice(f"answer {number}")], 10, 5, 2, "http://one", 0.5)


async def together(
    count: int, complete: Callable[[int], Coroutine[Any, Any, None]], teacher: Teacher
) -> None:
    """Ask side by side, and open the teacher's door when everybody waits."""
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(complete, number)
        await anyio.wait_all_tasks_blocked()
        teacher.door.set()


async def test_equal_requests_in_flight_are_one_call() -> None:
    """The first one asks; the others get its answer, which costs them nothing."""
    teacher, coalescer, found = Teacher(shut=True), Coalescer(), list[Completion]()

    async def complete(number: int) -> None:
        found.append(await coalescer.complete(request(root=number), teacher.ask))

    await together(4, complete, teacher)
    assert teacher.roots == [0]
    assert [completion.choices[0].text for completion in found] == ["answer 1"] * 4
    assert sum(completion.prompt_tokens + completion.completion_tokens for completion in found) == 15
    assert sorted(completion.attempts for completion in found) == [0, 0, 0, 2]
    assert {completion.endpoint for completion in found} == {"http://one"}
    assert coalescer.saved_calls == 3


async def test_an_answer_is_bought_once() -> None:
    """A later equal request is answered from memory."""
    teacher, coalescer = Teacher(), Coalescer()
    first = await coalescer.complete(request(), teacher.ask)
    second = await coalescer.complete(request(root=7), teacher.ask)
    assert second.choices == first.choices
    assert second.choices is not first.choices
    assert (len(teacher.roots), coalescer.saved_calls, second.seconds) == (1, 1, 0.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (request("a"), request("b")),
        (request(seed=1), request(seed=2)),
        (request(n=1), request(n=2)),
        (request(model="m"), request(model="n")),
        (request([{"role": "user", "content": "a"}]), request([{"role": "system", "content": "a"}])),
    ],
    ids=["prompt", "seed", "n", "model", "messages"],
)
async def test_different_requests_are_different_calls(one: Request, other: Request) -> None:
    """Everything that is sent counts."""
    teacher, coalescer = Teacher(), Coalescer()
    await coalescer.complete(one, teacher.ask)
    await coalescer.complete(other, teacher.ask)
    assert (len(teacher.roots), coalescer.saved_calls) == (2, 0)


def test_who_is_asked_counts_and_who_asks_does_not() -> None:
    """Another pool of endpoints may serve another model; root, path and depth are not sent."""
    shape = request().shape
    judge = CallShape.make("completions", {"model": "m", "temperature": 0}, "judge")
    assert Request(judge, "x").key != Request(shape, "x").key
    assert Request(shape, "x", 1, 2, (3,)).key == Request(shape, "x").key
    assert Request(shape, "\ud800").key != Request(shape, "x").key


@pytest.mark.parametrize("params", [{"temperature": 0.7}, {"temperature": None}])
async def test_sampled_requests_are_all_asked(params: dict[str, Any]) -> None:
    """Only temperature 0 promises the same answer."""
    teacher, coalescer = Teacher(), Coalescer()
    texts = {(await coalescer.complete(request(**params), teacher.ask)).choices[0].text for _ in range(3)}
    assert len(texts) == 3
    assert coalescer.saved_calls == 0


async def test_when_the_leader_is_cancelled_another_takes_over() -> None:
    """Of those that wait exactly one asks anew, and all the others wait for that one."""
    teacher, coalescer, found = Teacher(shut=True), Coalescer(), list[str]()
    scopes = [anyio.CancelScope() for _ in range(4)]

    async def complete(number: int) -> None:
        with scopes[number]:
            completion = await coalescer.complete(request(root=number), teacher.ask)
            found.append(completion.choices[0].text)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(complete, number)
        await anyio.wait_all_tasks_blocked()
        for number in (0, 1):
            scopes[number].cancel()
            await anyio.wait_all_tasks_blocked()
        assert len(teacher.roots) == 3
        teacher.door.set()
    assert teacher.roots == [0, 1, 2]
    assert found == ["answer 3"] * 2
    assert coalescer.saved_calls == 1


async def test_a_cancelled_follower_leaves_the_call_alone() -> None:
    """The leader's call goes on when somebody who waits for it goes."""
    teacher, coalescer, found = Teacher(shut=True), Coalescer(), list[str]()
    scopes = [anyio.CancelScope() for _ in range(3)]

    async def complete(number: int) -> None:
        with scopes[number]:
            completion = await coalescer.complete(request(root=number), teacher.ask)
            found.append(completion.choices[0].text)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(complete, number)
        await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()
        await anyio.wait_all_tasks_blocked()
        teacher.door.set()
    assert teacher.roots == [0]
    assert found == ["answer 1"] * 2


@pytest.mark.parametrize(
    "failure", [RecordError("request_refused", "too long", server="4097 tokens"), TeacherUnusable("no key")]
)
async def test_a_failure_is_everybodys_and_is_not_kept(failure: Exception) -> None:
    """Those that wait get the failure, each its own; the next equal request asks again."""
    teacher, coalescer, raised = Teacher(failure, shut=True), Coalescer(), list[Exception]()

    async def complete(number: int) -> None:
        with pytest.raises(type(failure)) as caught:
            await coalescer.complete(request(root=number), teacher.ask)
        raised.append(caught.value)

    await together(3, complete, teacher)
    assert teacher.roots == [0]
    assert len({id(error) for error in raised}) == 3
    assert {str(error) for error in raised} == {str(failure)}
    if isinstance(failure, RecordError):
        assert {(error.reason, error.server) for error in raised if isinstance(error, RecordError)} == {
            ("request_refused", "4097 tokens")
        }
    assert (await coalescer.complete(request(), teacher.ask)).choices[0].text == "answer 2"


async def test_a_store_that_keeps_nothing_still_joins_calls_in_flight() -> None:
    """Without memory, equal requests one after the other are calls, and those side by side are one."""
    teacher, coalescer = Teacher(shut=True), Coalescer(MemoryAnswers(0))

    async def complete(number: int) -> None:
        await coalescer.complete(request(root=number), teacher.ask)

    await together(3, complete, teacher)
    await complete(9)
    assert teacher.roots == [0, 9]


def test_memory_is_bounded_and_keeps_what_was_used_last() -> None:
    """Bytes decide: the answer that was not asked for the longest goes first; a huge one is not kept."""
    small = Completion([Choice("x" * 951)])  # a text of n characters takes n + 49 bytes
    answers = MemoryAnswers(3 * (ENTRY_BYTES + 1049))
    for key in (b"1", b"2", b"3"):
        answers.put(key, small)
    assert answers.get(b"1") is small
    answers.put(b"4", small)
    assert answers.get(b"2") is None
    answers.put(b"huge", Completion([Choice("x" * 10_000)]))
    assert answers.get(b"huge") is None
    answers.put(b"4", small)
    assert len(answers) == 3
    assert answers.used <= answers.size


def test_log_probabilities_count() -> None:
    """They take far more memory than the text they belong to."""
    answers = MemoryAnswers()
    answers.put(b"plain", Completion([Choice("x" * 100)]))
    plain = answers.used
    answers.put(b"rich", Completion([Choice("x" * 100, logprobs={"content": []})]))
    assert answers.used > 10 * plain
