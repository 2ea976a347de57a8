"""``taxonomy``: check, diff, samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from taxonomies import KNOWLEDGE, SKILL, commit, git, knowledge, skill, write_files

from sdg_stream.cli.app import app
from sdg_stream.taxonomy import chunkers
from sdg_stream.taxonomy.tokens import MARGIN


def invoke(*arguments: str | Path) -> Result:
    """``sdg-stream taxonomy`` with arguments."""
    return CliRunner().invoke(app, ["taxonomy", *map(str, arguments)])


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A taxonomy of a skill and of knowledge with documents on this machine."""
    head = commit(tmp_path / "repo", {"a.md": "text"})
    return write_files(tmp_path / "taxonomy", {SKILL: skill(), KNOWLEDGE: knowledge(tmp_path / "repo", head)})


def test_check_lists_leaf_nodes(sound: Path, tmp_path: Path) -> None:
    """With their kind, their seeds, and where their documents come from."""
    done = invoke("check", sound, "--allow-local-repos")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"OK: {sound}, 2 leaf nodes"
    assert lines[1].split() == ["compositional_skills_writing_haiku", "freeform_skill", "5", "seeds"]
    assert f"*.md of {tmp_path}/repo at " in lines[2]


def test_check_lists_everything_that_is_wrong(sound: Path) -> None:
    """On standard error, with files and lines, and exit code 2."""
    write_files(sound, {SKILL: skill(created_by=None, colour="red"), "knowledge/x/qna.yml": ""})
    done = invoke("check", sound)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert f"{sound}/{SKILL}:1: $: 'created_by' is a required property" in done.stderr
    assert "('colour' was unexpected)" in done.stderr
    assert f"{sound}/{KNOWLEDGE}:6: $.document.repo: is on this machine" in done.stderr
    assert f"warning: {sound}/knowledge/x/qna.yml: is not read" in done.stderr
    assert "3 mistakes" in done.stderr


def test_check_as_json(sound: Path) -> None:
    """The same for programs."""
    assert json.loads(invoke("check", sound / SKILL, "--json").stdout)["leaf_nodes"][0]["seeds"] == 5
    done = invoke("check", sound, "--json")
    assert done.exit_code == 2
    [problem] = json.loads(done.stdout)["problems"]
    assert (problem["line"], problem["path"]) == (6, "$.document.repo")


def test_check_documents_too(sound: Path, tmp_path: Path) -> None:
    """They are fetched and read, and kept for the next time."""
    options = ("--allow-local-repos", "--documents", "--documents-cache", tmp_path / "cache")
    assert invoke("check", sound, *options).exit_code == 0
    assert len(list((tmp_path / "cache").iterdir())) == 1
    head = commit(tmp_path / "repo", {"a.md": b"\xff"})
    write_files(sound, {KNOWLEDGE: knowledge(tmp_path / "repo", head)})
    done = invoke("check", sound, *options)
    assert done.exit_code == 2
    assert "a.md: is not UTF-8 text" in done.stderr


def test_a_folder_without_leaf_nodes_is_a_mistake(tmp_path: Path) -> None:
    """It is most likely the wrong folder; nothing that has changed is none."""
    done = invoke("check", tmp_path)
    assert done.exit_code == 2
    assert "there is no qna.yaml below compositional_skills or knowledge" in done.stderr
    commit(tmp_path, {SKILL: skill()})
    assert invoke("check", tmp_path, "--base", "HEAD").stdout == f"OK: {tmp_path}, 0 leaf nodes\n"
    assert invoke("samples", tmp_path, "--base", "HEAD").exit_code == 2


def test_diff_lists_changed_files(tmp_path: Path) -> None:
    """One a line, for scripts; without a base those that are not on origin/main."""
    commit(tmp_path, {SKILL: skill()})
    git(tmp_path, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert invoke("diff", tmp_path).stdout == ""
    write_files(tmp_path, {KNOWLEDGE: "not read", "knowledge/x/qna.yml": ""})
    done = invoke("diff", tmp_path)
    assert done.stdout == f"{KNOWLEDGE}\n"
    assert "qna.yml: is not read" in done.stderr
    assert invoke("diff", tmp_path, "--base", "empty").stdout == f"{SKILL}\n{KNOWLEDGE}\n"
    assert invoke("diff", tmp_path, "--base", "nowhere").exit_code == 2


def test_samples(sound: Path, tmp_path: Path) -> None:
    """A file for each leaf node in a folder named after the time; how documents were cut is told."""
    done = invoke("samples", sound, "--allow-local-repos", "--output-dir", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    [folder] = (tmp_path / "out").iterdir()
    assert folder.name.startswith("preprocessed_2")
    assert ":" not in folder.name
    assert sorted(file.name for file in folder.glob("*.jsonl")) == [
        "compositional_skills_writing_haiku.jsonl",
        "knowledge_science_tides.jsonl",
    ]
    assert done.stdout == f"10 samples of 2 leaf nodes in {folder}\n"
    assert done.stderr == f"documents cut by: markdown, up to 500 tokens by estimate ({MARGIN})\n"


def test_the_help_says_how_far_off_the_estimate_is() -> None:
    """In the words of the library, wherever lines break."""
    assert MARGIN in " ".join(invoke("samples", "--help").stdout.split())


def test_options_in_a_file(sound: Path, tmp_path: Path) -> None:
    """As for every command."""
    write_files(tmp_path, {"settings.yaml": {"allow_local_repos": True}, "wrong.yaml": {"bse": "x"}})
    assert invoke("check", sound, "--settings", tmp_path / "settings.yaml").exit_code == 0
    assert "did you mean 'base'" in invoke("check", sound, "--settings", tmp_path / "wrong.yaml").stderr


@pytest.mark.parametrize(
    ("missing", "words"),
    [(["docling"], "pip install 'sdg-stream[docling]'"), ([], "name it with --tokenizer")],
)
def test_docling_that_cannot_be_had_is_told(
    sound: Path, missing: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read or written."""
    monkeypatch.setattr(chunkers, "missing_libraries", lambda: missing)
    done = invoke("samples", sound, "--chunker", "docling", "--output-dir", sound / "out")
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (sound / "out").exists()
