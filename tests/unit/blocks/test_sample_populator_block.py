"""SamplePopulatorBlock: which file is read, what chooses it, what a record gets of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from sdg_stream.abc import Context, Flow, RowBlock
from sdg_stream.blocks.sample_populator_block import SamplePopulatorBlock
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.testing.run_blocks import make_block


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some files."""
    for name, text in {
        "one.yaml": "a: 1\nb: text\n",
        "two.yaml": "b: other\nc: [1, 2]\n",
        "one_long.yaml": "a: 1\nlong: true\n",
        "one.v2.yaml": "a: v2\n",
        "list.yaml": "- a\n",
        "number.yaml": "1: a\n",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def block_of(folder: Path, *paths: str, **config: Any) -> RowBlock[Any]:
    """A block whose column is ``x``."""
    config = {"config_paths": list(paths), "column_name": "x", **config}
    block = make_block(SamplePopulatorBlock, config, Context("block", base_dir=folder))
    return cast("RowBlock[Any]", block)


def test_a_record_gets_the_mapping_that_its_column_names(folder: Path) -> None:
    """Values of the mapping win; overwritten columns keep their place, new ones come last."""
    block = block_of(folder, "one.yaml", "two.yaml")
    (row,) = block.apply({"b": "mine", "x": "one"})
    assert list(row.items()) == [("b", "text"), ("x", "one"), ("a", 1)]
    assert list(block.apply({"x": "two"})) == [{"x": "two", "b": "other", "c": [1, 2]}]


def test_paths_may_be_absolute(folder: Path) -> None:
    """A relative path starts at the pipeline's folder, an absolute one does not; both must stay inside."""
    block = block_of(folder, str(folder / "one.yaml"))
    assert list(block.apply({"x": "one"})) == [{"x": "one", "a": 1, "b": "text"}]
    with pytest.raises(ConfigError, match="outside of the pipeline's folder"):
        block_of(Path("/nowhere"), str(folder / "one.yaml"))


def test_post_fix_changes_the_file_not_the_choice(folder: Path) -> None:
    """``one.yaml`` with ``long`` is read from ``one_long.yaml`` and chosen by ``one``."""
    block = block_of(folder, "one.yaml", post_fix="long")
    assert list(block.apply({"x": "one"})) == [{"x": "one", "a": 1, "long": True}]


def test_q_pop_1_the_choice_ends_at_the_first_dot(folder: Path) -> None:
    """Kept: ``one.v2.yaml`` is chosen by ``one``."""
    assert list(block_of(folder, "one.v2.yaml").apply({"x": "one"})) == [{"x": "one", "a": "v2"}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [({"x": "three"}, "unknown_choice"), ({"x": ["one"]}, "unknown_choice"), ({"y": 1}, "missing_column")],
)
def test_a_record_that_names_no_file_is_rejected(folder: Path, row: dict[str, Any], reason: str) -> None:
    """Known choices are in the message; the record stays as it was."""
    before = dict(row)
    with pytest.raises(RecordError) as caught:
        block_of(folder, "one.yaml", "two.yaml").apply(row)
    assert caught.value.reason == reason
    assert row == before
    if reason == "unknown_choice":
        assert caught.value.message.endswith('known choices: "one", "two"')


def test_all_bad_files_are_listed_at_once(folder: Path) -> None:
    """Missing, not a mapping, keys that are not text: each with its file, before any record."""
    with pytest.raises(ConfigError) as caught:
        block_of(folder, "none.yaml", "list.yaml", "number.yaml", "one.yaml")
    messages = [str(problem) for problem in caught.value.problems]
    assert len(messages) == 3
    assert "none.yaml: cannot be read" in messages[0]
    assert 'list.yaml:1: $: expected a mapping, got ["a"]' in messages[1]
    assert "number.yaml:1: $.1: the column name 1 is not text" in messages[2]
    with pytest.raises(ConfigError, match="config_paths names no file"):
        block_of(folder)


def test_flow(folder: Path) -> None:
    """It adds for certain only what all files have."""
    flow = block_of(folder, "one.yaml", "two.yaml").flow
    assert flow == Flow(reads=frozenset("x"), adds=("b",), one_to_one=True)
