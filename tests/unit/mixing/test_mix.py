"""Mixing: sampling, rows, files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sdg_stream.errors import ConfigError, OutputError, RecordError, RunStateError
from sdg_stream.mixing.indexed_rows import indexed_rows
from sdg_stream.mixing.mix import MAX_PROBLEMS, mix
from sdg_stream.mixing.mixed_row import mixed_row
from sdg_stream.mixing.recipe import Dataset, Recipe
from sdg_stream.mixing.row_files import read_sound_rows
from sdg_stream.mixing.sampling import Sample

PAIR = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]


def rows(count: int) -> list[dict[str, Any]]:
    """Sound rows of a dataset, with their number as id."""
    return [
        {"id": str(number), "messages": PAIR, "metadata": "{}", "unmask": False} for number in range(count)
    ]


def write(file: Path, content: list[dict[str, Any]]) -> Path:
    """A JSONL file."""
    file.write_text("".join(f"{json.dumps(row)}\n" for row in content), encoding="utf-8")
    return file


def drawn(file: Path, size: int | float, *, replacement: bool = True, seed: int = 42) -> list[int]:
    """Ids of the rows that are drawn."""
    sample = Sample(file, size, replacement=replacement, seed=seed, scratch=file.parent)
    found = []
    for _, row in sample:
        assert not isinstance(row, RecordError)
        found.append(int(row["id"]))
    return found


# ---------------------------------------------------------------- sampling


def test_q_mix_1_a_whole_number_is_so_many_rows(tmp_path: Path) -> None:
    """1 is one row, 1.0 is all of them."""
    file = write(tmp_path / "a.jsonl", rows(10))
    assert drawn(file, 1) == [6]
    assert drawn(file, 1.0) == list(range(10))


def test_q_mix_2_shares_are_drawn_with_replacement_unless_told(tmp_path: Path) -> None:
    """As upstream draws: some twice, others not at all. Without replacement no row comes twice."""
    file = write(tmp_path / "a.jsonl", rows(10))
    assert drawn(file, 0.8) == [6, 3, 7, 4, 6, 9, 2, 6]
    chosen = drawn(file, 0.8, replacement=False)
    assert len(set(chosen)) == 8
    assert chosen == sorted(chosen)


@pytest.mark.parametrize(("size", "most"), [(7, 1), (10, 1), (23, 3), (2.5, 3), (20, 2)])
def test_without_replacement_rows_come_equally_often(tmp_path: Path, size: int | float, most: int) -> None:
    """More rows than there are: whole rounds, then a choice."""
    file = write(tmp_path / "a.jsonl", rows(10))
    counts = Counter(drawn(file, size, replacement=False))
    assert sum(counts.values()) == (size if isinstance(size, int) else 25)
    assert max(counts.values()) == most
    assert min(counts[number] for number in range(10)) >= most - 1


def test_without_replacement_every_row_has_the_same_chance(tmp_path: Path) -> None:
    """Over many seeds."""
    file = write(tmp_path / "a.jsonl", rows(5))
    counts = Counter(number for seed in range(400) for number in drawn(file, 2, replacement=False, seed=seed))
    assert all(120 < counts[number] < 200 for number in range(5))


@pytest.mark.parametrize("size", [0, 0.0, 0.05])
@pytest.mark.parametrize("replacement", [True, False])
def test_q_mix_3_no_rows(tmp_path: Path, size: float, replacement: bool) -> None:
    """A size of nothing, or of less than a row, takes none; an empty dataset has none."""
    assert drawn(write(tmp_path / "a.jsonl", rows(10)), size, replacement=replacement) == []
    assert drawn(write(tmp_path / "b.jsonl", []), 30, replacement=replacement) == []


def test_lines_of_every_kind_are_found_by_number(tmp_path: Path) -> None:
    """A byte order mark, blank lines, CR LF, and a last line without an end; packed, too."""
    texts = [json.dumps(row).encode() for row in rows(5)]
    data = b"\xef\xbb\xbf" + texts[0] + b"\n\n  \n" + texts[1] + b"\r\n" + b"\n".join(texts[2:])
    (tmp_path / "a.jsonl").write_bytes(data)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
    for name in ("a.jsonl", "a.jsonl.gz"):
        with indexed_rows(tmp_path / name, tmp_path) as found:
            assert found.count == 5
            read = list(found.read([4, 0, 3, 1, 2, 0]))
        assert [line for line, _ in read] == [7, 1, 6, 4, 5, 1]
        assert [row["id"] for _, row in read if isinstance(row, dict)] == ["4", "0", "3", "1", "2", "0"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.gz"]


def test_many_rows_are_found_by_number(tmp_path: Path) -> None:
    """More than the index holds at a time."""
    file = tmp_path / "a.jsonl"
    file.write_text("".join(f'{{"id": "{number}"}}\n' for number in range(20_000)))
    assert drawn(file, 2000) == drawn(file, 2500)[:2000]
    assert drawn(file, 20_000, replacement=False) == list(range(20_000))


def test_a_dataset_that_changes_meanwhile(tmp_path: Path) -> None:
    """Nobody knows which rows were drawn of which."""
    file = write(tmp_path / "a.jsonl", rows(10))
    changed = pytest.raises(RunStateError, match="was changed while it was read")
    with changed, indexed_rows(file, None), file.open("a") as opened:
        opened.write("{}\n")


def test_an_index_that_cannot_be_written(tmp_path: Path) -> None:
    """Is an error in words, about the output's folder."""
    file = write(tmp_path / "a.jsonl", rows(10))
    with (
        pytest.raises(OutputError, match=r"the index of .* cannot be written"),
        indexed_rows(file, tmp_path / "x"),
    ):
        pass


def test_a_line_that_is_too_long(tmp_path: Path) -> None:
    """Is named; memory stays bounded."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{}\n{"text": "' + b"x" * 17_000_000 + b'"}\n')
    with pytest.raises(ConfigError, match=r"a\.jsonl:2: this line is too long"), indexed_rows(file, None):
        pass


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, "'messages' is missing"),
        ({"messages": "x"}, "'messages' is no list"),
        ({"messages": [3]}, "a message is not a mapping"),
        ({"messages": [{"content": "x"}]}, "a message is not a mapping with a role"),
        ({"messages": PAIR, "metadata": "x"}, "'metadata' is text, but not JSON"),
        ({"messages": PAIR, "metadata": "[1]", "more": 1}, "'metadata' is no mapping, and 'more'"),
    ],
)
def test_rows_that_cannot_be_mixed(row: dict[str, Any], words: str) -> None:
    """Say why."""
    with pytest.raises(RecordError, match=words):
        mixed_row(row, "s")


def test_q_mix_6_null_metadata_are_empty() -> None:
    """With columns to move there, and without."""
    plain = mixed_row({"messages": PAIR, "metadata": None}, "s")
    moved = mixed_row({"messages": PAIR, "metadata": None, "x": 1}, "s")
    assert plain is not None
    assert moved is not None
    assert (plain["metadata"], moved["metadata"]) == ("{}", '{"x": 1}')


@pytest.mark.parametrize(("given", "used"), [(None, "recipe's"), ("other", "other"), ("", "")])
def test_q_mix_5_the_recipes_prompt_counts_where_no_other_is_given(
    tmp_path: Path, given: str | None, used: str
) -> None:
    """An empty prompt is one that is given."""
    write(tmp_path / "a.jsonl", rows(1))
    datasets = (Dataset("a.jsonl", 1.0),)
    recipe = Recipe(file=tmp_path / "r.yaml", datasets=datasets, system_prompt="recipe's")
    mix(recipe, tmp_path / "out.jsonl", system_prompt=given)
    [row] = read_sound_rows(tmp_path / "out.jsonl")
    assert row["messages"][0] == {"role": "system", "content": used}


def test_without_any_prompt_messages_stay(tmp_path: Path) -> None:
    """And it is told."""
    write(tmp_path / "a.jsonl", rows(1))
    told: list[str] = []
    recipe = Recipe(file=tmp_path / "r.yaml", datasets=(Dataset("a.jsonl", 1.0),))
    mix(recipe, tmp_path / "out.jsonl", notice=lambda code, _words: told.append(code))
    assert [row["messages"] for row in read_sound_rows(tmp_path / "out.jsonl")] == [PAIR]
    assert told == ["no_system_prompt"]


def test_q_io_1_text_of_every_kind_comes_through(tmp_path: Path) -> None:
    """Line separators, quotes, other alphabets, and numbers as they were written."""
    text = "a\u2028b\u0085c\u2029 \"'\\/ 日本 \x7f"
    row = {
        "id": 12345678901234567890,
        "messages": [{"role": "user", "content": text}],
        "big": 2**63,
        "f": 0.1,
    }
    write(tmp_path / "a.jsonl", [row])
    recipe = Recipe(file=tmp_path / "r.yaml", datasets=(Dataset("a.jsonl", 3),), system_prompt=text)
    mix(recipe, tmp_path / "out.jsonl")
    [mixed, *_] = list(read_sound_rows(tmp_path / "out.jsonl"))
    assert [message["content"] for message in mixed["messages"]] == [text, text]
    assert mixed["id"] == 12345678901234567890
    assert json.loads(mixed["metadata"]) == {"big": 2**63, "f": 0.1}


# ---------------------------------------------------------------- files


def test_the_report(tmp_path: Path) -> None:
    """What was in each dataset, what was drawn, what had no content; and what is odd is told."""
    empty = {"id": "x", "messages": [{"role": "user", "content": ""}]}
    write(tmp_path / "a.jsonl", [*rows(3), empty])
    write(tmp_path / "b.jsonl", [])
    sizes = (Dataset("a.jsonl", 1.0), Dataset("a.jsonl", 0.1), Dataset("b.jsonl", 30))
    told: list[str] = []
    report = mix(
        Recipe(file=tmp_path / "r.yaml", datasets=sizes, system_prompt="s"),
        tmp_path / "out.jsonl",
        notice=lambda code, _words: told.append(code),
    )
    assert report.rows == 3
    assert [(one.rows, one.drawn, one.empty) for one in report.datasets] == [(4, 4, 1), (4, 0, 0), (0, 0, 0)]
    assert told == ["empty_message", "empty_sample", "empty_dataset"]


def test_without_datasets_nothing_is_written(tmp_path: Path) -> None:
    """Not even an empty file."""
    assert mix(Recipe(file=tmp_path / "r.yaml"), tmp_path / "out.jsonl").rows == 0
    assert list(tmp_path.iterdir()) == []


def test_all_missing_datasets_are_named_before_anything_is_written(tmp_path: Path) -> None:
    """Folders, and the output as its own dataset, are mistakes as well."""
    (tmp_path / "folder").mkdir()
    out = write(tmp_path / "out.jsonl", rows(1))
    names = ("no1.jsonl", "folder", "out.jsonl")
    datasets = tuple(Dataset(name, 1.0, line) for line, name in enumerate(names, 2))
    with pytest.raises(ConfigError) as caught:
        mix(Recipe(file=tmp_path / "r.yaml", datasets=datasets), out)
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4]
    assert [row["id"] for row in read_sound_rows(out)] == ["0"]


@pytest.mark.parametrize("size", [1.0, 4])
def test_unsound_rows_are_listed_and_nothing_is_written(tmp_path: Path, size: int | float) -> None:
    """With their lines, in whichever way the rows are read."""
    (tmp_path / "a.jsonl").write_text('\n{"id": 1}\n{"id": 2\n')
    (tmp_path / "out.jsonl").write_text("old\n")
    recipe = Recipe(file=tmp_path / "r.yaml", datasets=(Dataset("a.jsonl", size),), system_prompt="s")
    with pytest.raises(ConfigError) as caught:
        mix(recipe, tmp_path / "out.jsonl")
    assert {problem.line for problem in caught.value.problems} == {2, 3}
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_not_all_of_a_million_mistakes_are_listed(tmp_path: Path) -> None:
    """It stops at the twentieth."""
    write(tmp_path / "a.jsonl", [{"id": "x"}] * 50)
    recipe = Recipe(file=tmp_path / "r.yaml", datasets=(Dataset("a.jsonl", 1.0),), system_prompt="s")
    with pytest.raises(ConfigError) as caught:
        mix(recipe, tmp_path / "out.jsonl")
    assert len(caught.value.problems) == MAX_PROBLEMS


def test_the_seed_decides(tmp_path: Path) -> None:
    """The same seed gives the same file, another seed another one."""
    write(tmp_path / "a.jsonl", rows(100))
    recipe = Recipe(file=tmp_path / "r.yaml", datasets=(Dataset("a.jsonl", 50),), system_prompt="s")
    for replacement in (True, False):
        files = []
        for number, seed in enumerate((7, 7, 8)):
            mix(recipe, tmp_path / f"{number}.jsonl", seed=seed, replacement=replacement)
            files.append((tmp_path / f"{number}.jsonl").read_bytes())
        assert files[0] == files[1] != files[2]
