"""The blocks that combine, flatten, duplicate, rename and select columns."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sdg_stream.abc import Block, Flow, RowBlock
from sdg_stream.blocks.combine_columns_block import CombineColumnsBlock
from sdg_stream.blocks.duplicate_columns_block import DuplicateColumnsBlock
from sdg_stream.blocks.flatten_columns_block import FlattenColumnsBlock
from sdg_stream.blocks.rename_columns_block import RenameColumnsBlock
from sdg_stream.blocks.selector_block import SelectorBlock
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.testing.run_blocks import make_block

Row = dict[str, Any]


def apply(kind: type[Block[Any]], config: Row, row: Row) -> list[list[tuple[str, Any]]]:
    """The results for one row, each as its items, so that the order of columns counts."""
    block = cast("RowBlock[Any]", make_block(kind, config))
    return [list(result.items()) for result in block.apply(dict(row))]


def reject(kind: type[Block[Any]], config: Row, row: Row) -> tuple[str, str]:
    """Reason and message that a row is rejected with; it must be as it was before."""
    block = cast("RowBlock[Any]", make_block(kind, config))
    mine = dict(row)
    with pytest.raises(RecordError) as caught:
        list(block.apply(mine))
    assert mine == row
    return caught.value.reason, caught.value.message


def refused(kind: type[Block[Any]], config: Row) -> str:
    """The message that a config is refused with."""
    with pytest.raises(ConfigError) as caught:
        make_block(kind, config)
    return str(caught.value)


# ---------------------------------------------------------------- combine


def test_combine_joins_in_the_given_order() -> None:
    """Two newlines by default; the new column comes last; a column may stand twice."""
    config: Row = {"columns": ["b", "a", "b"], "output_col": "c"}
    row = {"a": "1", "b": "2"}
    assert apply(CombineColumnsBlock, config, row) == [[("a", "1"), ("b", "2"), ("c", "2\n\n1\n\n2")]]
    assert apply(CombineColumnsBlock, {**config, "separator": "-"}, row)[0][-1] == ("c", "2-1-2")


def test_combine_may_overwrite_one_of_its_columns() -> None:
    """An overwritten column keeps its place."""
    config = {"columns": ["a", "b"], "output_col": "a", "separator": ""}
    assert apply(CombineColumnsBlock, config, {"a": "1", "b": "2"}) == [[("a", "12"), ("b", "2")]]


def test_combine_of_no_columns_is_empty_text() -> None:
    """As upstream."""
    assert apply(CombineColumnsBlock, {"columns": [], "output_col": "a"}, {}) == [[("a", "")]]


def test_q_combine_1_a_null_is_rejected_with_its_column() -> None:
    """Kept: it fails; the message names the column, and only this record ends."""
    config = {"columns": ["a", "b"], "output_col": "c"}
    assert reject(CombineColumnsBlock, config, {"a": "1", "b": None}) == (
        "bad_type",
        "column 'b' is null, not text",
    )
    assert reject(CombineColumnsBlock, config, {"a": 1, "b": "2"})[0] == "bad_type"
    reason, message = reject(CombineColumnsBlock, config, {"a": "1", "bb": "2"})
    assert (reason, message) == ("missing_column", "the record has no column 'b'; did you mean 'bb'?")


# ---------------------------------------------------------------- flatten

FLATTEN = {"var_cols": ["y", "x"], "value_name": "value", "var_name": "name"}


def test_flatten_gives_a_record_for_each_column_in_their_order() -> None:
    """Kept columns first, then the name, then the value; nulls give records, too."""
    assert apply(FlattenColumnsBlock, FLATTEN, {"x": 1, "k": "a", "y": None, "l": "b"}) == [
        [("k", "a"), ("l", "b"), ("name", "y"), ("value", None)],
        [("k", "a"), ("l", "b"), ("name", "x"), ("value", 1)],
    ]


def test_flatten_var_name_null_means_variable() -> None:
    """As upstream; and the name may be that of a flattened column."""
    assert apply(FlattenColumnsBlock, {**FLATTEN, "var_name": None}, {"x": 1, "y": 2})[0] == [
        ("variable", "y"),
        ("value", 2),
    ]
    assert apply(FlattenColumnsBlock, {**FLATTEN, "var_name": "x"}, {"x": 1, "y": 2})[1] == [
        ("x", "x"),
        ("value", 1),
    ]


def test_flatten_of_no_columns_gives_no_records() -> None:
    """As upstream."""
    assert apply(FlattenColumnsBlock, {**FLATTEN, "var_cols": []}, {"x": 1}) == []


def test_flatten_rejects_what_it_cannot_do() -> None:
    """A missing column, or a new name that a kept column has."""
    assert reject(FlattenColumnsBlock, FLATTEN, {"x": 1})[0] == "missing_column"
    assert reject(FlattenColumnsBlock, FLATTEN, {"x": 1, "y": 2, "value": 3}) == (
        "bad_value",
        "the record already has a column 'value'; another name is needed",
    )
    assert "'name'" in reject(FlattenColumnsBlock, FLATTEN, {"x": 1, "y": 2, "name": 3})[1]


def test_flatten_refuses_names_that_always_clash() -> None:
    """Known before any record: the value's name among the flattened columns, or equal to the other name."""
    assert "value_name 'x' is also one of var_cols" in refused(
        FlattenColumnsBlock, {**FLATTEN, "value_name": "x"}
    )
    assert "are both 'variable'" in refused(
        FlattenColumnsBlock, {**FLATTEN, "value_name": "variable", "var_name": None}
    )
    assert "'var_name' is missing" in refused(FlattenColumnsBlock, {"var_cols": ["x"], "value_name": "v"})


# ---------------------------------------------------------------- duplicate


def test_duplicate_adds_copies_at_the_end_in_order() -> None:
    """A later entry can copy a copy."""
    config = {"columns_map": {"b": "c", "c": "d", "a": "e"}}
    assert apply(DuplicateColumnsBlock, config, {"a": 1, "b": 2}) == [
        [("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 1)]
    ]


def test_duplicate_rejects_taken_names_and_missing_columns() -> None:
    """What ends upstream's run ends the record, which stays as it was."""
    config = {"columns_map": {"a": "x", "b": "y"}}
    assert reject(DuplicateColumnsBlock, config, {"a": 1, "b": 2, "y": 3})[0] == "bad_value"
    assert reject(DuplicateColumnsBlock, config, {"a": 1})[0] == "missing_column"


@pytest.mark.parametrize("columns_map", [{"a": "a"}, {"a": "c", "b": "c"}, {"b": "c", "a": "b"}])
def test_duplicate_refuses_targets_that_always_exist(columns_map: dict[str, str]) -> None:
    """Onto itself, onto another copy, or onto a source."""
    assert "which exists by then" in refused(DuplicateColumnsBlock, {"columns_map": columns_map})


# ---------------------------------------------------------------- rename


def test_rename_keeps_places_and_works_all_at_once() -> None:
    """Swaps and chains work; a column renamed to its own name stays."""
    row = {"a": 1, "b": 2, "c": 3}
    for columns_map, expected in (
        ({"a": "x"}, "xbc"),
        ({"a": "b", "b": "a"}, "bac"),
        ({"a": "b", "b": "c", "c": "d"}, "bcd"),
        ({"b": "b"}, "abc"),
        ({}, "abc"),
    ):
        (result,) = apply(RenameColumnsBlock, {"columns_map": columns_map}, row)
        assert result == list(zip(expected, (1, 2, 3), strict=True))


def test_q_rename_1_renaming_onto_an_existing_column_is_an_error() -> None:
    """Fixed: upstream makes two columns of one name and loses the renamed values."""
    assert reject(RenameColumnsBlock, {"columns_map": {"a": "b"}}, {"a": 1, "b": 2}) == (
        "bad_value",
        "the record already has a column 'b'; another name is needed",
    )


def test_rename_rejects_a_missing_column() -> None:
    """Named, with the nearest one."""
    config = {"columns_map": {"document": "raw"}}
    assert reject(RenameColumnsBlock, config, {"documnet": 1}) == (
        "missing_column",
        "the record has no column 'document'; did you mean 'documnet'?",
    )


def test_rename_refuses_equal_and_empty_new_names() -> None:
    """Both are known before any record."""
    assert "renames both 'a' and 'b' to 'c'" in refused(
        RenameColumnsBlock, {"columns_map": {"a": "c", "b": "c"}}
    )
    assert "gives 'a' an empty name" in refused(RenameColumnsBlock, {"columns_map": {"a": ""}})


# ---------------------------------------------------------------- select

SELECT: Row = {"choice_map": {"a": "x", "b": "y"}, "choice_col": "choice", "output_col": "z"}


def test_selector_takes_the_chosen_column() -> None:
    """The new column comes last; it may overwrite the choice itself."""
    row = {"choice": "b", "x": 1, "y": 2}
    assert apply(SelectorBlock, SELECT, row) == [[*row.items(), ("z", 2)]]
    assert apply(SelectorBlock, {**SELECT, "output_col": "choice"}, row)[0][0] == ("choice", 2)


def test_selector_choices_need_not_be_text() -> None:
    """Numbers and booleans from YAML choose by equality."""
    config = {**SELECT, "choice_map": {1: "x", False: "y"}}
    assert apply(SelectorBlock, config, {"choice": 1.0, "x": 1, "y": 2})[0][-1] == ("z", 1)
    assert apply(SelectorBlock, config, {"choice": False, "x": 1, "y": 2})[0][-1] == ("z", 2)


@pytest.mark.parametrize("choice", ["c", None, ["a"], {"a": 1}, 1])
def test_q_select_1_an_unknown_choice_is_rejected(choice: Any) -> None:
    """Kept: it fails; the message has the value and the known choices, and only this record ends."""
    reason, message = reject(SelectorBlock, SELECT, {"choice": choice, "x": 1, "y": 2})
    assert reason == "unknown_choice"
    assert message.startswith("column 'choice' is ")
    assert message.endswith('; known choices: "a", "b"')


def test_selector_rejects_missing_columns() -> None:
    """The choice, or the column that it stands for."""
    assert "'choice'" in reject(SelectorBlock, SELECT, {"x": 1})[1]
    assert reject(SelectorBlock, SELECT, {"choice": "b", "x": 1}) == (
        "missing_column",
        "the record has no column 'y'; it has choice, x",
    )


# ---------------------------------------------------------------- flow


@pytest.mark.parametrize(
    ("kind", "config", "flow"),
    [
        (
            CombineColumnsBlock,
            {"columns": ["a", "b"], "output_col": "c"},
            Flow(reads=frozenset("ab"), adds=("c",), one_to_one=True),
        ),
        (
            FlattenColumnsBlock,
            {"var_cols": ["x", "y"], "value_name": "v", "var_name": "x"},
            Flow(reads=frozenset("xy"), adds=("x", "v"), drops=frozenset("y"), fresh=frozenset("v")),
        ),
        (
            DuplicateColumnsBlock,
            {"columns_map": {"a": "b", "b": "c"}},
            Flow(reads=frozenset("a"), adds=("b", "c"), fresh=frozenset("bc"), one_to_one=True),
        ),
        (
            RenameColumnsBlock,
            {"columns_map": {"a": "b", "b": "c"}},
            Flow(
                reads=frozenset("ab"),
                adds=("b", "c"),
                drops=frozenset("a"),
                fresh=frozenset("c"),
                moves={"a": "b", "b": "c"},
                one_to_one=True,
            ),
        ),
        (
            SelectorBlock,
            {"choice_map": {"k": "x"}, "choice_col": "c", "output_col": "z"},
            Flow(reads=frozenset("cx"), adds=("z",), one_to_one=True),
        ),
    ],
)
def test_flow(kind: type[Block[Any]], config: Row, flow: Flow) -> None:
    """What each block does to columns is known before any record."""
    assert make_block(kind, config).flow == flow
