"""The facts of a run: what counts as a change of pipeline, files and settings, and what does not."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from sdg_stream.config.settings import Settings
from sdg_stream.config.yaml import parse_yaml
from sdg_stream.errors import ConfigError
from sdg_stream.state.fingerprint import LARGE, Facts, digest, make_facts

PIPELINE = """
version: "1.0"
blocks:
  - name: gen_questions
    type: LLMBlock
    config: {config_path: ../prompts/judge.yaml, gen_kwargs: {temperature: 0.7, seed: 1}}
    drop_duplicates: [question]
"""
SETTINGS = {name: getattr(Settings(), name) for name in Settings.__struct_fields__}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a pipeline and a prompt beside it."""
    root = tmp_path / "project"
    (root / "pipelines").mkdir(parents=True)
    (root / "prompts").mkdir()
    (root / "prompts" / "judge.yaml").write_text("system: Be fair.\nprinciples: Rate from 1 to 5.\n")
    return root


def facts(project: Path, pipeline: str = PIPELINE, **changes: Any) -> Facts:
    """The facts of the project's run."""
    folder = project / "pipelines"
    wanted: dict[str, Any] = {
        "data": parse_yaml(pipeline).data,
        "folder": folder,
        "files": [folder / "../prompts/judge.yaml"],
        "settings": SETTINGS,
        "model": "mixtral-8x7b",
        "api": "completions",
    }
    return make_facts(**wanted | changes)


def test_comments_order_and_place_are_no_change(project: Path, tmp_path: Path) -> None:
    """Comments, the order of keys, empty optional keys and the folder's place do not count."""
    before = digest(facts(project))
    (project / "prompts" / "judge.yaml").write_text(
        "# how to judge\nprinciples: Rate from 1 to 5.\nsystem: Be fair.\n"
    )
    reordered = """
        blocks:
        - {type: LLMBlock, name: gen_questions, drop_columns: [], drop_duplicates: question,
           config: {gen_kwargs: {seed: 1, temperature: 0.7}, config_path: ../prompts/judge.yaml}}
        version: 1.0  # a note
        """
    assert digest(facts(project, reordered)) == before
    moved = shutil.move(project, tmp_path / "elsewhere")
    assert digest(facts(Path(moved))) == before


def test_files_are_named_as_the_pipeline_names_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here or from elsewhere, wherever links lead, a file has the same name."""
    monkeypatch.chdir(project)
    (project / "prompts" / "judge.yaml").rename(project / "stored-1")
    (project / "prompts" / "judge.yaml").symlink_to("../stored-1")
    for start in (project / "pipelines", Path("pipelines")):
        file = start / "../prompts/judge.yaml"
        assert list(facts(project, folder=start, files=[file])["files"]) == ["../prompts/judge.yaml"]
    own = project / "pipelines" / "./own.yaml"
    own.write_text("a: 1")
    assert list(facts(project, files=[own])["files"]) == ["own.yaml"]


def test_files_with_absolute_names_keep_them(project: Path) -> None:
    """They stay where they are when the pipeline goes elsewhere."""
    prompt = project / "prompts" / "judge.yaml"
    assert list(facts(project, files=[prompt])["files"]) == [str(prompt)]


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline": PIPELINE.replace("0.7", "0.8")},
        {"pipeline": PIPELINE.replace("[question]", "[answer]")},
        {"pipeline": PIPELINE.replace("name: gen_questions", "name: gen")},
        {"files": []},
        {"settings": SETTINGS | {"num_instructions": 3}},
        {"settings": SETTINGS | {"model_family": "llama"}},
        {"settings": SETTINGS | {"provenance": True}},
        {"settings": SETTINGS | {"model_id": "mistral-large"}},
        {"model": "mistral-large"},
        {"api": "chat"},
        {"families": {"gen_questions": "llama"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_row_64_whatever_decides_rows_counts(project: Path, changes: dict[str, Any]) -> None:
    """Blocks, files, settings, model, API and chat templates: changing one gives another digest."""
    assert digest(facts(project, **changes)) != digest(facts(project))


def test_row_64_a_changed_prompt_counts(project: Path) -> None:
    """A word in a prompt file gives another digest."""
    before = digest(facts(project))
    (project / "prompts" / "judge.yaml").write_text("system: Be fair.\nprinciples: Rate from 1 to 3.\n")
    assert digest(facts(project)) != before


def test_the_model_counts_however_it_was_chosen(project: Path) -> None:
    """Naming the model that the endpoint lists anyway is no change, unless a block names its own."""
    named = SETTINGS | {"model_id": "mixtral-8x7b"}
    assert digest(facts(project)) == digest(facts(project, settings=named))
    own = PIPELINE.replace("config: {", "config: {model_id: small, ")
    assert digest(facts(project, own)) != digest(facts(project, own, settings=named))


def test_a_known_family_counts_not_what_was_asked_for(project: Path) -> None:
    """Where it is known which chat templates are used, asking for the same one by name is no change."""
    families = {"gen_questions": "mixtral"}
    asked = SETTINGS | {"model_family": "mixtral"}
    assert digest(facts(project, families=families)) == digest(
        facts(project, families=families, settings=asked)
    )


def test_facts_survive_json(project: Path) -> None:
    """Written as JSON and read back, by either library, facts have the same digest."""
    odd = PIPELINE.replace("seed: 1", "a: .nan, b: 99999999999999999999, c: 2024-01-31, 5: '!x', ~: -.inf")
    made = facts(project, odd)
    assert digest(json.loads(json.dumps(made))) == digest(orjson.loads(orjson.dumps(made))) == digest(made)


def test_digests_take_whatever_yaml_gives() -> None:
    """Dates, bytes, sets, odd keys, huge and missing numbers all have digests, all of them different."""
    values: list[Any] = [
        None, True, False, 0, 1, 1.0, -0.0, 0.0, 2**70, 16**5000, float("nan"), float("inf"), "", "null", "1",
        "!timestamp 2024-01-31", date(2024, 1, 31), datetime(2024, 1, 31), datetime(2024, 1, 31, tzinfo=UTC),
        b"", b"x", "!binary eA==", {"a", "b"}, {"a"}, set(), {"!set": ["a"]}, [], {}, {1: 2}, {"1": 2},
        {"!key 1": 2}, {None: 2}, {True: 2}, {date(2024, 1, 31): 2}, [[]],
        "\ud800", "\\ud800", "!escaped \\ud800", "!str !x", "!x",
    ]  # fmt: skip
    digests = [digest({"pipeline": value}) for value in values]
    assert len(set(digests)) == len(values)
    assert all(len(text) == 32 for text in digests)


def test_only_data_has_a_digest() -> None:
    """An object that YAML cannot give is a mistake of the caller, and is told."""
    with pytest.raises(TypeError, match="object is not plain data"):
        digest(object())


def test_files_that_are_not_yaml_count_by_their_text(project: Path) -> None:
    """Text files, and YAML files that no YAML reader takes, are remembered as text."""
    note, broken = project / "note.txt", project / "broken.yaml"
    note.write_text("a: 1  # kept\n")
    broken.write_text("a: [")
    assert list(facts(project, files=[note, broken])["files"].values()) == ["a: 1  # kept\n", "a: ["]


def test_large_and_binary_files_are_remembered_by_digest(project: Path) -> None:
    """What would make the facts large is kept as a size and a digest, which still tell a change."""
    large, binary = project / "large.txt", project / "binary.dat"
    large.write_text("x" * (LARGE + 1))
    binary.write_bytes(b"\xff\x00")
    before = facts(project, files=[large, binary])
    assert [content["bytes"] for content in before["files"].values()] == [LARGE + 1, 2]
    binary.write_bytes(b"\xff\x01")
    assert digest(facts(project, files=[large, binary])) != digest(before)


def test_a_file_that_cannot_be_read_is_told(project: Path) -> None:
    """A file that is gone is a ConfigError with its name."""
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read: No such file"):
        facts(project, files=[project / "gone.yaml"])
