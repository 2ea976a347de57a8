"""Reading replies for their tokens and times, streamed or not."""

from __future__ import annotations

from itertools import count

import orjson
import pytest

from sdg_stream.abc import CallShape, HttpReply
from sdg_stream.errors import (
    AttemptTimeout,
    BadReply,
    ConnectFailed,
    RateLimited,
    RequestRefused,
    ServerFailed,
)
from sdg_stream.loadtest.reply import Arrivals, error_kind, read_reply
from sdg_stream.testing.backend import completion_reply

SHAPE = CallShape.make("completions", {"model": "m"})
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def event(data: object) -> bytes:
    """One server-sent event."""
    return b"data: " + (data if isinstance(data, bytes) else orjson.dumps(data)) + b"\n\n"


def text(words: str) -> bytes:
    """An event with a piece of text."""
    return event({"choices": [{"index": 0, "text": words, "finish_reason": None}]})


def test_a_whole_reply_tells_its_tokens() -> None:
    """By its usage; None without."""
    assert read_reply(completion_reply("a", usage=(4, 2)), SHAPE) == (4, 2)
    assert read_reply(completion_reply("a", usage=None), SHAPE) is None


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data: [DONE]", b": bye\n\ndata: [DONE]\r\n\r\n"])
def test_a_stream_tells_its_tokens_at_its_end(end: bytes) -> None:
    """The usage event is found before the end mark, whatever stands around it."""
    body = text("a") * 50 + event(USAGE) + end
    assert read_reply(HttpReply(200, {}, body), SHAPE) == (7, 3)
    assert read_reply(HttpReply(200, {}, body.replace(b"\n", b"\r\n")), SHAPE) == (7, 3)


def test_a_stream_without_usage_does_not_guess() -> None:
    """Then the pieces are counted, by whoever saw them come."""
    assert read_reply(HttpReply(200, {}, text("a") + event(b"[DONE]")), SHAPE) is None


def test_a_stream_that_is_cut_off_is_a_failure() -> None:
    """Without the end mark it is not whole."""
    with pytest.raises(BadReply):
        read_reply(HttpReply(200, {}, text("a") * 3), SHAPE)


def test_a_stream_that_ends_with_its_usage_is_whole() -> None:
    """The server of transformers sends no end mark; its usage comes with the last piece."""
    last = {"choices": [{"index": 0, "text": "", "finish_reason": "length"}], "usage": USAGE["usage"]}
    assert read_reply(HttpReply(200, {}, text("a") * 8 + event(last)), SHAPE) == (7, 3)


def test_an_error_inside_a_stream_is_a_failure() -> None:
    """With the status that it names."""
    body = text("a") + event({"error": {"message": "out of memory", "code": 503}}) + event(b"[DONE]")
    with pytest.raises(RateLimited, match="out of memory"):
        read_reply(HttpReply(200, {}, body), SHAPE)


def test_a_status_is_a_failure() -> None:
    """In the server's words."""
    with pytest.raises(ServerFailed, match="HTTP 500: broken"):
        read_reply(HttpReply(500, {}, b'{"error": {"message": "broken"}}'), SHAPE)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AttemptTimeout("x"), "timeout"),
        (ConnectFailed("x"), "connection"),
        (BadReply("x", status=200), "bad_reply"),
        (RateLimited("x", status=429), "rate_limited_429"),
        (ServerFailed("x", status=500), "server_error_500"),
        (RequestRefused("x", status=400), "refused_400"),
    ],
)
def test_failures_have_stable_kinds(error: ServerFailed, kind: str) -> None:
    """A word, and the status where it says more."""
    assert error_kind(error) == kind


def test_the_first_text_counts_not_the_first_piece() -> None:
    """A role or an empty text is no token; thoughts are."""
    clock = count(1)
    seen = Arrivals(lambda: next(clock))
    role = event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    thought = event({"choices": [{"delta": {"reasoning_content": '"'}}]})
    for piece in (role, thought, text("a") + text("b"), event(USAGE), event(b"[DONE]")):
        seen(piece)
    assert (seen.first, seen.last, seen.pieces) == (1, 2, 3)
