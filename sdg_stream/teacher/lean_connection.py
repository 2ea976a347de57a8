"""One connection of the lean backend: a request goes out, a whole reply comes in, one at a time.

A protocol right on the event loop's transport, of TCP or TLS: no task, no stream and no buffer between that
and the caller, only one future a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from ..abc import HttpReply
from ..errors import AttemptError, AttemptTimeout, ConnectFailed
from .lean_reply import ReplyReader
from .transport import words_of

__all__ = ["Connection"]

SLICE = 64 * 1024  # bytes of a request that are given to the transport at a time


class Connection(asyncio.Protocol):
    """One connection to one server.

    Args:
        loop: the running event loop.
        on_lost: called with the connection once it is closed.

    Attributes:
        alive: another request may be sent, if none is under way.
        idle_since: loop time since when none is; the pool's to set.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]) -> None:
        self.alive = True
        self.idle_since = 0.0
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._write: Callable[[bytes | memoryview], None]
        self._reader = ReplyReader()
        self._used = False  # a whole reply has come
        self._waiter: asyncio.Future[HttpReply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0  # loop time
        self._timeout = 0.0  # seconds
        self._rest: memoryview | None = None  # of the request: what the transport does not have yet
        self._paused = False

    def ask(
        self,
        request: bytes,
        deadline: float,
        timeout: float,
        seen: Callable[[bytes], None] | None = None,
    ) -> asyncio.Future[HttpReply]:
        """Send a request and give the future of its reply; who stops waiting for it must call :meth:`close`.

        The future fails with ConnectFailed, BadReply, or, at ``deadline`` (loop time), with AttemptTimeout,
        which says how many seconds ``timeout`` were. ``seen`` is told each piece of the body.
        """
        self._waiter = waiter = self._loop.create_future()
        self._reader.begin(seen)
        self._watch(deadline, timeout)
        if len(request) <= SLICE:
            self._write(request)
        else:
            self._rest = memoryview(request)
            self._pump()
        return waiter

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self.alive = False
        self._rest = None
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: AttemptError, cause: BaseException | None = None) -> None:
        """Close, and end the call under way, if there is one, with this error."""
        self.close()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            if cause is not None:
                error.__cause__ = cause
            waiter.set_exception(error)

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection can be used; with TLS, after the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write

    def data_received(self, data: bytes) -> None:
        """Some bytes of a reply, or bytes that nobody asked for."""
        if self._waiter is None:
            self.close()
            return
        try:
            reply = self._reader.feed(data)
        except AttemptError as error:
            self.fail(error)
            return
        if reply is not None:
            self._answer(reply)

    def eof_received(self) -> None:
        """The server sends no more. TLS would wait for a last word from it, so all is closed at once."""
        self._end(None)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._end(exc)
        if self._timer is not None:
            self._timer.cancel()
        self._reader.close()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The transport has enough for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._paused = False
        self._pump()

    # ------------------------------------------------------------ one call

    def _answer(self, reply: HttpReply) -> None:
        self._used = True
        # A server that did not wait for all of the request may take the rest for the next one.
        self.alive = self.alive and self._reader.reusable and self._rest is None
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _end(self, exc: Exception | None) -> None:
        """The server sends no more: the end of a reply without a length, and of hope for any other."""
        self.alive = False
        if self._waiter is None:
            return
        try:
            reply = self._reader.end() if exc is None else None
        except AttemptError as error:
            self.fail(error)
            return
        if reply is not None:
            self._answer(reply)
        elif self._reader.heard:
            self.fail(ConnectFailed("the reply broke off", begun=True), exc)
        elif exc is None:
            self.fail(ConnectFailed("the server closed the connection without a reply", stale=self._used))
        else:
            self.fail(ConnectFailed(f"the connection failed: {words_of(exc)}", stale=self._used), exc)

    def _pump(self) -> None:
        """Give the transport as much of the request as it takes."""
        while self._rest is not None and not self._paused:
            piece, rest = self._rest[:SLICE], self._rest[SLICE:]
            self._rest = rest or None
            self._write(piece)

    # ------------------------------------------------------------ the deadline

    def _watch(self, deadline: float, timeout: float) -> None:
        """Set the deadline. A timer that rings too early looks again, so that most calls need not set one."""
        self._deadline, self._timeout = deadline, timeout
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._ring)
        else:
            self.fail(AttemptTimeout(f"no whole reply within {self._timeout:g} s"))
