"""Between opening a run directory and running: what is noted, and what a failure there leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sdg_stream as sdg
from sdg_stream.errors import ConfigError, OutputError
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio

PROMPT = """
system: ""
introduction: Answer.
principles: ""
examples: ""
generation: "{{n}}"
start_tags: [""]
end_tags: [""]
"""
PIPELINE = """
version: "1.0"
blocks: [{name: ask, type: LLMBlock, config: {config_path: prompt.yaml, output_cols: [a]}}]
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> sdg.Pipeline:
    """A pipeline that asks."""
    (tmp_path / "prompt.yaml").write_text(PROMPT)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return sdg.Pipeline.load(tmp_path / "pipeline.yaml")


async def test_a_failure_before_the_run_lets_go_of_the_lock(pipeline: sdg.Pipeline, tmp_path: Path) -> None:
    """A run that could not begin is not in the way of the next one, in the same process."""
    with pytest.raises(ConfigError, match="asks a teacher"):
        await pipeline.run([{"n": 1}], tmp_path / "out.jsonl", None)
    report = await pipeline.run([{"n": 1}], tmp_path / "out.jsonl", ScriptedTeacher(lambda _: "fine"))
    assert report.rows == 1


async def test_what_runs_is_noted_from_the_start(pipeline: sdg.Pipeline, tmp_path: Path) -> None:
    """run.json names input, output and command before the first call; the account comes at the end."""
    noted = []
    file = tmp_path / "out.jsonl.run" / "run.json"

    def reply(_: sdg.Request) -> str:
        noted.append(json.loads(file.read_text()))
        return "fine"

    keep = sdg.Keep(command="sdg-stream run this")
    await pipeline.run([{"n": 1}], tmp_path / "out.jsonl", ScriptedTeacher(reply), keep=keep)
    assert noted[0]["report"] is None
    assert (noted[0]["input"], noted[0]["command"]) == ("<iterable>", "sdg-stream run this")
    assert json.loads(file.read_text())["report"]["rows"] == 1
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_note_that_cannot_be_written(pipeline: sdg.Pipeline, tmp_path: Path) -> None:
    """It is an error of the output, in words, and the lock is free again."""
    file = tmp_path / "out.jsonl.run" / "run.json"
    file.mkdir(parents=True)
    teacher = ScriptedTeacher(lambda _: "fine")
    with pytest.raises(OutputError, match=r"run\.json: cannot be written"):
        await pipeline.run([{"n": 1}], tmp_path / "out.jsonl", teacher)
    assert teacher.requests == []
    file.rmdir()
    assert (await pipeline.run([{"n": 1}], tmp_path / "out.jsonl", teacher)).rows == 1


async def test_what_links_lead_to_may_move(pipeline: sdg.Pipeline, tmp_path: Path) -> None:
    """A prompt in another folder behind the same link, as after each mounting of a volume, is no change."""
    (tmp_path / "..first").mkdir()
    (tmp_path / "prompt.yaml").rename(tmp_path / "..first" / "prompt.yaml")
    (tmp_path / "prompt.yaml").symlink_to("..first/prompt.yaml")
    output, file = tmp_path / "out.jsonl", tmp_path / "pipeline.yaml"
    await sdg.Pipeline.load(file).run([{"n": 1}], output, ScriptedTeacher(["fine"]))
    (tmp_path / "..first").rename(tmp_path / "..second")
    (tmp_path / "prompt.yaml").unlink()
    (tmp_path / "prompt.yaml").symlink_to("..second/prompt.yaml")
    report = await sdg.Pipeline.load(file).run([{"n": 1}], output, ScriptedTeacher([]))
    assert report.rows == 1
