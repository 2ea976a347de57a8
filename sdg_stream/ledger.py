"""The contract between a run and what remembers it: what is committed, and what earlier sessions have done.

A *session* is one process's part of a run. The engine hands every settled root to a ledger. One ledger only
writes (:mod:`sdg_stream.engine.plain`); the other one (:mod:`sdg_stream.state`) remembers, so that the next
session goes on where this one ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from .errors import RecordError
from .events import RunReport
from .record import Columns, Path

__all__ = ["Ledger", "Past", "Redo", "Roots", "Settled", "prepare_reject"]

P = TypeVar("P")


class Roots:
    """A set of root numbers: all below ``below``, and a few beyond."""

    __slots__ = ("below", "beyond")

    def __init__(self, below: int = 0) -> None:
        self.below = below
        self.beyond: set[int] = set()

    def __contains__(self, root: int) -> bool:
        return root < self.below or root in self.beyond

    def __len__(self) -> int:
        return self.below + len(self.beyond)

    def add(self, root: int) -> None:
        """One more; a second time changes nothing."""
        if root == self.below:
            below, beyond = root + 1, self.beyond
            while beyond and below in beyond:
                beyond.discard(below)
                below += 1
            self.below = below
        elif root > self.below:
            self.beyond.add(root)


class Settled(msgspec.Struct):
    """A settled root, as the engine commits it.

    Attributes:
        root: its number.
        outcome: ``accepted``, ``filtered`` or ``rejected``.
        rows: prepared rows, in path order.
        paths: of all rows that the output has of it then, those of earlier sessions included.
        rejects: lines for the rejects file.
        ended: for each of them the path and the position of the block that it ended at, -1 for the input.
        lost: for each of them the name of the stage and the reason.
        keys: for each ``drop_duplicates`` the 16-byte digests that this root was first with.
        tally: what it counted at each block: records in, out, filtered, duplicates; four numbers a block.
    """

    root: int
    outcome: str
    rows: list[Any]
    paths: list[Path]
    rejects: list[dict[str, Any]]
    ended: list[tuple[Path, int]]
    lost: list[tuple[str, str]]
    keys: list[list[bytes]]
    tally: list[int]


class Redo(msgspec.Struct):
    """A settled root that is run again, because records of it were rejected.

    Attributes:
        accepted: paths of the rows that it has in the output already; they are not written again.
    """

    accepted: frozenset[Path] = frozenset()


class Past(msgspec.Struct):
    """What earlier sessions of the run have done.

    Attributes:
        settled: roots that are not run again.
        redo: roots among the settled ones that are.
        account: of the settled roots, those of ``redo`` left out; their rows count all the same.
        owner: tells which settled root was first with a key of the nth ``drop_duplicates``; None if nobody
            remembers.
        tokens: prompt tokens and reply tokens that were used.
        seconds: wall time of the earlier sessions.
    """

    settled: Roots
    redo: dict[int, Redo] = {}
    account: RunReport | None = None
    owner: Callable[[int, bytes], int | None] | None = None
    tokens: tuple[int, int] = (0, 0)
    seconds: float = 0.0

    def done(self, root: int) -> bool:
        """Whether a root is settled and stays so."""
        return root in self.settled and root not in self.redo

    def stretch(self, root: int) -> int:
        """How many roots from this one on can be passed over without looking at them."""
        if root >= self.settled.below:
            return 0
        ahead = [again for again in self.redo if again >= root]
        return min(ahead, default=self.settled.below) - root


class Ledger(Protocol):
    """Where settled roots go."""

    @property
    def output(self) -> str:
        """The output file, or what it is."""

    @property
    def rejects(self) -> str:
        """The rejects file; empty if rejects are only counted."""

    @property
    def rows_written(self) -> int | None:
        """Rows that the operating system has taken, those of earlier sessions included; None if unknown."""

    def watch(self, account: Callable[[], RunReport]) -> None:
        """Be told where to get the account of all settled roots; called before the first one settles."""

    def prepare(self, columns: Columns) -> Any:
        """Make a row ready to be written, without writing.

        Raises:
            RecordError: the row cannot be written in this format.
        """

    async def settle(self, settled: Settled) -> None:
        """Take a settled root; it is written whole or not at all.

        Raises:
            OutputError: it cannot be written; the run ends.
        """

    async def held(self) -> None:
        """Wait until something is held that no flush has taken yet."""

    async def flush(self) -> None:
        """Hand everything to the operating system; called on a beat of 25 ms until all is synced."""

    async def sync(self) -> None:
        """Bring everything to the disk; called on a beat of 1 s, and at the end."""

    async def aclose(self, stopped: str | None, failure: str = "") -> None:
        """Write what is held and close.

        Args:
            stopped: why the run ended before its input, empty if it did not; None: it was stopped, or failed.
            failure: the name of the error that it failed with.
        """


def prepare_reject(prepare: Callable[[Columns], P], row: dict[str, Any]) -> P:
    """A line of the rejects file; columns that cannot be written are shown as Python shows them."""
    try:
        return prepare(row)
    except RecordError:
        columns = row["columns"] or {}
        return prepare({**row, "columns": {str(name): repr(value) for name, value in columns.items()}})
