"""Streamed replies: put together to what an unstreamed reply would have said, however the bytes are cut."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdg_stream.abc import CallShape
from sdg_stream.errors import BadReply
from sdg_stream.teacher.sse import StreamedReply, streaming_body
from sdg_stream.teacher.wire import Decoded, decode_reply

TEXTS = ("Grüße, 世界 🌊", "two\nlines\r\n")


def events(*payloads: Any, done: bool = True, end: bytes = b"\n\n", ascii_only: bool = False) -> bytes:
    """Server-sent events with these payloads."""
    parts = [b"data: " + orjson.dumps(payload) + end for payload in payloads]
    return b"".join(parts) + (b"data: [DONE]" + end if done else b"")


def text_chunks(texts: tuple[str, ...], size: int = 3) -> list[dict[str, Any]]:
    """The chunks of a completions stream, those of the choices taking turns."""
    chunks = [
        (at, {"index": index, "text": text[at : at + size], "finish_reason": None})
        for index, text in enumerate(texts)
        for at in range(0, len(text), size)
    ]
    ordered = [{"choices": [choice]} for _, choice in sorted(chunks, key=lambda pair: pair[0])]
    ends = [
        {"choices": [{"index": index, "text": "", "finish_reason": "stop"}]} for index in range(len(texts))
    ]
    return [*ordered, *ends, {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}]


def read(*pieces: bytes, chat: bool = False, n: int = 2) -> Decoded:
    """What the client makes of a stream that comes in these pieces."""
    reply = StreamedReply()
    for piece in pieces:
        reply.feed(piece)
    return decode_reply(reply.body(), CallShape.make("chat" if chat else "completions", {"n": n}))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes in pieces."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[begin:end] for begin, end in zip([0, *at], [*at, len(data)], strict=True)]


MARK = b"data: [DONE]\n\n"
STREAM = b"\xef\xbb\xbf: hello\nevent: message\nid: 1\n" + events(*text_chunks(TEXTS))
WHOLE = read(STREAM)


def test_choices_come_by_index_with_text_reason_and_usage() -> None:
    """Interleaved choices are told apart; comments, other fields and a byte order mark are passed over."""
    assert [choice.text for choice in WHOLE.choices] == list(TEXTS)
    assert [choice.finish_reason for choice in WHOLE.choices] == ["stop", "stop"]
    assert WHOLE.tokens == (7, 5)


@given(places=st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_row_35_any_cutting_of_the_bytes_gives_the_same_reply(places: list[int]) -> None:
    """Row 35: pieces may end anywhere, inside characters too."""
    assert read(*cut(STREAM, places)) == WHOLE


@given(
    places=st.lists(st.integers(0, 4000), max_size=10), end=st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"])
)
def test_all_three_kinds_of_line_ends(places: list[int], end: bytes) -> None:
    """Lines end with LF, CRLF or CR, also when a CRLF is cut apart."""
    data = events(*text_chunks(TEXTS), end=end)
    assert read(*cut(data, places)) == WHOLE


@given(at=st.integers(0, len(STREAM) - 1))
def test_row_35_a_stream_without_its_end_is_truncated(at: int) -> None:
    """Row 35: cut off anywhere before the end mark is whole, nothing of it is taken for a reply."""
    reply = StreamedReply()
    reply.feed(STREAM[:at])
    if at >= len(STREAM) - 2:  # only the end of the line with the mark is missing
        assert decode_reply(reply.body(), CallShape.make("completions", {"n": 2})) == WHOLE
        return
    with pytest.raises(BadReply):
        reply.body()


@given(at=st.integers(0, len(STREAM)))
@example(at=len(STREAM) - len(MARK))
def test_row_35_a_stream_that_ended_without_its_mark_is_whole_or_truncated(at: int) -> None:
    """Row 35: where HTTP says that it ended, it is whole once each choice has a finish reason, not before."""
    reply = StreamedReply()
    reply.feed(STREAM[:at])
    try:
        decoded = decode_reply(reply.body(ended=True), CallShape.make("completions", {"n": 2}))
    except BadReply:
        assert at not in {len(STREAM), len(STREAM) - len(MARK)}
    else:
        assert decoded.choices == WHOLE.choices


def test_row_35_a_stream_that_ended_has_a_reason_for_every_choice() -> None:
    """Row 35: without any choice, or with one that goes on, it was cut off."""
    for choices in ([], [{"index": 0, "text": "a", "finish_reason": "stop"}, {"index": 1, "text": "b"}]):
        reply = StreamedReply()
        reply.feed(events({"choices": choices}, done=False))
        with pytest.raises(BadReply, match="cut off"):
            reply.body(ended=True)


def test_chat_deltas_with_reasoning_become_a_message() -> None:
    """Role, content, reasoning under both its names; a server that repeats the role is read as well."""
    deltas = [
        {"role": "assistant", "content": None, "reasoning_content": "hm"},
        {"role": "assistant", "content": "a"},
        {"content": "b"},
        {},
    ]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks[-1]["choices"][0]["finish_reason"] = "length"
    (choice,) = read(events(*chunks), chat=True, n=1).choices
    assert (choice.text, choice.reasoning, choice.finish_reason) == ("ab", "hm", "length")


def test_content_in_parts_and_logprobs_are_joined() -> None:
    """Content may come as lists of parts, log probabilities as lists to be joined."""
    chunks = [
        {
            "choices": [
                {
                    "delta": {"content": [{"type": "text", "text": word}]},
                    "logprobs": {"content": [{"token": word}]},
                }
            ]
        }
        for word in ("a", "b")
    ]
    reply = StreamedReply()
    reply.feed(events(*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}]}))
    (choice,) = orjson.loads(reply.body())["choices"]
    assert "".join(part["text"] for part in choice["message"]["content"]) == "ab"
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_a_stream_that_ends_without_a_finish_reason_was_interrupted() -> None:
    """Some servers close a stream that another request interrupts as if it were whole."""
    reply = StreamedReply()
    reply.feed(events({"choices": [{"text": "half of", "finish_reason": None}]}))
    with pytest.raises(BadReply, match="interrupted"):
        reply.body()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "engine died", "code": 400}, 500),
        ({"message": "slow down", "code": 429}, 429),
        ({"message": "busy", "code": 503}, 503),
        ("just words", 500),
        ({"message": "x", "code": "rate_limit_exceeded"}, 500),
    ],
)
def test_row_35_an_error_inside_a_200_is_a_failed_attempt(error: Any, status: int) -> None:
    """Row 35: an error event ends the reply; it counts as the server's failure, or as what it says."""
    reply = StreamedReply()
    reply.feed(events(text_chunks(TEXTS)[0], {"error": error}, done=False))
    assert (reply.done, reply.status) == (True, status)
    assert orjson.loads(reply.body())["error"] == error


@pytest.mark.parametrize("data", [b"data: {half\n\n", b"data: 7\n\n", b'data: {"a": "\xff"}\n\n'])
def test_what_is_no_chunk(data: bytes) -> None:
    """A stream of something else, or with broken characters, is no reply."""
    with pytest.raises(BadReply):
        StreamedReply().feed(data)


def test_row_13_what_is_kept_is_bounded() -> None:
    """Row 13: a line without end, and choices without end, stop at the cap; what is read and gone is free."""
    reply = StreamedReply(max_bytes=10_000)
    with pytest.raises(BadReply, match="more than 10000"):
        for _ in range(100):
            reply.feed(b"x" * 1000)
    reply = StreamedReply(max_bytes=10_000)
    with pytest.raises(BadReply, match="more than 10000"):
        for _ in range(1000):
            reply.feed(events({"choices": [{"index": 0, "text": "word"}]}, done=False))
    reply = StreamedReply(max_bytes=10_000)
    for _ in range(1000):
        reply.feed(b": a comment that keeps the connection alive\n" + events({"choices": []}, done=False))
    reply.feed(b"data: [DONE]\n\n")
    assert orjson.loads(reply.body()) == {"choices": [], "usage": None}


def test_what_follows_the_end_mark_is_not_looked_at() -> None:
    """Rubbish behind [DONE] changes nothing."""
    assert read(STREAM + b"data: {half\n\nrubbish") == WHOLE


def test_a_request_is_asked_for_as_a_stream_with_usage() -> None:
    """The body of a request gets the two keys, and stays JSON."""
    asked = orjson.loads(streaming_body(b'{"n":2,"prompt":"x"}'))
    assert asked == {"n": 2, "prompt": "x", "stream": True, "stream_options": {"include_usage": True}}
