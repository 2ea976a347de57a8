"""What the lean backend makes of a reply's bytes, however they are cut; which URLs it is for."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.abc import HttpReply
from sdg_stream.errors import AttemptError, BadReply, ConnectFailed
from sdg_stream.teacher import lean_reply
from sdg_stream.teacher.lean import LeanBackend
from sdg_stream.teacher.lean_reply import MAX_HEAD, Headers, ReplyReader

JSON = b'{"choices": [{"text": "a \xc3\xa9 reply\\r\\n\\r\\nHTTP/1.1 500 not a status line"}]}'


def with_length(body: bytes) -> bytes:
    """A reply that says how long its body is."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def in_chunks(body: bytes, size: int) -> bytes:
    """A reply whose body comes in chunks, with an extension and a trailer."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\nX-Trailer: t\r\n\r\n"


def until_the_end(body: bytes) -> bytes:
    """A reply whose body ends with the connection."""
    return b"HTTP/1.0 200 OK\r\nContent-Type: a\r\n\r\n" + body


def read(*pieces: bytes) -> tuple[HttpReply, ReplyReader]:
    """The reply that comes in these pieces, then the end of the connection; and its reader."""
    reader = ReplyReader()
    for piece in pieces:
        reply = reader.feed(piece)
        if reply is not None:
            return reply, reader
    reply = reader.end()
    assert reply is not None, "the reply broke off"
    return reply, reader


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, none of them empty."""
    places = sorted({place % len(data) for place in places} - {0})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(
    body=st.one_of(st.binary(max_size=300), st.just(JSON)),
    form=st.integers(0, 3),
    interim=st.booleans(),
    chunk=st.integers(1, 40),
    places=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_a_reply_does_not_depend_on_how_its_bytes_are_cut(
    body: bytes, form: int, interim: bool, chunk: int, places: list[int]
) -> None:
    """With a length, in chunks, until the end, behind interim replies: any cutting gives the same reply."""
    forms = (with_length(body), in_chunks(body, chunk), in_chunks(body, 1), until_the_end(body))
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Type: early\r\n\r\n"
    data = (early if interim else b"") + forms[form]
    reply, _ = read(*cut(data, places))
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "a", body)


@given(
    data=st.binary(max_size=200), prefix=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", with_length(b"abc")])
)
def test_any_bytes_end_in_a_reply_or_an_attempt_error(data: bytes, prefix: bytes) -> None:
    """Nothing that a server sends surfaces as another exception."""
    reader = ReplyReader()
    try:
        reply = reader.feed(prefix + data) or reader.end()
    except AttemptError:
        return
    assert reply is None or isinstance(reply.body, bytes)


def test_every_single_byte_and_every_beginning() -> None:
    """Byte by byte the reply comes with the last byte; any beginning of it is not a reply."""
    for data in (with_length(JSON), in_chunks(JSON, 7)):
        reader = ReplyReader()
        found = [reader.feed(data[at : at + 1]) for at in range(len(data))]
        assert found[:-1] == [None] * (len(data) - 1)
        assert found[-1] is not None
        assert found[-1].body == JSON
        assert reader.reusable
        for length in range(1, len(data)):
            begun = ReplyReader()
            assert begun.feed(data[:length]) is None
            assert begun.heard
            assert begun.end() is None


def test_one_reader_reads_reply_after_reply() -> None:
    """Nothing of one reply is left in the next."""
    reader = ReplyReader()
    first = reader.feed(b"HTTP/1.1 500 No\r\nX-One: 1\r\nContent-Length: 2\r\n\r\nno")
    reader.begin()
    assert not reader.heard
    second = reader.feed(with_length(b"yes"))
    assert first is not None
    assert second is not None
    assert (first.status, first.body, dict(first.headers)) == (
        500,
        b"no",
        {"x-one": "1", "content-length": "2"},
    )
    assert (second.status, second.body, "x-one" in second.headers) == (200, b"yes", False)


@pytest.mark.parametrize("status", [204, 304])
def test_replies_without_body(status: int) -> None:
    """They end with their head, whatever length they name."""
    reader = ReplyReader()
    reply = reader.feed(b"HTTP/1.1 %d Nothing\r\nContent-Length: 5\r\n\r\n" % status)
    assert reply is not None
    assert (reply.status, reply.body, reader.reusable) == (status, b"", True)


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (with_length(b"abc"), True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", False),
        (until_the_end(b"abc"), False),
        (with_length(b"abc") + b"garbage", False),
        (with_length(b"abc") + b"HTTP/1.1 2", False),
        (with_length(b"abc") + with_length(b"another, which nobody asked for"), False),
        (with_length(b"abc") + b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", False),
    ],
)
def test_which_connections_are_used_again(data: bytes, reusable: bool) -> None:
    """Not those that the server closes or on which more came than was asked for. The reply is good."""
    reply, reader = read(data)
    assert reply.body == (b"a" if b": 1\r\n" in data else b"abc")
    assert reader.reusable is reusable


@pytest.mark.parametrize(
    "data",
    [
        b"<html>no status line</html>",
        b"\x15\x03\x03\x00\x02\x02\x50",  # a TLS alert
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
    ],
)
def test_what_is_not_http(data: bytes) -> None:
    """It ends the attempt in words that say so."""
    with pytest.raises(ConnectFailed, match="is not HTTP"):
        ReplyReader().feed(data)


@pytest.mark.parametrize(
    "endless", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 C\r\n\r\n", in_chunks(b"a", 1)[:-2] + b"X: "]
)
def test_heads_and_trailers_have_an_end(endless: bytes) -> None:
    """A header, interim replies or a trailer without end are cut off."""
    filler = endless if endless.endswith(b"\n") else b"x" * 1000
    reader = ReplyReader()
    reader.feed(endless)
    with pytest.raises(ConnectFailed, match="a head of more than"):
        for _ in range(MAX_HEAD):
            assert reader.feed(filler) is None


def test_the_body_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a length, so in chunks; a body of just the largest size is good."""
    monkeypatch.setattr(lean_reply, "MAX_BODY", 100)
    for data in (with_length(b"x" * 101), in_chunks(b"x" * 101, 10), until_the_end(b"x" * 101)):
        with pytest.raises(BadReply, match="more than 100 bytes") as caught:
            ReplyReader().feed(data)
        assert caught.value.status == 200
    assert read(in_chunks(b"x" * 100, 10))[0].body == b"x" * 100


@pytest.mark.parametrize("coding", [b"Content-Encoding: gzip", b"Transfer-Encoding: gzip, chunked"])
def test_encoded_replies(coding: bytes) -> None:
    """They are refused, since none was asked for; of an error the status is kept."""
    end = b"\r\n\r\n" + (b"1\r\n\x1f\r\n0\r\n\r\n" if b"Transfer" in coding else b"\x1f")
    with pytest.raises(BadReply, match="encoded as gzip"):
        read(b"HTTP/1.1 200 OK\r\n" + coding + end)
    reply, _ = read(b"HTTP/1.1 429 Later\r\nRetry-After: 3\r\n" + coding + end)
    assert (reply.status, reply.headers["retry-after"], reply.body) == (429, "3", b"")
    plain, _ = read(b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\nabc")
    assert plain.body == b"abc"


def test_headers() -> None:
    """A mapping whose names ignore case; any byte can be shown, any name asked for."""
    headers = Headers({b"retry-after": b"3", b"x-odd": b"\xff"})
    assert headers["Retry-After"] == headers.get("RETRY-AFTER") == "3"
    assert headers["X-Odd"] == "\xff"
    assert headers.get("x-other") is None
    assert headers.get("\u20ac") is None
    assert "retry-AFTER" in headers
    assert (len(headers), list(headers)) == (2, ["retry-after", "x-odd"])
    assert repr(Headers({b"a": b"b"})) == "Headers({'a': 'b'})"
    with pytest.raises(KeyError, match="Nothing"):
        headers["Nothing"]


def test_of_headers_with_one_name_the_first_counts() -> None:
    """As with aiohttp."""
    reply, _ = read(b"HTTP/1.1 429 Later\r\nRetry-After: 3\r\nretry-after: 9\r\nContent-Length: 0\r\n\r\n")
    assert reply.headers["retry-after"] == "3"


def test_a_closed_reader_goes_without_the_garbage_collector() -> None:
    """The parser and the reader hold each other; closing breaks that."""
    gc.disable()
    try:
        reader = ReplyReader()
        reader.feed(with_length(b"abc"))
        reader.close()
        gone = weakref.ref(reader)
        del reader
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("http://teacher:8000/v1", True),
        ("http://[::1]:8000/v1/completions?a=b", True),
        ("https://teacher/v1", True),
        ("http://user:secret@teacher/v1", False),
        ("http://täacher/v1", False),
        ("http://teacher/a path", False),
        ("http:///v1", False),
        ("unix:/run/teacher.sock", False),
    ],
)
def test_which_urls_are_for_it(url: str, taken: bool) -> None:
    """Plain HTTP to a host, written so that nothing has to be quoted."""
    assert LeanBackend.takes(url) is taken
