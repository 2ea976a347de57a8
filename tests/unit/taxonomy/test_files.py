"""Which files of a taxonomy are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from taxonomies import KNOWLEDGE, SKILL, commit, git, skill, write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy.files import find_files


def test_names_that_are_nearly_right_are_told_and_others_passed_over(tmp_path: Path) -> None:
    """qna.yml and other spellings below the two top folders get a warning each; nothing else does."""
    wrong = ["knowledge/a/qna.yml", "knowledge/b/Qna.yaml", "compositional_skills/c/QNA.YML"]
    other = [
        "qna.yaml",
        "foundational_skills/a/qna.yaml",
        "knowledge/a/notes.yaml",
        ".git/knowledge/qna.yaml",
    ]
    write_files(tmp_path, dict.fromkeys([SKILL, KNOWLEDGE, *wrong, *other], ""))
    found, passed_over = find_files(tmp_path)
    assert found == [SKILL, KNOWLEDGE]
    assert sorted(problem.file for problem in passed_over) == sorted(str(tmp_path / name) for name in wrong)


def test_q_gen_6_files_come_in_order(tmp_path: Path) -> None:
    """Sorted by path, whatever the file system says."""
    names = [f"knowledge/{letter}/qna.yaml" for letter in "zamb"]
    write_files(tmp_path, dict.fromkeys(names, ""))
    assert find_files(tmp_path)[0] == sorted(names)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """Neither a top folder nor one below: a loop would not end, and what lies elsewhere is no part of it."""
    write_files(tmp_path / "elsewhere", {"qna.yaml": ""})
    write_files(tmp_path / "taxonomy", {SKILL: ""})
    (tmp_path / "taxonomy" / "knowledge").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "taxonomy" / "compositional_skills" / "loop").symlink_to(tmp_path / "taxonomy")
    assert find_files(tmp_path / "taxonomy")[0] == [SKILL]


def test_q_tax_1_a_taxonomy_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """It does not read as an empty one."""
    with pytest.raises(ConfigError, match="there is no taxonomy"):
        find_files(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_folders_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """A folder without permission does not read as an empty one."""
    write_files(tmp_path, {SKILL: ""})
    (tmp_path / SKILL).parent.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read"):
        find_files(tmp_path)
    (tmp_path / SKILL).parent.chmod(0o700)


def test_a_taxonomy_may_be_a_folder_of_its_repository(tmp_path: Path) -> None:
    """Paths are relative to the taxonomy, and what changed beside it is no matter."""
    commit(tmp_path, {f"tax/{SKILL}": skill(), "beside/knowledge/x/qna.yaml": ""})
    write_files(tmp_path, {f"tax/{KNOWLEDGE}": "new", "beside/knowledge/x/qna.yaml": "changed"})
    assert find_files(tmp_path / "tax", "HEAD")[0] == [KNOWLEDGE]


@pytest.mark.parametrize("base", ["--output=x", "-h", "nowhere", "HEAD:knowledge", "a..b", ""])
def test_a_base_is_never_an_option(tmp_path: Path, base: str) -> None:
    """What is no branch, tag or commit is told to be none, and git is not given it as an option."""
    commit(tmp_path, {SKILL: skill()})
    with pytest.raises(ConfigError, match="there is no branch, tag or commit"):
        find_files(tmp_path, base)
    assert git(tmp_path, "status", "--porcelain") == ""


def test_names_with_odd_characters(tmp_path: Path) -> None:
    """Spaces, line feeds and letters beyond ASCII come out as they are."""
    commit(tmp_path)
    names = [f"knowledge/{odd}/qna.yaml" for odd in ("a b", "x\ny", "\u00fc")]
    write_files(tmp_path, dict.fromkeys(names, ""))
    assert find_files(tmp_path, "HEAD")[0] == sorted(names)


def test_tags_and_short_hashes_are_bases(tmp_path: Path) -> None:
    """Whatever git resolves to a commit."""
    first = commit(tmp_path, {SKILL: skill()})
    git(tmp_path, "tag", "-a", "-m", "x", "v1")
    commit(tmp_path, {KNOWLEDGE: "x"})
    for base in ("v1", first[:8], "HEAD~1"):
        assert find_files(tmp_path, base)[0] == [KNOWLEDGE]


def test_the_environment_of_a_hook_does_not_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR and the like, which git sets in hooks, do not change which repository is looked at."""
    commit(tmp_path / "other", {"knowledge/other/qna.yaml": "x"})
    commit(tmp_path / "taxonomy", {SKILL: skill()})
    write_files(tmp_path / "taxonomy", {KNOWLEDGE: "x"})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert find_files(tmp_path / "taxonomy", "HEAD")[0] == [KNOWLEDGE]
