"""Watching a teacher's calls, keeping a bounded part of its prompts, and giving rows at its pace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from sdg_stream.abc import CallShape, FinishedRoot, Request, SourceItem
from sdg_stream.calls import Choice, Completion
from sdg_stream.errors import RecordError
from sdg_stream.loadtest.call_log import CallLog, PromptSample, WatchedTeacher
from sdg_stream.loadtest.pacing import PacedSource
from sdg_stream.loadtest.questions import fresh_questions, salted

pytestmark = pytest.mark.anyio

SHAPE = CallShape.make("completions", {"model": "m", "max_tokens": 5})


def request(root: int, prompt: Any = "p") -> Request:
    """One call of the first block."""
    return Request(SHAPE, prompt, 0, root)


class Echo:
    """A teacher that answers with the prompt; or refuses it, if it is ``bad``."""

    model, api, slots = "m", "completions", 4
    extra = "more"

    async def complete(self, request: Request) -> Completion:
        """Answer at once."""
        if request.prompt == "bad":
            raise RecordError("request_refused", "bad")
        return Completion([Choice(str(request.prompt))], 3, 2)


class Rows:
    """A source of numbered rows."""

    name = "rows"

    def __init__(self, count: int) -> None:
        self.left = [{"n": n} for n in range(count)]

    async def read(self) -> Sequence[SourceItem | FinishedRoot]:
        """All at once."""
        rows, self.left = self.left, []
        return rows

    async def aclose(self) -> None:
        """Nothing is open."""


def test_a_sample_keeps_whole_roots_within_its_bounds() -> None:
    """Of 1,000 roots with 4 requests each a part, each root with all of its requests, in their order."""
    sample = PromptSample(most=400)
    for number in range(4):
        for root in range(1000):
            sample.add(request(root, f"{number}"))
    kept = sample.requests()
    roots = {one.root for one in kept}
    assert 100 < len(kept) <= 400
    assert len(kept) == 4 * len(roots)
    assert [one.prompt for one in kept] == sorted(str(one.prompt) for one in kept)


def test_a_sample_is_bounded_in_bytes_too() -> None:
    """Also where a single root asks for more than it may take."""
    sample = PromptSample(most_bytes=1000)
    for moment in range(50):
        sample.add(request(0, "x" * 100), moment)
    assert len(sample.requests()) == 10
    assert len(sample.requests(2, 4)) == 3
    for root in range(50):
        sample.add(request(root, "x" * 100))
    assert 1 <= len(sample.requests()) <= 10


async def test_calls_are_noted_with_what_came_of_them() -> None:
    """Tokens of an answer; nothing of a refusal; what is never sent is neither sampled nor waits on."""
    log = CallLog()
    teacher = WatchedTeacher(Echo(), log)  # type: ignore[arg-type]
    assert (teacher.model, teacher.api, teacher.slots, teacher.extra) == ("m", "completions", 4, "more")
    await teacher.complete(request(7))
    with pytest.raises(RecordError):
        await teacher.complete(request(8, "bad"))
    good, bad = log.calls
    assert (good.answered, good.prompt_tokens, good.output_tokens) == (True, 3, 2)
    assert (bad.answered, bad.tokens) == (False, 0)
    assert (log.waiting, log.roots, log.sample.requests()) == (0, {7, 8}, [])


async def test_salt_goes_before_the_prompt() -> None:
    """Of a text, and of the first message that is one; the block's own request stays as it was."""
    teacher = WatchedTeacher(Echo(), CallLog())  # type: ignore[arg-type]
    teacher.salt = "[1] "
    asked = request(0, "hello")
    assert (await teacher.complete(asked)).choices[0].text == "[1] hello"
    assert asked.prompt == "hello"
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": None},
        {"role": "user", "content": "hello"},
    ]
    found = salted(request(0, messages), "[1] ").prompt
    assert found == [{"role": "system", "content": None}, {"role": "user", "content": "[1] hello"}]
    assert messages[1]["content"] == "hello"


def test_questions_that_are_always_fresh_share_a_salt_within_a_round() -> None:
    """Two prompts, two rounds: four bodies, all different, and the same salt in each round."""
    questions = fresh_questions([request(0, "a"), request(1, "b")], "two", stream=False)
    bodies = [questions.next().body for _ in range(4)]
    assert len(set(bodies)) == 4
    assert bodies[0].replace(b'a"', b'b"') == bodies[1]
    assert (questions.distinct, questions.choices) == (None, 1)


async def test_rows_come_as_the_teacher_takes_them() -> None:
    """A quarter of the slots and four wait; more come when calls are sent, or when rows ask for nothing."""
    log = CallLog()
    source = PacedSource(Rows(20), log, slots=4, seconds=60)
    assert len(await source.read()) == 5
    calls = [log.asked(request(root)) for root in range(5)]
    with anyio.move_on_after(0.01) as too_early:
        await source.read()
    assert too_early.cancelled_caught
    for one in calls[:2]:
        log.sent(one)
        one.flights.append((0.0, 0.0, 1))
    assert len(await source.read()) == 2
    for one in calls[2:]:
        log.ended(one)
    assert len(await source.read()) == 3
    assert len(await source.read()) == 5  # those before have asked for nothing in a while
    assert source.given == 15


async def test_rows_end_when_the_time_is_over() -> None:
    """Whatever is left of them; and at their own end, which is no lack of time."""
    log = CallLog()
    late = PacedSource(Rows(20), log, slots=4, seconds=0)
    assert (await late.read(), late.out_of_time) == ((), True)
    none = PacedSource(Rows(0), log, slots=4, seconds=60)
    assert (await none.read(), none.out_of_time, none.name) == ((), False, "rows")
