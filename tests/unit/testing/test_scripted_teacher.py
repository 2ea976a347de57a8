"""ScriptedTeacher: the double that answers from a script."""

from __future__ import annotations

import pytest

from sdg_stream.abc import CallShape, Choice, Completion, Request, Teacher
from sdg_stream.errors import RecordError
from sdg_stream.testing.scripted import ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio


def request(prompt: str, n: int = 1) -> Request:
    """A request for ``n`` choices."""
    return Request(CallShape.make("completions", {"model": "m", "n": n}), prompt)


async def test_replies_from_a_list_come_in_the_order_of_the_calls() -> None:
    """Texts, lists of texts, completions and errors, one for each call; requests are kept."""
    whole = Completion([Choice("w", "length")])
    teacher = ScriptedTeacher(["one two", ["a", "b"], whole, RecordError("refused", "no")])
    first = await teacher.complete(request("three words here", n=2))
    assert [(choice.text, choice.finish_reason) for choice in first.choices] == [("one two", "stop")] * 2
    assert (first.prompt_tokens, first.completion_tokens) == (3, 4)
    assert [choice.text for choice in (await teacher.complete(request("q"))).choices] == ["a", "b"]
    assert await teacher.complete(request("q")) is whole
    with pytest.raises(RecordError, match="no"):
        await teacher.complete(request("q"))
    assert len(teacher.requests) == 4


async def test_choices_can_be_scripted_whole() -> None:
    """A choice stands for every choice of a call, or for one of them beside texts."""
    cut = Choice("half a", "length")
    teacher = ScriptedTeacher([cut, [cut, "whole"]], max_model_len=100, structured="guided_json")
    assert (await teacher.complete(request("q", n=2))).choices == [cut, cut]
    mixed = await teacher.complete(request("q", n=2))
    assert mixed.choices == [cut, Choice("whole", "stop")]
    assert mixed.completion_tokens == 3
    assert (teacher.max_model_len, teacher.structured) == (100, "guided_json")


async def test_a_call_beyond_the_script_fails_the_test() -> None:
    """A call that nobody thought of names its prompt."""
    with pytest.raises(AssertionError, match="no reply left for the prompt 'surprise'"):
        await ScriptedTeacher([]).complete(request("surprise"))


async def test_replies_from_a_function() -> None:
    """A function sees the request, so replies can depend on the prompt."""
    teacher: Teacher = ScriptedTeacher(
        lambda asked: prompt_text(asked).upper(), model="m", api="chat", slots=3
    )
    assert (await teacher.complete(request("hi"))).choices[0].text == "HI"
    assert (teacher.model, teacher.api, teacher.slots) == ("m", "chat", 3)


def test_the_text_of_messages() -> None:
    """Messages are told as their contents, one below the other."""
    asked = Request(
        CallShape.make("chat", {}), [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    )
    assert prompt_text(asked) == "a\nb"
