"""From qna.yaml files to leaf nodes, and everything that is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from taxonomies import KNOWLEDGE, SKILL, as_yaml, grounded, knowledge, skill, write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy.leaf import KnowledgeLeaf, SkillLeaf
from sdg_stream.taxonomy.reading import read_taxonomy

BOMB = "a: &a [1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


def problems(taxonomy: Path, **options: Path) -> list[str]:
    """The complaints about a taxonomy, without the folder."""
    with pytest.raises(ConfigError) as caught:
        read_taxonomy(taxonomy, **options)  # type: ignore[arg-type]
    return [str(problem).removeprefix(f"{taxonomy}/") for problem in caught.value.problems]


def test_leaf_nodes(tmp_path: Path) -> None:
    """What is in the files is in the leaf nodes, in the order of the files."""
    write_files(
        tmp_path, {SKILL: skill(), "compositional_skills/g/qna.yaml": grounded(), KNOWLEDGE: knowledge()}
    )
    first, second, third = read_taxonomy(tmp_path).leaf_nodes
    assert isinstance(first, SkillLeaf)
    assert isinstance(second, SkillLeaf)
    assert isinstance(third, KnowledgeLeaf)
    assert [leaf.kind for leaf in (first, second, third)] == ["grounded_skill", "freeform_skill", "knowledge"]
    assert first.seeds[0].context == "On a."
    assert second.name == "compositional_skills_writing_haiku"
    assert second.task_description == "Write a haiku."
    assert third.path == ("knowledge", "science", "tides")
    assert third.source.patterns == ("*.md",)
    assert [len(seed.questions_and_answers) for seed in third.seeds] == [3] * 5
    assert (tmp_path / KNOWLEDGE).read_text().splitlines()[third.line - 1] == "document:"


def test_q_tax_3_complaints_have_the_line_of_what_is_wrong(tmp_path: Path) -> None:
    """Lines come from the YAML loader, for schema and layout, in all files at once."""
    text = as_yaml(skill(created_by=None)).replace("rain!", "7").replace("Write a haiku.", "Write a haiku.  ")
    write_files(tmp_path, {SKILL: text, KNOWLEDGE: knowledge(document_outline="")})
    lines = text.splitlines()
    assert problems(tmp_path) == [
        f"{SKILL}:2: trailing spaces (trailing-spaces), column 33",
        f"{SKILL}:1: $: 'created_by' is a required property",
        f"{SKILL}:{lines.index('  answer: 7') + 1}: $.seed_examples[0].answer: 7 is not of type 'string'",
        f"{KNOWLEDGE}:4: $.document_outline: '' should be non-empty",
    ]


def test_q_tax_4_broken_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    """The file, the line and the cause, and the other files are read too."""
    write_files(tmp_path, {SKILL: "version: 3\n\tx: [\n", KNOWLEDGE: knowledge(domain=None)})
    broken, missing = problems(tmp_path)
    assert broken.startswith(f"{SKILL}:2: not valid YAML: ")
    assert "'domain' is a required property" in missing


def test_q_tax_2_layout_is_looked_at_without_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The linter is called as a library: nothing on the PATH is needed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    write_files(tmp_path, {SKILL: as_yaml(skill()) + "\n\n\n"})
    assert problems(tmp_path) == [f"{SKILL}:17: too many blank lines (3 > 0) (empty-lines), column 1"]


def test_q_tax_5_leaf_nodes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """a/b_c and a_b/c get names of their own, and it is said which has which."""
    paths = ["compositional_skills/a/b_c", "compositional_skills/a_b/c", "compositional_skills/A/b/c"]
    write_files(tmp_path, {f"{path}/qna.yaml": skill() for path in paths})
    taxonomy = read_taxonomy(tmp_path)
    assert [leaf.name for leaf in taxonomy.leaf_nodes] == [
        "compositional_skills_A_b_c", "compositional_skills_a_b_c-2", "compositional_skills_a_b_c-3",
    ]  # fmt: skip
    assert "is named compositional_skills_a_b_c-3" in taxonomy.warnings[1].message


def test_rules_of_the_user(tmp_path: Path) -> None:
    """Another yamllint configuration is used instead; one that is missing or wrong is a mistake."""
    write_files(
        tmp_path, {SKILL: as_yaml(skill()) + "\n\n", "off.yaml": "rules: {}\n", "bad.yaml": "rules: {x: 1}\n"}
    )
    assert len(read_taxonomy(tmp_path, yaml_rules=tmp_path / "off.yaml").leaf_nodes) == 1
    assert "is no yamllint configuration" in problems(tmp_path, yaml_rules=tmp_path / "bad.yaml")[0]
    assert "cannot be read" in problems(tmp_path, yaml_rules=tmp_path / "none.yaml")[0]


def test_one_file(tmp_path: Path) -> None:
    """A file in a taxonomy has the name that it has there; another one that of its folder."""
    write_files(
        tmp_path,
        {SKILL: skill(), "alone/qna.yaml": skill(), ".hidden/qna.yaml": knowledge(), "x/qna.yml": ""},
    )
    names = [
        [leaf.name for leaf in read_taxonomy(tmp_path / file).leaf_nodes]
        for file in (SKILL, "alone/qna.yaml", ".hidden/qna.yaml")
    ]
    assert names == [["compositional_skills_writing_haiku"], ["alone"], ["hidden"]]
    with pytest.raises(ConfigError, match=r"leaf nodes are in files named qna\.yaml"):
        read_taxonomy(tmp_path / "x/qna.yml")
    with pytest.raises(ConfigError, match="there is no taxonomy"):
        read_taxonomy(tmp_path / "nowhere/qna.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x: " + "[" * 100, "nested deeper than"),
        (BOMB, "too many values"),
        ("created_by: a\ncreated_by: b\n", "stands here twice"),
        ("x: !!python/object/apply:os.system [true]\n", "not valid YAML"),
        ("x: \x00\n", "not valid YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("? [1, 2]\n: x\n", "not valid YAML"),
        ("1: x\n", "required property"),
        ("version: .inf\n", "required property"),
        ("version: 99999999999999999999999999\n", "no schema of version"),
        ("version: -1\n", "no schema of version"),
        ("seed_examples: &a [*a]\n", "too many values"),
    ],
)  # fmt: skip
def test_hostile_files_are_complaints(tmp_path: Path, text: str | bytes, words: str) -> None:
    """The package's limits on YAML hold, and nothing in a file is more than data."""
    write_files(tmp_path, {SKILL: text})
    assert any(words in problem for problem in problems(tmp_path)), problems(tmp_path)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would be waited for without end."""
    write_files(tmp_path, {SKILL: skill()})
    (tmp_path / SKILL).unlink()
    os.mkfifo(tmp_path / SKILL)
    assert problems(tmp_path) == [f"{SKILL}: is no regular file"]


def test_folders_whose_names_are_no_text(tmp_path: Path) -> None:
    """A name that is not UTF-8 would make rows that cannot be written: it is told before."""
    folder = os.fsdecode(b"knowledge/\xff")
    write_files(tmp_path, {f"{folder}/qna.yaml": knowledge()})
    assert "its path is not UTF-8" in problems(tmp_path)[0]


def test_warnings_are_not_lost_when_there_are_errors(tmp_path: Path) -> None:
    """What is passed over is told together with what is wrong."""
    write_files(tmp_path, {SKILL: "", KNOWLEDGE: "x", "knowledge/y/qna.yml": ""})
    with pytest.raises(ConfigError) as caught:
        read_taxonomy(tmp_path)
    misnamed, empty = caught.value.__notes__
    assert (
        misnamed
        == f"warning: {tmp_path}/knowledge/y/qna.yml: is not read: leaf nodes are in files named qna.yaml"
    )
    assert empty == f"warning: {tmp_path}/{SKILL}: is empty"
