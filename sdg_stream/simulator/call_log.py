"""A log of calls: what came when, and when it was answered. So a test can tell what was asked twice."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

import msgspec

__all__ = ["CallLine", "CallLog"]


class CallLine(msgspec.Struct, kw_only=True):
    """One call of the two endpoints. Times are seconds of the system's monotonic clock.

    Attributes:
        request: digest of the request's body: the same for the same prompt with the same parameters.
        arrived: when the whole request had come.
        left: when the reply went, or the connection ended.
        status: HTTP status of the reply; 0 if the connection ended before it, on either side.
        fault: the kind of fault on purpose, if there was one.
    """

    request: str
    arrived: float
    left: float = 0.0
    status: int = 0
    fault: str | None = None

    @classmethod
    def of(cls, body: bytes, arrived: float) -> CallLine:
        """A call that has just come."""
        return cls(request=blake2b(body, digest_size=8).hexdigest(), arrived=arrived)


class CallLog:
    """Appends a line of JSON to a file when a call has ended.

    Args:
        file: the file; lines are added to what it holds.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, line: CallLine) -> None:
        """Append one call; another process can read it at once."""
        os.write(self._descriptor, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
