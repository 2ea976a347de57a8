"""The wire: bodies that are sent, replies as any JSON, and what failures say."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.abc import CallShape, Request
from sdg_stream.errors import BadReply
from sdg_stream.teacher.refusals import refusal_reason
from sdg_stream.teacher.wire import decode_reply, encode_request

SCALARS: Any = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5)
JSON: Any = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
KEYS = ["index", "text", "finish_reason", "logprobs", "reasoning", "reasoning_content"]
CHOICES = st.lists(st.dictionaries(st.sampled_from(KEYS), JSON), min_size=1, max_size=4)
MESSAGES = st.dictionaries(st.sampled_from(["content", "reasoning", "reasoning_content", "refusal"]), JSON)


@given(CHOICES, JSON, st.integers(1, 3))
def test_choices_of_any_types_are_read(choices: list[dict[str, Any]], usage: Any, n: int) -> None:
    """Whatever a server puts into the fields, what is text is text and the rest is missing."""
    decoded = decode_reply(
        orjson.dumps({"choices": choices, "usage": usage}), CallShape.make("completions", {"n": n})
    )
    assert len(decoded.choices) == min(n, len(choices))
    given_texts = {choice.get("text") for choice in choices if isinstance(choice.get("text"), str)}
    assert {choice.text for choice in decoded.choices} <= given_texts | {""}


@given(MESSAGES)
def test_messages_of_any_types_are_read(message: dict[str, Any]) -> None:
    """The same for the message of a chat."""
    body = orjson.dumps({"choices": [{"message": message}]})
    [choice] = decode_reply(body, CallShape.make("chat", {})).choices
    assert all(isinstance(text, str) for text in (choice.text, choice.reasoning, choice.refusal))


@given(st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_any_body_is_a_reply_or_a_bad_one(body: bytes) -> None:
    """Bytes of any kind are decoded or refused, never a crash; the same bytes as a refusal have a reason."""
    with suppress(BadReply):
        assert decode_reply(body, CallShape.make("chat", {})).choices
    assert refusal_reason(400, body) in {
        "request_refused",
        "context_length",
        "content_filter",
        "bad_parameter",
    }


@pytest.mark.parametrize("end", ["abort", "error"])
def test_a_reply_that_the_server_broke_off_is_none(end: str) -> None:
    """A part of a reply must not pass as whole, so that the call is made again."""
    body = orjson.dumps({"choices": [{"text": "half a", "finish_reason": end}]})
    with pytest.raises(BadReply, match="broke the reply off"):
        decode_reply(body, CallShape.make("completions", {}))


@pytest.mark.parametrize(
    ("params", "greedy"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0, "n": 2}, True),
        ({"temperature": 0.1}, False),
        ({}, False),
    ],
)
def test_a_shape_knows_whether_it_is_greedy(params: dict[str, Any], greedy: bool) -> None:
    """Temperature 0 means the same answer each time; servers take another one where none is given."""
    assert CallShape.make("chat", params).greedy is greedy


def test_a_text_for_a_chat_is_one_user_message() -> None:
    """The shape's part of the body is sent as it is, with the prompt behind it."""
    shape = CallShape.make("chat", {"model": "m"})
    assert encode_request(Request(shape, "ü")) == (
        '{"model":"m","messages":[{"role":"user","content":"ü"}]}'.encode()
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "an odd request"}}),
        (400, {"error": {"message": "bad words", "param": "prompt"}}),
        (422, {"detail": [{"loc": ["body", "messages", 0], "msg": "no", "input": "unknown parameter"}]}),
        (404, {"error": {"message": "gone", "param": "temperature", "code": "unsupported_parameter"}}),
        (500, {"error": {"message": "Unknown parameter"}}),
        (500, {"error": {"message": "The content filter is down."}}),
    ],
)
def test_a_run_is_not_stopped_for_one_record(status: int, body: Any) -> None:
    """Only what is surely wrong with every request is a bad parameter; a record's own words prove nothing."""
    assert refusal_reason(status, orjson.dumps(body)) == "request_refused"


def test_a_page_about_content_is_no_filter_of_the_model() -> None:
    """A proxy that keeps people from a site says so in a page: everybody's trouble, not one record's."""
    page = b"<html><title>Blocked</title>Your content filter policy forbids this site.</html>"
    assert refusal_reason(403, page) == "request_refused"
    assert refusal_reason(403, b'{"error": "blocked by the content filter"}') == "content_filter"
