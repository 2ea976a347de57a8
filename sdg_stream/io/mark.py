"""How far an input has been read, and whether it is still what it was: what a resumed run stands on.

The digest is taken of the bytes as they pass on their way to be read, so that a mark costs nothing to make.
An input that cannot be read twice, such as a pipe, is held against the mark of an earlier run as it passes.
"""

from __future__ import annotations

import hashlib
import os

import msgspec

from ..errors import RunStateError

__all__ = ["InputMark", "Meter", "first_bytes_differ"]

CHUNK_BYTES = 1024 * 1024


class InputMark(msgspec.Struct, frozen=True, kw_only=True):
    """A place in an input, and the digest of everything before it.

    Attributes:
        bytes: how much of a file has been read, before unpacking; 0 for iterables.
        digest: SHA-256, in hex, of just those bytes, or of the rows of an iterable as JSON.
        ended: whether that was the end.
        terminated: false if the last line had no line feed and was read all the same.
        rows: how many rows of an iterable have been read; 0 for files.
    """

    bytes: int
    digest: str
    ended: bool = False
    terminated: bool = True
    rows: int = 0


class Meter:
    """Counts and hashes what passes, and holds it against the mark of an earlier run, if there is one.

    ``name`` is the input's, for messages. What is fed, counted and hashed are the bytes of a file, or the
    rows of an iterable.
    """

    def __init__(self, name: str) -> None:
        self.count = 0
        """Bytes, or rows, that have passed."""
        self._name = name
        self._hash = hashlib.sha256(usedforsecurity=False)
        self._expected: InputMark | None = None

    def expect(self, mark: InputMark) -> None:
        """Hold what passes against ``mark`` from now on; nothing has passed yet."""
        if self.count:
            raise RuntimeError(f"{self._name} is being read; say before what is expected of it")
        self._expected = mark

    def copy(self) -> Meter:
        """What has passed so far, to be asked later; another thread may go on with this one."""
        copied = Meter(self._name)
        copied.count, copied._hash = self.count, self._hash.copy()
        return copied

    def digest(self) -> str:
        """SHA-256 of everything that has passed, in hex."""
        return self._hash.hexdigest()

    def feed(self, data: bytes) -> None:
        """Let the next bytes of a file pass.

        Raises:
            RunStateError: they are not what had been read up to the mark.
        """
        mark = self._expected
        if mark is not None and self.count <= mark.bytes <= self.count + len(data):
            before = mark.bytes - self.count
            self._hash.update(memoryview(data)[:before])
            self._compare(mark, f"its first {mark.bytes} bytes are")
            if mark.ended and not mark.terminated and data[before : before + 1] not in (b"", b"\n", b"\r"):
                raise self._error("its last line had no line feed, and goes on now")
            self._hash.update(memoryview(data)[before:])
        else:
            self._hash.update(data)
        self.count += len(data)

    def feed_row(self, row: bytes) -> None:
        """Let the next row of an iterable pass.

        Raises:
            RunStateError: the rows so far are not those that had been read up to the mark.
        """
        self._hash.update(row)
        self.count += 1
        if self._expected is not None and self._expected.rows == self.count:
            self._compare(self._expected, f"its first {self.count} rows are")

    def end(self) -> None:
        """Nothing more will pass.

        Raises:
            RunStateError: there was less than up to the mark.
        """
        mark = self._expected
        if mark is not None and self.count < (wanted := mark.bytes or mark.rows):
            unit = "bytes" if mark.bytes else "rows"
            raise self._error(f"it ends after {self.count} {unit}, and {wanted} had been read")

    def _compare(self, mark: InputMark, what: str) -> None:
        if self.digest() != mark.digest:
            raise self._error(f"{what} not what they were")

    def _error(self, words: str) -> RunStateError:
        return RunStateError(f"{self._name} is not the input that it was: {words}")


def first_bytes_differ(descriptor: int, start: int, name: str, mark: InputMark) -> str:
    """In which way a regular file differs from what was read up to ``mark``; empty if it does not. Blocks.

    The descriptor's own position stays; what precedes ``start`` is no part of the input.
    """
    meter = Meter(name)
    meter.expect(mark)
    buffer = bytearray(CHUNK_BYTES)
    wanted = mark.bytes + 1  # the byte behind shows whether a last line goes on
    try:
        while wanted > 0:
            size = os.preadv(
                descriptor, [memoryview(buffer)[: min(wanted, CHUNK_BYTES)]], start + meter.count
            )
            if size == 0:
                break
            wanted -= size
            meter.feed(bytes(memoryview(buffer)[:size]))
        meter.end()
    except RunStateError as error:
        return str(error)
    return ""
