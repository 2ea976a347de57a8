"""Which block of a changed pipeline is which of the old one, and what became of the list of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, TypeAlias

from .fingerprint import canonical

__all__ = ["BlockPairs", "Entry", "name_of"]

Entry: TypeAlias = dict[str, Any]
"""An entry of a pipeline file's ``blocks``, as facts hold it."""


def name_of(entry: Entry) -> str:
    """The block's name, for people."""
    return str(entry.get("name") or "without a name")


class BlockPairs:
    """Old and new blocks, paired by name; what is left by content, then by place and type.

    So an inserted block is one change and not one of every block behind it.

    Attributes:
        pairs: (old index, new index) in new order.
        removed: old indexes without a partner.
        added: new indexes without a partner.
        moved: pairs that stand elsewhere among the blocks that stayed.
    """

    def __init__(self, old: Sequence[Entry], new: Sequence[Entry]) -> None:
        self._old, self._new = old, new
        self._partner: dict[int, int] = {}  # new index to old index
        self._taken: set[int] = set()
        self._pair_by(lambda entry, _: canonical(entry.get("name")))
        self._pair_by(lambda entry, _: canonical({**entry, "name": None}))
        gaps = self._gaps()
        self._pair_by(lambda entry, place: f"{gaps[place]} {canonical(entry.get('type'))}")
        self.pairs = [(self._partner[index], index) for index in range(len(new)) if index in self._partner]
        self.removed = [index for index in range(len(old)) if index not in self._taken]
        self.added = [index for index in range(len(new)) if index not in self._partner]
        self.moved = list(self._moved())

    def _pair_by(self, key: Callable[[Entry, tuple[int, int]], str]) -> None:
        """Pair what has no partner and has the same key, the first with the first."""
        waiting: dict[str, list[int]] = {}
        for index, entry in enumerate(self._old):
            if index not in self._taken:
                waiting.setdefault(key(entry, (0, index)), []).append(index)
        for index, entry in enumerate(self._new):
            if index not in self._partner and (same := waiting.get(key(entry, (1, index)))):
                self._partner[index] = same.pop(0)
                self._taken.add(self._partner[index])

    def _gaps(self) -> dict[tuple[int, int], int]:
        """For each place (0 for old, 1 for new; index) the old index of the nearest pair before it."""
        gaps: dict[tuple[int, int], int] = {}
        before = -1
        for index in range(len(self._old)):
            before = index if index in self._taken else before
            gaps[0, index] = before
        before = -1
        for index in range(len(self._new)):
            before = self._partner.get(index, before)
            gaps[1, index] = before
        return gaps

    def _moved(self) -> Iterator[tuple[int, int]]:
        now = [old for old, _ in self.pairs]
        matcher = SequenceMatcher(None, sorted(now), now, autojunk=False)
        stayed = {match.b + step for match in matcher.get_matching_blocks() for step in range(match.size)}
        return (pair for place, pair in enumerate(self.pairs) if place not in stayed)
