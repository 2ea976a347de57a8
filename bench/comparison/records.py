"""What was measured, kept as JSON lines, one file a case: so a comparison can be made case by case."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import msgspec

from .place import Account

__all__ = ["Record", "Records", "Spread"]


class Spread(msgspec.Struct, frozen=True):
    """A median and how far the values lie apart."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: list[float]) -> Spread | None:
        """The spread of values; None of none."""
        return cls(statistics.median(values), min(values), max(values), len(values)) if values else None


class Record(msgspec.Struct):
    """One run of one tool: its account, or why there is none."""

    tool: str
    repeat: int
    account: Account = {}
    reason: str = ""
    date: str = ""
    seconds: float = 0.0


class Records:
    """The records below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, case: str, record: Record) -> None:
        """Keep a record; it takes the place of an earlier one of the same tool and repeat."""
        with self._file(case).open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")

    def of(self, case: str) -> dict[tuple[str, int], Record]:
        """The records of a case, by tool and repeat."""
        file = self._file(case)
        if not file.exists():
            return {}
        lines = file.read_bytes().splitlines()
        records = [msgspec.convert(json.loads(line), Record) for line in lines]
        return {(record.tool, record.repeat): record for record in records}

    def of_tool(self, case: str, tool: str) -> list[Record]:
        """The records of a tool in a case, in order."""
        return [record for (name, _), record in sorted(self.of(case).items()) if name == tool]

    def _file(self, case: str) -> Path:
        return self._folder / f"{case}.jsonl"


def spread_of(records: list[Record], key: str) -> Spread | None:
    """The spread of a number over records; None if it is in none of them."""
    found = [record.account.get(key) for record in records]
    return Spread.of([value for value in found if isinstance(value, int | float)])


def words_of(records: list[Record], key: str) -> str:
    """What the last record says that has words for a key, else why there is no record, else nothing."""
    for record in reversed(records):
        value = record.account.get(key)
        if isinstance(value, str):
            return value
    return next((record.reason for record in reversed(records) if record.reason), "")
