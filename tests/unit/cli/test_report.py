"""``report``: its options, its JSON, and every mistake as words and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import sdg_stream as sdg
from sdg_stream.cli.app import app
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio

PIPELINE = "version: '1.0'\nblocks: [{name: r, type: RenameColumnsBlock, config: {columns_map: {n: m}}}]\n"


@pytest.fixture
async def output(tmp_path: Path) -> Path:
    """The output of a finished run."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "in.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    pipeline = sdg.Pipeline.load(tmp_path / "p.yaml")
    teacher, cache = ScriptedTeacher([]), tmp_path / "cache"
    await pipeline.run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", teacher, cache_dir=cache)
    return tmp_path / "out.jsonl"


def report(*arguments: str | Path) -> Result:
    """Run the command; whatever happens, there is no traceback."""
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


async def test_text(output: Path) -> None:
    """The output and the run directory name the same run."""
    result = report(output)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "roots     2 settled = 2 accepted + 0 filtered + 0 rejected\n" in result.stdout
    assert report(f"{output}.run").stdout == result.stdout
    assert report(f"{output}.run/").stdout == result.stdout


async def test_json(output: Path) -> None:
    """One document with everything."""
    found = json.loads(report(output, "--json", "--cache-dir", output.parent / "cache").stdout)
    assert found["run"]["state"] == "finished"
    assert found["run"]["account"]["accepted"] == 2
    assert found["run"]["sessions"][0]["ended"] == "finished"
    assert found["cache_dir"] == {"file": str(output.parent / "cache/calls.db"), "answers": 0, "bytes": 0}


async def test_a_cache_folder_alone(output: Path) -> None:
    """Needs no output."""
    result = report("--cache-dir", output.parent / "cache")
    assert result.stdout == f"cache     0 answers, 0 bytes in {output.parent}/cache/calls.db\n"


async def test_pruning_tells_what_it_means(output: Path) -> None:
    """How many bytes, and what has to be asked again; for machines a number."""
    result = report(output, "--prune-cache")
    assert result.exit_code == 0
    assert "bytes freed. Rows and account stay as they are. --edited has to ask everything" in result.stdout
    result = report("--cache-dir", output.parent / "cache", "--prune-cache", "--json")
    assert json.loads(result.stdout) == {"freed_bytes": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "which run?"),
        (("nope",), 6, "nope has no run directory"),
        (("",), 6, "has no run directory"),
        (("x" * 300,), 6, "cannot be looked at"),
        (("--cache-dir", "nope"), 6, "nope holds no answers"),
        (("--cache-dir", "nope", "--prune-cache"), 6, "nope holds no answers"),
        (("nope", "--prune-cache"), 6, "nope has no run directory"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """Words and an exit code, and nothing is made by looking."""
    monkeypatch.chdir(tmp_path)
    result = report(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []
