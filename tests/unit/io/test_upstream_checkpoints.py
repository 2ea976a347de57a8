"""Folders of rows that upstream has finished: which input rows they belong to, and what nobody can know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.errors import ConfigError
from sdg_stream.io.upstream_checkpoints import UpstreamCheckpoints

Rows = list[dict[str, Any]]
Load = Callable[..., UpstreamCheckpoints]


def write(folder: Path, rows: Rows, number: int = 0, end: str = "\n") -> Path:
    """A file as upstream writes it: pandas escapes slashes and whatever is not ASCII."""
    file = folder / f"data_checkpoint_{number:032x}.jsonl"
    file.write_text("\n".join(json.dumps(row).replace("/", "\\/") for row in rows) + end)
    return file


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Loads the folder, and closes what was loaded."""
    loaded = []

    def load(columns: Iterable[str] = ("a", "b"), **more: Any) -> UpstreamCheckpoints:
        loaded.append(UpstreamCheckpoints.load(tmp_path, columns, **more))
        return loaded[-1]

    yield load
    for checkpoints in loaded:
        checkpoints.close()


def test_rows_are_found_by_their_input_row(tmp_path: Path, load: Load) -> None:
    """An input row gets its rows from all files, in the order of the files; one without any is to be run."""
    write(
        tmp_path, [{"a": "x", "b": 1, "q": "1"}, {"a": "y", "b": 1, "q": "2"}, {"a": "x", "b": 1, "q": "3"}]
    )
    write(tmp_path, [{"a": "x", "b": 1, "q": "4"}, {"a": "é/\u2028", "b": None, "q": "5"}], 1)
    checkpoints = load()
    assert checkpoints.unused() == 5
    assert checkpoints.rows_of({"a": "x", "b": 1}) == [{"a": "x", "b": 1, "q": q} for q in "134"]
    assert checkpoints.rows_of({"a": "é/\u2028", "b": None}) == [{"a": "é/\u2028", "b": None, "q": "5"}]
    assert checkpoints.rows_of({"a": "z", "b": 1}) is None
    assert checkpoints.unused() == 1
    assert not checkpoints.warnings


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1, 1.0),
        (2.0, 2),
        (0.123456789012345, 0.123456789),
        (1e300, 1e300),
        (2**53 + 1, 2**53 + 1),
        (["z", None], ["z", None]),
        ({"k": 1}, {"k": 1.0, "j": None}),
        ([{"k": 1}], [{"k": 1, "j": None}]),
        (None, None),
        (True, True),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_values_are_equal_by_content(tmp_path: Path, load: Load, given: Any, kept: Any) -> None:
    """Whole numbers that became floats, cut floats, and nulls that were added do not hide a row."""
    write(tmp_path, [{"a": kept, "b": "k", "q": "1"}])
    assert load().rows_of({"a": given, "b": "k"}) == [{"a": kept, "b": "k", "q": "1"}]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(1, 2), ("1", 1), (True, 1), (None, "x"), (["a", "b"], ["b", "a"]), ({"k": 1}, {"j": 1})],
)
def test_other_values_are_others(tmp_path: Path, load: Load, given: Any, kept: Any) -> None:
    """What differs in content is not taken for the same."""
    write(tmp_path, [{"a": kept, "b": "k"}])
    assert load().rows_of({"a": given, "b": "k"}) is None


def test_a_missing_column_is_a_null(tmp_path: Path, load: Load) -> None:
    """An input row without a column of the first one, and a row without one of its file, have null there."""
    write(tmp_path, [{"a": "x", "b": None, "q": "1"}, {"a": "y", "q": "2"}])
    checkpoints = load()
    assert checkpoints.rows_of({"a": "x"}) == [{"a": "x", "b": None, "q": "1"}]
    assert checkpoints.rows_of({"a": "y", "b": None, "c": 1}) == [{"a": "y", "q": "2"}]


def test_columns_beyond_those_of_the_first_input_row_count(tmp_path: Path, load: Load) -> None:
    """An input row with more of the checkpoint's columns than the first is compared in those, too."""
    write(tmp_path, [{"a": "x", "b": "k", "q": "1"}])
    checkpoints = load(["a"])
    assert checkpoints.rows_of({"a": "x", "b": "l"}) is None
    assert checkpoints.rows_of({"a": "x", "b": "k"}) == [{"a": "x", "b": "k", "q": "1"}]


def test_a_cut_off_row_is_left_out(tmp_path: Path, load: Load) -> None:
    """Each file may end in the midst of a row; that is told. A whole row without a line feed is a row."""
    torn = write(tmp_path, [{"a": "x", "b": 1}], end='\n\n{"a": "y", "b')
    write(tmp_path, [{"a": "z", "b": 1}], 1, end="")
    checkpoints = load()
    assert checkpoints.rows_of({"a": "y", "b": 1}) is None
    assert checkpoints.rows_of({"a": "x", "b": 1})
    assert checkpoints.rows_of({"a": "z", "b": 1})
    assert checkpoints.warnings == [
        f"{torn}:3: the last row is cut off and left out; input rows that end this file may lack rows"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1}\n{"a": \n{"a": 2}\n', r"jsonl:2: not JSON: .*column"),
        ('{"a": 1}\n{"a": \n', r"jsonl:2: not JSON: .*column"),
        ('{"a": 1}\n[1]', r"jsonl:2: not a JSON object"),
        ('{"a": "\x01"}\n', r"jsonl:1: not JSON"),
        ("", "its checkpoint files hold no row"),
        ('{"q": 1}\n', r"its rows \(q\) have no column of the input \(a, b\), so nobody can tell"),
    ],
)
def test_damage_is_told_with_its_place(tmp_path: Path, load: Load, text: str, words: str) -> None:
    """What is no checkpoint, or belongs to another input, is refused with the file and the line."""
    (tmp_path / "data_checkpoint_1.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load()


def test_folders_without_checkpoints_are_told(tmp_path: Path, load: Load) -> None:
    """No folder, no file in it, or files one level down, where upstream puts those of a leaf."""
    with pytest.raises(ConfigError, match=r"there is no data_checkpoint_\*\.jsonl file in this folder$"):
        load()
    (tmp_path / "leaf").mkdir()
    write(tmp_path / "leaf", [{"a": 1}])
    with pytest.raises(ConfigError, match=r"these folders in it have some: leaf$"):
        load()
    with pytest.raises(ConfigError, match="no such folder"):
        UpstreamCheckpoints.load(tmp_path / "gone", ["a"])
    (tmp_path / "data_checkpoint_x.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"x\.jsonl: cannot be read: Is a directory"):
        load()


def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path, load: Load) -> None:
    """Rows are read when they are asked for; a file that was cut or removed since is an error, not a loss."""
    file = write(tmp_path, [{"a": "x", "b": 1}, {"a": "y", "b": 1}])
    checkpoints = load()
    file.write_text("")
    with pytest.raises(ConfigError, match="has changed while it was being taken over"):
        checkpoints.rows_of({"a": "x", "b": 1})
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        checkpoints.rows_of({"a": "y", "b": 1})


def test_q_ckpt_1_rows_are_given_whatever_the_batching(tmp_path: Path, load: Load) -> None:
    """Upstream drops loaded rows when it runs unbatched; here every row that has an input row is given."""
    rows = [{"a": n, "b": 0, "q": str(n)} for n in range(20)]
    write(tmp_path, rows)
    checkpoints = load()
    assert [checkpoints.rows_of({"a": n, "b": 0}) for n in range(20)] == [[row] for row in rows]
    assert checkpoints.unused() == 0


def test_q_ckpt_2_input_rows_without_rows_are_run_again(tmp_path: Path, load: Load) -> None:
    """An input row whose rows were all filtered away left no trace; it is run again, and that is told."""
    write(tmp_path, [{"a": "x", "b": 1}])
    checkpoints = load()
    assert checkpoints.rows_of({"a": "filtered", "b": 1}) is None
    assert "Input rows that gave no row left no trace in the checkpoint: they are run again." in (
        checkpoints.weaknesses
    )


def test_q_ckpt_3_overwritten_columns_hide_rows(tmp_path: Path, load: Load) -> None:
    """A row with another value in an input column belongs to none: it stays where it is, and that is told."""
    write(tmp_path, [{"a": "x", "b": "corrected", "q": "1"}])
    checkpoints = load(written=["b", "q"])
    assert checkpoints.rows_of({"a": "x", "b": "as it was"}) is None
    assert checkpoints.unused() == 1
    assert checkpoints.weaknesses[1] == (
        "The pipeline writes to b of the input: rows with a value of its own there belong to no input row "
        "and stay in the checkpoint, and an input row without any other row is run again."
    )
    assert load().weaknesses[1].startswith("If the pipeline writes to a, b of the input, then rows with")
    assert not [told for told in load(written=["q"]).weaknesses if "writes" in told]


def test_q_ckpt_3_columns_that_were_removed_are_not_compared(tmp_path: Path, load: Load) -> None:
    """If the pipeline renamed or dropped an input column, only the rest is compared, and that is told."""
    write(tmp_path, [{"a": "x", "q": "1"}])
    checkpoints = load()
    assert checkpoints.rows_of({"a": "x", "b": "anything"}) == [{"a": "x", "q": "1"}]
    assert (
        "The checkpoint does not have b of the input: input rows that differ only there count as one."
        in checkpoints.weaknesses
    )


def test_q_ckpt_4_one_row_marks_an_input_row(tmp_path: Path, load: Load) -> None:
    """One row is enough to count as done; of equal input rows the first gets the rows, the others none."""
    write(tmp_path, [{"a": "x", "b": 1, "q": "1"}])
    checkpoints = load()
    assert checkpoints.rows_of({"a": "x", "b": 1}) == [{"a": "x", "b": 1, "q": "1"}]
    assert checkpoints.repeated == 0
    assert checkpoints.rows_of({"a": "x", "b": 1}) == []
    assert checkpoints.rows_of({"b": 1, "a": "x"}) == []
    assert checkpoints.repeated == 2
    assert (
        "One row marks its input row as done, even if others of it are missing, and input rows that are "
        "equal in a, b count as one."
    ) in checkpoints.weaknesses


def test_q_ckpt_5_nobody_knows_what_made_it(tmp_path: Path, load: Load) -> None:
    """A checkpoint does not know its pipeline or model; that is told."""
    write(tmp_path, [{"a": "x"}])
    assert load().weaknesses[-1] == (
        "Which pipeline, prompts and model made the checkpoint is not recorded: it is taken as made by these."
    )


def text(row: dict[str, Any]) -> str:
    """A row as JSON, which tells true from 1."""
    return json.dumps(row, sort_keys=True)


VALUES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["x", "y", ["x"], {"k": 1}])
SEEDS = st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES}), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.data())
def test_every_row_is_given_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, seeds: Rows, data: st.DataObject
) -> None:
    """Whatever the seeds and however many of them are done: each row goes to one seed, the others are run."""
    done = data.draw(st.lists(st.sampled_from(seeds), min_size=1, max_size=8))
    rows = [seed | {"q": str(number)} for number, seed in enumerate(done)]
    folder = tmp_path_factory.mktemp("checkpoints")
    write(folder, rows[::2])
    write(folder, rows[1::2], 1)
    checkpoints = UpstreamCheckpoints.load(folder, ["a", "b"])
    found = [checkpoints.rows_of(seed) for seed in seeds]
    checkpoints.close()
    given_rows = [row for rows in found for row in rows or ()]
    assert sorted(map(text, given_rows)) == sorted(map(text, rows))
    done_texts = set(map(text, done))
    assert [rows is None for rows in found] == [text(seed) not in done_texts for seed in seeds]
