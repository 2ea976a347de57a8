"""Replies of HTTP/1.1, read from bytes in pieces of any size; no input or output here.

llhttp (httptools) knows the grammar. When a reply is whole, whether its connection can be used for another,
and which replies are not taken at all, is decided here. Format: RFC 9112.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import httptools

from ..abc import HttpReply
from ..errors import BadReply, ConnectFailed
from .transport import MAX_BODY

__all__ = ["Headers", "ReplyReader"]

MAX_HEAD = 64 * 1024  # bytes without one of the body: the head, or what a chunked body says about itself


class Headers(Mapping[str, str]):
    """A reply's headers; names ignore case, and nothing is decoded before it is asked for."""

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        try:
            return self._raw[name.lower().encode("latin-1")].decode("latin-1")
        except (KeyError, UnicodeEncodeError):
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return f"Headers({dict(self)})"


class ReplyReader:
    """Reads the replies of one connection, one after the other.

    Attributes:
        heard: a byte of the present reply has come.
        reusable: nothing that came speaks against another request on this connection.
    """

    def __init__(self) -> None:
        self.heard = False
        self.reusable = True
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0  # bytes of body
        self._bare = 0  # bytes since the last one of the body
        self._in_body = False
        self._whole = False
        self._seen: Callable[[bytes], None] | None = None

    def begin(self, seen: Callable[[bytes], None] | None = None) -> None:
        """Be ready for the next reply; ``seen`` is told each piece of its body."""
        self._seen = seen
        self.heard = self._in_body = self._whole = False
        self._headers, self._body = {}, []
        self._size = self._bare = 0

    def feed(self, data: bytes) -> HttpReply | None:
        """Take the next bytes; the reply, once it is whole.

        Raises:
            ConnectFailed: this is not HTTP.
            BadReply: it is larger than any reply should be, or compressed.
        """
        self.heard = True
        self._bare += len(data)
        if self._parser is not None:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                self.reusable = False  # what follows a whole reply may be anything; the reply is still good
                if not self._whole:
                    raise _not_http(str(error)) from error
        if self._size > MAX_BODY:
            raise BadReply(f"a body of more than {MAX_BODY} bytes", status=self._status)
        if self._whole:
            return self._reply()
        if self._bare > MAX_HEAD:
            raise _not_http(f"a head of more than {MAX_HEAD} bytes")
        return None

    def end(self) -> HttpReply | None:
        """The connection's end is the end of a reply without a length; None if it breaks the reply off.

        Raises:
            BadReply: the reply is compressed.
        """
        self.reusable = False
        framed = b"content-length" in self._headers or self._headers.get(b"transfer-encoding") == b"chunked"
        return self._reply() if self._in_body and not framed else None

    def close(self) -> None:
        """Read no more. The parser holds this object's methods: without it nothing keeps the two alive."""
        self._parser = None

    def _reply(self) -> HttpReply:
        headers, body = self._headers, self._body
        whole = body[0] if len(body) == 1 else b"".join(body)
        if b"content-encoding" in headers or b"transfer-encoding" in headers:
            coding = _coding(headers)
            if coding and self._status == 200:
                raise BadReply(f"a reply encoded as {coding}, though no encoding was asked for", status=200)
            if coding:
                whole = b""  # an error's status says enough
        return HttpReply(self._status, Headers(headers), whole)

    # ------------------------------------------------------------ httptools' callbacks

    def on_message_begin(self) -> None:
        """A reply begins; behind a whole one, it is one that nobody asked for."""
        if self._whole:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; of several with one name the first counts."""
        if not self._whole:
            self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """The status is known too."""
        if self._parser is not None and not self._whole:
            self._status = self._parser.get_status_code()
            self._in_body = True

    def on_body(self, body: bytes) -> None:
        """Some bytes of the body."""
        if self._whole:
            return
        self._bare = 0
        self._size += len(body)
        if self._size <= MAX_BODY:
            self._body.append(body)
            if self._seen is not None:
                self._seen(body)

    def on_message_complete(self) -> None:
        """The reply is whole, unless it was an interim one (100 to 199) that the real one follows."""
        if self._whole or self._parser is None:
            return
        if self._status < 200:
            self._in_body = False
            self._headers = {}
            return
        self._whole = True
        if not self._parser.should_keep_alive():
            self.reusable = False


def _coding(headers: dict[bytes, bytes]) -> str:
    """The encodings of a reply, apart from chunks."""
    transfer = headers.get(b"transfer-encoding", b"").lower()
    content = headers.get(b"content-encoding", b"").lower()
    found = [word for word in (transfer, content) if word not in {b"", b"chunked", b"identity"}]
    return b", ".join(found).decode("latin-1")[:100]


def _not_http(words: str) -> ConnectFailed:
    return ConnectFailed(f"what the server sent is not HTTP: {words}")
