"""The files of a run, beyond what the differential tests compare with upstream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdg_stream.errors import ConfigError
from sdg_stream.mixing.recipe import load_recipe
from sdg_stream.mixing.row_files import read_sound_rows
from sdg_stream.mixing.training_files import TrainingFiles

BEES = {"leaf_node_type": "knowledge", "leaf_node_path": "knowledge_bees", "domain": "x"}
INSTRUCTIONS = {"spellcheck": [f"Mend it, way {number}." for number in range(9)]}


def write(file: Path, content: list[dict[str, Any]]) -> Path:
    """A JSONL file."""
    file.write_text("".join(f"{json.dumps(row)}\n" for row in content), encoding="utf-8")
    return file


def knowledge_rows() -> list[dict[str, Any]]:
    """Rows about twelve documents, each raw and corrected."""
    return [
        {**BEES, "document": f"{kind} {number % 12}", "raw_document": f"base_document {number % 12}",
         "dataset_type": kind, "question": f"q{number}", "response": f"r{number}"}
        for number in range(24) for kind in ("base_document", "spellcheck")
    ]  # fmt: skip


def make(folder: Path, *generated: Path, **options: Any) -> dict[str, bytes]:
    """All files of a run, by name."""
    files = TrainingFiles(folder, "S", system_prompt="s", instructions=INSTRUCTIONS, **options)
    for file in generated:
        files.add_leaf(file)
    files.write_legacy()
    files.write_recipes()
    files.mix()
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


def test_q_mix_4_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    """Ids, documents and instructions included; another seed chooses otherwise."""
    generated = write(tmp_path / "rows.jsonl", knowledge_rows())
    one, again, other = (
        make(tmp_path / name, generated, seed=seed) for name, seed in (("1", 5), ("2", 5), ("3", 6))
    )
    assert one == again
    assert sorted(name for name in one if one[name] != other[name]) == [
        "knowledge_train_msgs_S.jsonl",
        "node_datasets_S/knowledge_bees_p07.jsonl",
        "node_datasets_S/knowledge_bees_p10.jsonl",
        "skills_train_msgs_S.jsonl",
    ]


def test_files_can_be_made_again(tmp_path: Path) -> None:
    """After a crash everything is done once more, and ends with the same files."""
    generated = write(tmp_path / "rows.jsonl", knowledge_rows())
    once = make(tmp_path / "out", generated)
    (tmp_path / "out" / "train_S.jsonl.new").write_text("half")
    assert make(tmp_path / "out", generated, seed=42) == once


def test_phases_choose_instructions_independently(tmp_path: Path) -> None:
    """And every id of a run is another one."""
    make(tmp_path / "out", write(tmp_path / "rows.jsonl", knowledge_rows()))
    node = tmp_path / "out" / "node_datasets_S"
    both = [list(read_sound_rows(node / f"knowledge_bees_{phase}.jsonl")) for phase in ("p07", "p10")]
    tasks = [
        [row["messages"][0]["content"] for row in rows if "way" in row["messages"][0]["content"]]
        for rows in both
    ]
    assert len(tasks[0]) == len(tasks[1]) == 12
    assert tasks[0] != tasks[1]
    assert len({row["id"] for rows in both for row in rows}) == len(both[0]) + len(both[1])


def test_q_gen_6_leaf_nodes_come_by_name(tmp_path: Path) -> None:
    """In whichever order they were added."""
    generated = [
        write(tmp_path / f"{name}.jsonl", [{"leaf_node_path": name, "question": name, "response": "r"}])
        for name in ("b", "a", "c")
    ]
    one, other = make(tmp_path / "1", *generated), make(tmp_path / "2", *reversed(generated))
    assert one == other
    assert [row["user"] for row in read_sound_rows(tmp_path / "1" / "train_S.jsonl")] == ["a", "b", "c"]
    recipe = load_recipe(tmp_path / "1" / "skills_recipe_S.yaml")
    assert [one.path for one in recipe.datasets] == [f"node_datasets_S/{name}.jsonl" for name in "abc"]


def test_q_mix_7_and_8_each_small_knowledge_leaf_node_gets_its_share(tmp_path: Path) -> None:
    """3 % of the default skills recipe, whose relative paths start where it lies."""
    folder = tmp_path / "data" / "default_data_recipes"
    folder.mkdir(parents=True)
    write(folder / "many.jsonl", [{"id": "x"}] * 50)
    (folder / "skills.yaml").write_text("datasets: [{path: many.jsonl, sampling_size: 4.0}]")
    files = TrainingFiles(tmp_path / "out", "S", system_prompt="s", data_dirs=[tmp_path / "data"])
    for name, count in (("a", 1), ("b", 2), ("c", 3)):
        rows = [{**BEES, "leaf_node_path": name, "document": "d", "question": f"q{number}", "response": "r"}
                for number in range(count)]  # fmt: skip
        files.add_leaf(write(tmp_path / f"{name}.jsonl", rows))
    assert [(one.path, one.sampling_size) for one in files.recipe("skills").datasets] == [
        (str(folder / "many.jsonl"), 4.0),
        ("node_datasets_S/a_p10.jsonl", 6),
        ("node_datasets_S/b_p10.jsonl", 6),
        ("node_datasets_S/c_p10.jsonl", 1.0),
    ]


def test_rows_that_are_left_out_are_told_of(tmp_path: Path) -> None:
    """By file and reason; a leaf node of which nothing is left is in no file."""
    told: list[str] = []
    files = TrainingFiles(
        tmp_path,
        "S",
        system_prompt="s",
        instructions={"a": ["x"]},
        notice=lambda _code, words: told.append(words),
    )
    rows: list[dict[str, Any]] = [
        {**BEES, "document": "d", "dataset_type": "a", "question": "q", "response": "r"},
        {**BEES, "document": "e", "dataset_type": "b", "question": "q", "response": "r"},
        {**BEES, "document": None, "question": "q", "response": "r"},
    ]
    knowledge = files.add_leaf(write(tmp_path / "1.jsonl", rows))
    empty = files.add_leaf(write(tmp_path / "2.jsonl", [{"leaf_node_path": "poem", "output": None}]))
    nothing = files.add_leaf(write(tmp_path / "3.jsonl", []))
    assert (knowledge.rows, knowledge.left_out) == (2, {"no document": 1})
    assert (empty.rows, empty.left_out, empty.datasets) == (0, {"no output": 1}, {})
    assert (nothing.leaf, nothing.datasets) == ("unknown", {})
    assert [line.partition(".jsonl: ")[2] for line in told] == [
        "1 rows are left out: no document",
        "1 auxiliary rows are left out: no raw_document",
        "1 auxiliary rows are left out: no auxiliary instruction for dataset_type 'b'",
        "1 rows are left out: no output",
        "no row can be used: poem is in no training file",
        "no row can be used: unknown is in no training file",
    ]
    assert sorted(file.name for file in (tmp_path / "node_datasets_S").iterdir()) == [
        "knowledge_bees_p07.jsonl",
        "knowledge_bees_p10.jsonl",
    ]


def test_one_document_is_told_of(tmp_path: Path) -> None:
    """There is nothing to tell it from."""
    told: list[str] = []
    files = TrainingFiles(tmp_path, "S", system_prompt="s", notice=lambda code, _words: told.append(code))
    files.add_leaf(write(tmp_path / "1.jsonl", [{**BEES, "document": "d", "question": "q", "response": "r"}]))
    assert told == ["one_document"]


@pytest.mark.parametrize("name", ["../up", "a/b", "..", ".hidden", "", "a\\b", 3, None, "a\nb"])
def test_a_leaf_name_cannot_lead_out_of_the_folder(tmp_path: Path, name: Any) -> None:
    """Rows are data: what they say must not choose where files are written."""
    files = TrainingFiles(tmp_path / "out", "S", system_prompt="s")
    file = write(tmp_path / "1.jsonl", [{"leaf_node_path": name, "question": "q", "response": "r"}])
    with pytest.raises(ConfigError, match="leaf_node_path"):
        files.add_leaf(file)
    assert sorted(tmp_path.iterdir()) == [file]


def test_two_files_of_one_leaf_node_are_refused(tmp_path: Path) -> None:
    """One would replace the other; the same file may be added again."""
    row = {"leaf_node_path": "a", "question": "q", "response": "r"}
    one, two = write(tmp_path / "1.jsonl", [row]), write(tmp_path / "2.jsonl", [row])
    files = TrainingFiles(tmp_path, "S", system_prompt="s")
    files.add_leaf(one)
    files.add_leaf(one)
    with pytest.raises(ConfigError, match="are of one leaf node, 'a'"):
        files.add_leaf(two)
    assert [leaf.leaf for leaf in files.leaves] == ["a"]


def test_a_suffix_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    """Nor be empty."""
    for suffix in ("../x", "a/b", ""):
        with pytest.raises(ConfigError, match="date suffix"):
            TrainingFiles(tmp_path, suffix, system_prompt="s")


def test_an_unsound_line_is_named(tmp_path: Path) -> None:
    """With its number."""
    file = tmp_path / "1.jsonl"
    file.write_text('{"leaf_node_path": "a", "question": "q", "response": "r"}\n{"leaf')
    with pytest.raises(ConfigError, match=r"1\.jsonl:2: "):
        TrainingFiles(tmp_path, "S", system_prompt="s").add_leaf(file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1.jsonl"]
