"""FilterByValueBlock: what passes, what conversion does, and what upstream's quirks became."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sdg_stream.abc import Context, Flow, RowBlock
from sdg_stream.blocks.filter_by_value_block import FilterByValueBlock
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.testing.run_blocks import make_block


def block_of(config: dict[str, Any], context: Context | None = None) -> RowBlock[Any]:
    """A block that looks at column ``x``."""
    return cast("RowBlock[Any]", make_block(FilterByValueBlock, {"filter_column": "x", **config}, context))


def kept(config: dict[str, Any], *values: Any) -> list[Any]:
    """The values of column ``x`` that pass, as they go on."""
    block = block_of(config)
    return [row["x"] for value in values for row in block.apply({"x": value})]


def refused(config: dict[str, Any]) -> str:
    """The message that a config is refused with."""
    with pytest.raises(ConfigError) as caught:
        block_of({"filter_value": 1, "operation": "eq", **config})
    return str(caught.value)


@pytest.mark.parametrize(
    ("operation", "target", "values", "expected"),
    [
        ("eq", "YES", ["YES", "NO", "yes", None], ["YES"]),
        ("ne", 1, [1, 2, None], [2, None]),
        ("lt", 2, [1, 2, 3], [1]),
        ("le", 2, [1, 2, 3], [1, 2]),
        ("gt", 2, [1, 2, 3], [3]),
        ("ge", 2, [1, 2, 3], [2, 3]),
        ("contains", "an", ["banana", "kiwi"], ["banana"]),
        ("contains", "a", [["a", "b"], ["c"]], [["a", "b"]]),
        ("is_", None, [None, 0], [None]),
        ("is_not", None, [None, 0], [0]),
        ("__eq__", 1, [1, 2], [1]),
        ("mod", 2, [1, 2, 3], [1, 3]),
    ],
)
def test_operations(operation: str, target: Any, values: list[Any], expected: list[Any]) -> None:
    """An operation is called with the column's value first; anything true counts."""
    assert kept({"filter_value": target, "operation": operation}, *values) == expected


def test_a_list_of_values_means_any() -> None:
    """A record passes if the operation is true for any of the values; for none, nothing passes."""
    assert kept({"filter_value": ["a", "b"], "operation": "eq"}, "a", "b", "c") == ["a", "b"]
    assert kept({"filter_value": [], "operation": "eq"}, "a") == []


def test_without_conversion_text_never_equals_a_number() -> None:
    """Comparison is plain Python."""
    assert kept({"filter_value": 1, "operation": "eq"}, "1", 1, 1.0) == [1, 1.0]


def test_conversion_reads_as_python_does_and_replaces_the_column() -> None:
    """Spaces, exponents, underscores and full-width digits are floats; the float goes on."""
    config = {"filter_value": "1", "operation": "eq", "convert_dtype": "float"}
    found = kept(config, " 1 ", "1e0", "1_0", "１", "1.5")  # noqa: RUF001
    assert found == [1.0, 1.0, 1.0]
    assert all(type(value) is float for value in found)


def test_text_that_is_not_an_int_counts_as_the_default() -> None:
    """``"1.0"`` is no int: 0 if no default is given, else the default, converted."""
    config = {"filter_value": 0, "operation": "eq", "convert_dtype": "int"}
    assert kept(config, "1.0", "0", "1") == [0, 0]
    assert kept({**config, "filter_value": 7, "default_value": "7"}, "x", "7", "0") == [7, 7]


def test_filter_values_that_cannot_be_read_count_as_the_default() -> None:
    """The filter values are converted by the same rule as the column."""
    config = {"filter_value": ["2", "many"], "operation": "eq", "convert_dtype": "int"}
    assert kept(config, "2", "0", "1") == [2, 0]


def test_q_filter_1_unreadable_judgements_pass_lt_le_and_eq_0() -> None:
    """Kept from upstream: what cannot be read counts as 0, which such filters let pass."""
    for operation, target in (("lt", 1), ("le", 0), ("eq", 0)):
        config = {"filter_value": target, "operation": operation, "convert_dtype": "float"}
        assert kept(config, "no score") == [0.0]
    assert kept({"filter_value": 1, "operation": "ge", "convert_dtype": "float"}, "no score") == []


def test_q_filter_2_bool_of_any_text_is_true() -> None:
    """Kept from upstream: ``"False"`` is true, on both sides."""
    config = {"filter_value": "False", "operation": "eq", "convert_dtype": "bool"}
    assert kept(config, "False", "True", "", 0) == [True, True]


@pytest.mark.parametrize("dtype", ["int", "float"])
def test_q_filter_3_null_takes_the_default(dtype: str) -> None:
    """Fixed: a null, which ends upstream's run, counts as the default."""
    config = {"filter_value": 3, "operation": "eq", "convert_dtype": dtype, "default_value": "3"}
    assert kept(config, None, "1") == [3]
    assert kept({**config, "default_value": None, "filter_value": 0}, None) == [0]


def test_q_filter_4_ne_with_a_list_keeps_everything_and_warns() -> None:
    """Kept from upstream: ``ne`` with several values is always true for one of them; now it says so."""
    notices: list[tuple[str, str]] = []
    context = Context("no_bad_ones", notice=lambda code, message: notices.append((code, message)))
    config = {"filter_value": ["a", "b"], "operation": "ne"}
    block = block_of(config, context)
    assert [list(block.apply({"x": value})) for value in "ab"] == [[{"x": "a"}], [{"x": "b"}]]
    assert [code for code, _ in notices] == ["filter_ne_list"]
    assert notices[0][1].startswith("no_bad_ones: ")
    block_of({**config, "filter_value": ["a", "a"]}, context)
    assert len(notices) == 1


def test_q_filter_5_numbers_keep_their_type() -> None:
    """As upstream: an int compared as a float stays an int, a float compared as an int stays a float."""
    as_float = kept({"filter_value": 1, "operation": "ge", "convert_dtype": "float"}, 1)
    as_int = kept({"filter_value": 1, "operation": "eq", "convert_dtype": "int"}, 1.7)
    assert (as_float, type(as_float[0])) == ([1], int)
    assert (as_int, type(as_int[0])) == ([1.0], float)


def test_order_and_other_columns_stay() -> None:
    """A record that passes is the same, with a converted column in its old place."""
    block = block_of({"filter_value": 1, "operation": "ge", "convert_dtype": "int"})
    (row,) = block.apply({"a": 1, "x": "2", "b": 3})
    assert list(row.items()) == [("a", 1), ("x", 2), ("b", 3)]


@pytest.mark.parametrize(
    ("config", "columns", "reason", "words"),
    [
        ({"operation": "eq"}, {"y": 1}, "missing_column", "no column 'x'"),
        ({"operation": "lt"}, {"x": None}, "bad_type", "column 'x' (null) cannot be compared by 'lt' with 1"),
        ({"operation": "lt"}, {"x": "a"}, "bad_type", "'x' (\"a\")"),
        ({"operation": "eq", "convert_dtype": "int"}, {"x": [1]}, "bad_type", "cannot be made int"),
        ({"operation": "eq", "convert_dtype": "int"}, {"x": float("inf")}, "bad_value", "made int"),
        ({"operation": "rshift", "filter_value": -1}, {"x": 1}, "bad_value", "negative shift"),
    ],
)
def test_a_record_that_cannot_be_compared_is_rejected(
    config: dict[str, Any], columns: dict[str, Any], reason: str, words: str
) -> None:
    """What ends upstream's run ends the one record, with column and value in the message."""
    block = block_of({"filter_value": 1, **config})
    with pytest.raises(RecordError, match="x") as caught:
        block.apply(columns)
    assert caught.value.reason == reason
    assert words in caught.value.message


def test_a_wrong_config_is_refused_before_any_record() -> None:
    """Each message names what is wrong, and the nearest right word."""
    assert "unknown operation 'equ'; did you mean 'eq'?" in refused({"operation": "equ"})
    assert "unknown operation 'setitem'" in refused({"operation": "setitem"})
    assert "unknown operation 'attrgetter'" in refused({"operation": "attrgetter"})
    assert "unknown convert_dtype 'flaot'; did you mean 'float'?" in refused({"convert_dtype": "flaot"})
    assert 'default_value "x" cannot be made int' in refused({"convert_dtype": "int", "default_value": "x"})
    assert "filter_value null cannot be made int" in refused({"convert_dtype": "int", "filter_value": None})
    assert "'contains' does not work on ints" in refused({"convert_dtype": "int", "operation": "contains"})
    assert "unknown key 'filter_colum'" in refused({"filter_colum": "x"})


def test_flow() -> None:
    """It needs its column, and replaces it only when it converts."""
    config = {"filter_value": 1, "operation": "eq"}
    assert block_of(config).flow == Flow(reads=frozenset("x"))
    converting = block_of({**config, "convert_dtype": "int"})
    assert converting.flow == Flow(reads=frozenset("x"), adds=("x",))
