"""The fault catalogue has 35 rows on networks and teachers; tests are named after them."""

from __future__ import annotations

import re
from pathlib import Path

NAMES = re.compile(r"def test_rows?_(\d\d)(?:_and_(\d\d))?_")


def test_every_row_has_a_test_named_after_it() -> None:
    """From a refused connection (row 1) to streams without an end (row 35)."""
    tests = Path(__file__).parents[1]
    found = {
        int(number)
        for file in tests.rglob("test_*.py")
        for numbers in NAMES.findall(file.read_text(encoding="utf-8"))
        for number in numbers
        if number
    }
    assert set(range(1, 36)) - found == set()
