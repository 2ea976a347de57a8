"""``check`` and ``plan``: what can be known without a teacher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sdg_stream.catalog import list_pipelines, pipelines_dir
from sdg_stream.cli.app import app

BROKEN = """\
version: "1.0"
blocks:
  - name: keep
    type: FilterByValeuBlock
    config: {}
  - name: rename
    type: RenameColumnsBlock
    config:
      columns_mapp: {a: b}
"""

RENAME = """\
version: "1.0"
blocks:
  - name: rename
    type: RenameColumnsBlock
    config:
      columns_map: {a: b}
"""


def invoke(*arguments: str | Path) -> Result:
    """``sdg-stream`` with arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def rename(tmp_path: Path) -> Path:
    """A pipeline that reads column ``a``."""
    file = tmp_path / "rename.yaml"
    file.write_text(RENAME)
    return file


@pytest.mark.parametrize("name", [name for name in list_pipelines() if name != "examples/custom_block"])
def test_shipped_pipelines_are_fine(name: str) -> None:
    """Each shipped pipeline checks, and its plan is shown."""
    result = invoke("check", name)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"OK: {name}\n")
    assert result.stdout.partition("\n")[2] == invoke("plan", name).stdout


def test_plugins_allow_modules() -> None:
    """A block of a module is a mistake until its folder is allowed."""
    assert invoke("check", "examples/custom_block").exit_code == 2
    assert invoke("check", "examples/custom_block", "--plugins", pipelines_dir() / "examples").exit_code == 0


def test_all_mistakes_have_places(tmp_path: Path) -> None:
    """Every mistake in the file, with its line and the nearest key; exit 2, no traceback."""
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    result = invoke("check", file)
    assert result.exit_code == 2
    assert f"{file}:4: $.blocks[0].type: " in result.stderr
    assert "did you mean 'FilterByValueBlock'?" in result.stderr
    assert f"{file}:9: $.blocks[1].config.columns_mapp: " in result.stderr
    assert result.stdout == ""
    machine = json.loads(invoke("check", file, "--json").stdout)
    assert machine["ok"] is False
    assert {problem["line"] for problem in machine["problems"]} >= {4, 9}


def test_input_is_held_against_the_pipeline(rename: Path, tmp_path: Path) -> None:
    """Columns that the blocks read and a row lacks, and lines that are no rows, are mistakes."""
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text('{"a": 1}\n{"a": 2, "c": 3}\n')
    bad.write_text('{"a": 1}\nnonsense\n{"c": 3}\n')
    result = invoke("check", rename, "--input", good)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, f"OK: {rename}, 2 rows of {good}")
    result = invoke("check", rename, "--input", bad)
    assert result.exit_code == 2
    assert "line 2" in result.stderr
    assert "needs the column 'a'" in result.stderr


def test_many_bad_rows_are_counted(rename: Path, tmp_path: Path) -> None:
    """Twenty bad rows are listed, the others counted."""
    file = tmp_path / "bad.jsonl"
    file.write_text("nonsense\n" * 50)
    result = invoke("check", rename, "--input", file, "--json")
    assert result.exit_code == 2
    machine = json.loads(result.stdout)
    assert len(machine["problems"]) == 21
    assert machine["problems"][-1]["message"] == "30 more rows are unsound"
    assert machine["rows"] == 50


@pytest.mark.parametrize("command", ["check", "plan"])
def test_what_is_not_there(command: str, tmp_path: Path) -> None:
    """A missing pipeline or input is a mistake, told in one line."""
    result = invoke(command, "full/knowlege")
    assert result.exit_code == 2
    assert "did you mean 'full/knowledge'?" in result.stderr
    assert invoke("check", "full/knowledge", "--input", tmp_path / "none.jsonl").exit_code == 2


def test_plan_shows_the_order() -> None:
    """The plan says in which order rows leave."""
    assert "input order" in invoke("plan", "full/knowledge").stdout
    assert "they settle" in invoke("plan", "full/knowledge", "--order", "none").stdout


def test_row_39_keys_that_stand_twice_are_warned_of_or_mistakes(rename: Path, tmp_path: Path) -> None:
    """By default the row counts, with a warning; with --strict-input it is unsound."""
    (tmp_path / "in.jsonl").write_text('{"a": 1, "a": 2}\n')
    result = invoke("check", rename, "--input", tmp_path / "in.jsonl")
    assert (result.exit_code, "stands there twice" in result.stderr) == (0, True)
    result = invoke("check", rename, "--input", tmp_path / "in.jsonl", "--strict-input")
    assert result.exit_code == 2
    assert "line 1: the key 'a' stands there twice" in result.stderr
