"""How many slots a run takes: the contract of what decides it, and the fixed number that a user gives."""

from __future__ import annotations

from typing import Protocol

from ..events import LimitChange
from .metrics import ServerMetrics

__all__ = ["Controller", "Fixed"]


class Controller(Protocol):
    """Decides the limit of slots from what becomes of calls. Every ``now`` is in monotonic seconds."""

    @property
    def limit(self) -> int:
        """Slots that may be in use now."""

    @property
    def history(self) -> list[LimitChange]:
        """The changes so far, the latest last; beyond a thousand the oldest are dropped."""

    def completed(self, now: float, *, choices: int, tokens: int, seconds: float, saturated: bool) -> None:
        """A call was answered.

        Args:
            now: when.
            choices: slots that it took.
            tokens: that it was worth; 0 if not known.
            seconds: from its admission to its reply.
            saturated: whether all slots were in use when the reply came, and only slots held calls back.
        """

    def throttled(self, now: float, retry_after: float | None) -> None:
        """A server said "less" (429, 503 or 529), and perhaps for how many seconds."""

    def failed(self, now: float) -> None:
        """An attempt failed otherwise: 5xx, a timeout, a broken connection."""

    def observed(self, now: float, metrics: ServerMetrics, *, own: int | None = None) -> None:
        """The server told its load (several servers: their sum); ``own`` sequences of it are this run's."""

    def restart(self, now: float) -> None:
        """The server was away and is back: begin again."""


class Fixed:
    """The limit that the user gave, whatever happens."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.history = [LimitChange(0.0, limit, "as given")]

    def completed(self, now: float, *, choices: int, tokens: int, seconds: float, saturated: bool) -> None:
        """Changes nothing."""

    def throttled(self, now: float, retry_after: float | None) -> None:
        """Changes nothing."""

    def failed(self, now: float) -> None:
        """Changes nothing."""

    def observed(self, now: float, metrics: ServerMetrics, *, own: int | None = None) -> None:
        """Changes nothing."""

    def restart(self, now: float) -> None:
        """Changes nothing."""
