"""``pipelines``: list, show, copy, schema."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from sdg_stream.catalog import BLOCKS, list_pipelines, pipelines_dir
from sdg_stream.cli.app import app


def invoke(*arguments: str) -> Result:
    """``sdg-stream pipelines`` with arguments."""
    return CliRunner().invoke(app, ["pipelines", *arguments])


def test_list_is_the_default() -> None:
    """One name a line, with and without ``list``."""
    assert invoke().stdout == invoke("list").stdout
    assert invoke("list").stdout.split() == list_pipelines()


def test_show_prints_the_file() -> None:
    """The file as it is."""
    assert invoke("show", "full/knowledge").stdout == (pipelines_dir() / "full/knowledge.yaml").read_text()
    wrong = invoke("show", "full/knowlege")
    assert wrong.exit_code == 2
    assert "full/knowledge" in wrong.stderr


def test_copy_takes_what_the_pipeline_needs(tmp_path: Path) -> None:
    """The pipeline and its prompts keep their places, so the copy can be checked and changed."""
    result = invoke("copy", "full/knowledge", str(tmp_path / "mine"))
    assert result.exit_code == 0, result.stderr
    copied = {file.relative_to(tmp_path / "mine").as_posix() for file in (tmp_path / "mine").rglob("*.yaml")}
    assert "full/knowledge.yaml" in copied
    assert "prompts/knowledge/spellcheck.yaml" in copied
    assert not any("skills" in name for name in copied)
    assert CliRunner().invoke(app, ["check", str(tmp_path / "mine/full/knowledge.yaml")]).exit_code == 0


def test_copy_takes_a_block_of_its_own(tmp_path: Path) -> None:
    """A module that a block type names is copied too."""
    assert invoke("copy", "examples/custom_block", str(tmp_path)).exit_code == 0
    assert (tmp_path / "examples/word_count.py").is_file()


def test_copy_all(tmp_path: Path) -> None:
    """Everything that is shipped, seeds included."""
    assert invoke("copy", "all", str(tmp_path)).exit_code == 0
    assert (tmp_path / "examples/seeds/knowledge.jsonl").is_file()
    assert {f"{name}.yaml" for name in list_pipelines()} <= {
        file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.yaml")
    }


def test_copy_replaces_nothing_unasked(tmp_path: Path) -> None:
    """A changed copy is not lost by copying again."""
    assert invoke("copy", "simple/knowledge", str(tmp_path)).exit_code == 0
    (tmp_path / "simple/knowledge.yaml").write_text("mine")
    assert invoke("copy", "simple/knowledge", str(tmp_path)).exit_code == 2
    assert (tmp_path / "simple/knowledge.yaml").read_text() == "mine"
    assert invoke("copy", "simple/knowledge", str(tmp_path), "--overwrite").exit_code == 0
    assert (tmp_path / "simple/knowledge.yaml").read_text() != "mine"


def test_copy_of_nothing(tmp_path: Path) -> None:
    """A name that is not shipped is a mistake, and so is a path."""
    for name in ("full/nothing", "../pyproject", str(pipelines_dir() / "full/knowledge.yaml")):
        assert invoke("copy", name, str(tmp_path)).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_schema_knows_every_block() -> None:
    """The schema is JSON, names each built-in block, and refuses what the reader refuses."""
    schema = json.loads(invoke("schema").stdout)
    entry = schema["$defs"]["BlockEntry"]
    assert entry["additionalProperties"] is False
    assert [rule["if"]["properties"]["type"]["const"] for rule in entry["allOf"]] == list(BLOCKS)
    for rule in entry["allOf"]:
        name = rule["then"]["properties"]["config"]["$ref"].rpartition("/")[2]
        assert schema["$defs"][name]["type"] == "object"
