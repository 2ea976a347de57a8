"""Pipelines: load, check, plan, run and stream, with a scripted teacher."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import sdg_stream as sdg
from sdg_stream.catalog import list_pipelines, pipelines_dir
from sdg_stream.errors import ConfigError, RunStateError
from sdg_stream.events import Event, Notice
from sdg_stream.testing.scripted import ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

PROMPT = """
system: You are a judge.
introduction: Judge.
principles: ""
examples: ""
generation: "Question: {{question}}"
start_tags: ["[S]"]
end_tags: ["[/S]"]
"""


def write(folder: Path, blocks: str, prompt: str = PROMPT) -> Path:
    """A pipeline file with a prompt file beside it."""
    (folder / "judge.yaml").write_text(prompt, encoding="utf-8")
    file = folder / "pipeline.yaml"
    file.write_text(f'version: "1.0"\nblocks:\n{blocks}', encoding="utf-8")
    return file


JUDGE = """
  - name: judge
    type: LLMBlock
    config: {config_path: judge.yaml, output_cols: [score]}
  - name: keep
    type: FilterByValueBlock
    config: {filter_column: score, filter_value: 1, operation: eq, convert_dtype: int}
    drop_columns: [score]
"""


def by_length(request: sdg.Request) -> str:
    """Scores a question 1 if its number is even."""
    number = int(prompt_text(request).split("number ")[1].split()[0])
    return f"[S]{1 - number % 2}[/S]"


def rows(count: int) -> list[dict[str, Any]]:
    """Numbered questions."""
    return [{"question": f"number {n} ?", "n": n} for n in range(count)]


def jsonl(file: Path, items: list[dict[str, Any]]) -> Path:
    """A JSONL file."""
    file.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", list_pipelines())
def test_every_shipped_pipeline_loads_plans_and_needs_what_its_seeds_have(name: str) -> None:
    """Files, prompts, columns: nothing to complain about."""
    events: list[Event] = []
    pipeline = sdg.Pipeline.load(
        name, sdg.Settings(), plugins=[pipelines_dir() / "examples"], hook=events.append
    )
    assert pipeline.name == name
    assert pipeline.check() == []
    assert str(pipeline.plan())
    assert [event for event in events if isinstance(event, Notice) and event.code != "default_family"] == []


def test_all_mistakes_of_all_blocks_are_told_at_once(tmp_path: Path) -> None:
    """Types, keys, numbers, files: one list, each with file, line and path."""
    file = write(
        tmp_path,
        """
  - {name: a, type: LMBlock, config: {}}
  - {name: b, type: LLMBlock,
     config: {config_path: judge.yaml, output_cols: [s], gen_kwargs: {temperature: warm}}}
  - {name: c, type: FilterByValueBlock, config: {filter_colum: s, filter_value: 1, operation: eq}}
""",
    )
    with pytest.raises(ConfigError) as caught:
        sdg.Pipeline.load(file)
    text = str(caught.value)
    assert "pipeline.yaml:4: $.blocks[0].type: unknown block type 'LMBlock'; did you mean 'LLMBlock'?" in text
    assert 'pipeline.yaml:6: $.blocks[1].config.gen_kwargs.temperature: expected float, got "warm"' in text
    assert "unknown key 'filter_colum'; did you mean 'filter_column'?" in text
    assert "the key 'filter_column' is missing" in text


def test_mistakes_in_prompt_files_are_found_at_load(tmp_path: Path) -> None:
    """A template that does not compile and a missing prompt file are told before anything runs."""
    file = write(tmp_path, JUDGE, PROMPT.replace("{{question}}", "{{question"))
    with pytest.raises(ConfigError, match=r"judge\.yaml"):
        sdg.Pipeline.load(file)
    file = write(tmp_path, JUDGE.replace("judge.yaml", "jugde.yaml"))
    with pytest.raises(ConfigError, match=r"jugde\.yaml.*No such file"):
        sdg.Pipeline.load(file)


def test_check_follows_the_columns(tmp_path: Path) -> None:
    """What a block needs and nobody gives, and what was removed before, is found without a teacher."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE + JUDGE))
    assert pipeline.check(["question"]) == []
    assert "did you mean 'questions'?" in str(pipeline.check(["questions"])[0])
    problems = pipeline.check(["other"])
    assert [str(problem).partition(": ")[2] for problem in problems] == [
        "$.blocks[0]: needs the column 'question'; no input column or earlier block gives that"
    ]
    again = """
  - name: again
    type: CombineColumnsBlock
    config: {columns: [score], output_col: all}
"""
    removed = sdg.Pipeline.load(write(tmp_path, JUDGE + again))
    assert "'keep' removed it" in str(removed.check()[0])


async def test_run_writes_rows_rejects_and_the_account(tmp_path: Path) -> None:
    """A JSONL file in, a JSONL file out; a record without a reply is a line of the rejects file."""

    def reply(request: sdg.Request) -> str:
        return "no tags" if "number 3 " in prompt_text(request) else by_length(request)

    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    output = tmp_path / "out.jsonl"
    report = await pipeline.run(jsonl(tmp_path / "in.jsonl", rows(6)), output, ScriptedTeacher(reply))
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {"question": f"number {n} ?", "n": n} for n in (0, 2, 4)
    ]
    assert (report.accepted, report.filtered, report.rejected) == (3, 2, 1)
    rejects = [json.loads(line) for line in Path(report.rejects_file).read_text().splitlines()]
    assert [(row["root"], row["stage"], row["reason"], row["server"]) for row in rejects] == [
        (3, "judge", "unparsed_reply", "no tags")
    ]
    account = json.loads((tmp_path / "out.jsonl.run" / "run.json").read_text())
    assert account["report"]["accepted"] == 3


async def test_an_output_that_exists_is_not_touched(tmp_path: Path) -> None:
    """Rows of an earlier run are safe unless overwriting is asked for."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    source = jsonl(tmp_path / "in.jsonl", rows(2))
    output = tmp_path / "out.jsonl"
    output.write_text('{"precious": 1}\n')
    with pytest.raises(RunStateError, match="--overwrite"):
        await pipeline.run(source, output, ScriptedTeacher(by_length))
    assert output.read_text() == '{"precious": 1}\n'
    await pipeline.run(source, output, ScriptedTeacher(by_length), overwrite=True)
    assert "precious" not in output.read_text()


async def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    """Not even when overwriting is asked for; and a missing input leaves the old output as it is."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    file = jsonl(tmp_path / "in.jsonl", rows(2))
    before = file.read_bytes()
    with pytest.raises(RunStateError, match="is the input as well"):
        await pipeline.run(file, tmp_path / "." / "in.jsonl", ScriptedTeacher(by_length), overwrite=True)
    with pytest.raises(ConfigError, match="missing"):
        await pipeline.run(tmp_path / "missing.jsonl", file, ScriptedTeacher(by_length), overwrite=True)
    assert file.read_bytes() == before


async def test_missing_columns_are_told_before_the_first_call(tmp_path: Path) -> None:
    """The first row's columns are held against the prompts; no token is bought."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    teacher = ScriptedTeacher(by_length)
    with pytest.raises(ConfigError, match="needs the column 'question'"):
        await pipeline.run(jsonl(tmp_path / "in.jsonl", [{"q": 1}]), tmp_path / "out.jsonl", teacher)
    assert teacher.requests == []


async def test_gz_in_and_out(tmp_path: Path) -> None:
    """Names that end in .gz are packed files."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    source = tmp_path / "in.jsonl.gz"
    source.write_bytes(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows(4))))
    await pipeline.run(source, tmp_path / "out.jsonl.gz", ScriptedTeacher(by_length))
    lines = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line)["n"] for line in lines] == [0, 2]


async def test_a_pipeline_that_asks_needs_a_teacher(tmp_path: Path) -> None:
    """And one that does not, does not."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    with pytest.raises(ConfigError, match="asks a teacher"):
        await pipeline.run(rows(1), tmp_path / "out.jsonl", None)
    plain = write(tmp_path, "  - {name: r, type: RenameColumnsBlock, config: {columns_map: {n: m}}}\n")
    report = await sdg.Pipeline.load(plain).run(rows(3), tmp_path / "plain.jsonl", None)
    assert report.rows == 3


async def test_stream_gives_rows_as_they_come(tmp_path: Path) -> None:
    """Rows of an async iterable arrive one by one; the input is read as they are taken."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))

    async def source() -> AsyncIterator[dict[str, Any]]:
        for row in rows(10):
            yield row

    async with pipeline.stream(source(), ScriptedTeacher(by_length), order="input") as results:
        found = [row["n"] async for row in results]
    assert found == [0, 2, 4, 6, 8]


async def test_leaving_a_stream_early_cancels_cleanly(tmp_path: Path) -> None:
    """An endless input, three rows taken: no task is left, and the source's own cleanup has run."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    cleaned = False

    async def source() -> AsyncIterator[dict[str, Any]]:
        nonlocal cleaned
        try:
            number = 0
            while True:
                yield {"question": f"number {number} ?", "n": number}
                number += 1
        finally:
            cleaned = True

    with anyio.fail_after(10):
        async with pipeline.stream(source(), ScriptedTeacher(by_length)) as results:
            taken = []
            async for row in results:
                taken.append(row["n"])
                if len(taken) == 3:
                    break
    assert len(taken) == 3
    assert cleaned


async def test_errors_of_a_stream_surface_as_themselves(tmp_path: Path) -> None:
    """A bug behind the stream, and one of its reader, come out unwrapped."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    with pytest.raises(ZeroDivisionError):
        async with pipeline.stream(rows(3), ScriptedTeacher(lambda request: str(1 / 0))) as results:
            async for _ in results:
                pass
    with pytest.raises(KeyError):
        async with pipeline.stream(rows(3), ScriptedTeacher(by_length)) as results:
            async for row in results:
                row["missing"]


async def test_cancelling_a_stream_from_outside(tmp_path: Path) -> None:
    """A caller's own deadline ends run and reader; nothing hangs."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    with anyio.move_on_after(0.2) as scope:
        async with pipeline.stream(rows(200), ScriptedTeacher(by_length)):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_two_pipelines_share_one_teacher(tmp_path: Path) -> None:
    """Several runs at a time in one process need nothing but their own outputs."""
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE))
    teacher = ScriptedTeacher(by_length)
    async with anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(pipeline.run, rows(20), tmp_path / f"{number}.jsonl", teacher)
    outputs = [(tmp_path / f"{number}.jsonl").read_text() for number in range(2)]
    assert outputs[0] == outputs[1]
    assert len(teacher.requests) == 40


async def test_the_same_input_and_answers_give_the_same_file(tmp_path: Path) -> None:
    """With input order, two runs are equal byte for byte."""
    pipeline = sdg.Pipeline.load("full/freeform_skills")
    seeds = pipelines_dir() / "examples" / "seeds" / "freeform_skills.jsonl"

    def reply(request: sdg.Request) -> str:
        text = prompt_text(request)
        score = f"[Start of Score]{len(text) % 4}[End of Score]"
        return (
            f"[Start of Question]q{len(text)}[End of Question][Start of Question]q[End of Question]"
            f"[Start of Evaluation]e[End of Evaluation]{score}[Start of Response]r[End of Response]"
            f"[Start of Answer]r[End of Answer]"
        )

    for number in range(2):
        await pipeline.run(seeds, tmp_path / f"{number}.jsonl", ScriptedTeacher(reply))
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()


async def test_what_is_odd_about_an_input_file_is_told_to_the_hook_of_a_run(tmp_path: Path) -> None:
    """Whether rows go to a file or to the reader of a stream, and to nobody else's hook."""
    source, others, told = tmp_path / "in.jsonl", list[Event](), list[Event]()
    source.write_text('{"question": "number 0 ?", "n": 1, "n": 0}\n')
    pipeline = sdg.Pipeline.load(write(tmp_path, JUDGE), hook=others.append)
    await pipeline.run(source, tmp_path / "out.jsonl", ScriptedTeacher(by_length), hook=told.append)
    async with pipeline.stream(source, ScriptedTeacher(by_length), hook=told.append) as results:
        assert [row["n"] async for row in results] == [0]
    assert [event.code for event in told if isinstance(event, Notice)] == ["duplicate_keys"] * 2
    assert [event.code for event in others if isinstance(event, Notice)] == ["default_family"]
