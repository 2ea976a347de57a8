"""SetToMajorityValueBlock: who votes, who wins, and what happens when nobody does."""

from __future__ import annotations

from typing import Any

import pytest

from sdg_stream.abc import Flow
from sdg_stream.blocks.set_to_majority_value_block import SetToMajorityValueBlock
from sdg_stream.testing.run_blocks import make_block, run_blocks

pytestmark = pytest.mark.anyio

BLOCK = make_block(SetToMajorityValueBlock, {"col_name": "x"})


async def majority(*values: Any) -> Any:
    """The value that every record gets."""
    outcome = await run_blocks([BLOCK], [{"x": value, "n": n} for n, value in enumerate(values)])
    assert [row["n"] for row in outcome.rows] == list(range(len(values)))
    (found,) = {repr(row["x"]): row["x"] for row in outcome.rows}.values()
    return found


async def test_the_most_frequent_value_wins() -> None:
    """Nulls and NaN do not vote, and get the value, too."""
    assert await majority("b", "a", "b", None, None, None) == "b"
    assert await majority(float("nan"), float("nan"), 2) == 2


async def test_q_maj_1_a_tie_goes_to_the_smallest_value() -> None:
    """Kept: not to the first; text is ordered by code points."""
    assert await majority("b", "a", "b", "a", "c") == "a"
    assert await majority("a", "B") == "B"
    assert await majority(10, 9) == 9


async def test_q_pandas_1_ints_stay_ints_beside_nulls() -> None:
    """Fixed: upstream's trip through a data frame makes floats of them."""
    found = await majority(1, None, 1)
    assert (found, type(found)) == (1, int)


async def test_lists_and_mappings_are_compared_by_content() -> None:
    """Upstream fails on them; here they vote like other values, also among mixed types."""
    assert await majority(["a"], ["b"], ["a"]) == ["a"]
    assert await majority({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"c": 3}) == {"a": 1, "b": 2}
    assert await majority(["a"], "a", 3) == 3


async def test_a_record_without_the_column_gets_the_value() -> None:
    """One record's missing column is like a null, since some record has it."""
    outcome = await run_blocks([BLOCK], [{"a": 1}, {"x": "v"}])
    assert outcome.rows == [{"a": 1, "x": "v"}, {"x": "v"}]


async def test_without_any_value_all_records_are_rejected() -> None:
    """Only nulls, or no such column at all: there is no majority to set."""
    for rows, reason in (([{"x": None}, {}], "bad_value"), ([{"y": 1}, {"y": 2}], "missing_column")):
        outcome = await run_blocks([BLOCK], rows)
        assert outcome.rows == []
        assert [(root, error.reason) for root, error in outcome.rejects] == [(0, reason), (1, reason)]


async def test_no_records_are_no_problem() -> None:
    """Nothing in, nothing out."""
    assert await run_blocks([BLOCK], []) == ([], [])


def test_flow() -> None:
    """It replaces its column and keeps every record."""
    assert BLOCK.flow == Flow(reads=frozenset("x"), adds=("x",), one_to_one=True)
