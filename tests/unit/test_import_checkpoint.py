"""Taking over what upstream has made: rows once, in order, journaled like any others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import sdg_stream as sdg
from sdg_stream.errors import ConfigError, RunStateError, TeacherUnusable
from sdg_stream.events import Event, Notice
from sdg_stream.state.reading import directory_of, read_run
from sdg_stream.testing.edges import ListSink
from sdg_stream.testing.scripted import ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

PROMPT = """
system: ""
introduction: Answer.
principles: ""
examples: ""
generation: "number {{n}} ?"
start_tags: ["[A]"]
end_tags: ["[/A]"]
"""
ASK = "  - {name: ask, type: LLMBlock, config: {config_path: prompt.yaml, output_cols: [a]}}\n"
DISTINCT = ASK.replace("}}", "}, drop_duplicates: [a]}")
VOTE = "  - {name: vote, type: SetToMajorityValueBlock, config: {col_name: a}}\n"
RENAME = """
  - {name: copy, type: DuplicateColumnsBlock, config: {columns_map: {n: m}}}
  - {name: rename, type: RenameColumnsBlock, config: {columns_map: {n: raw, m: n}}}
"""


def load(folder: Path, blocks: str = ASK) -> sdg.Pipeline:
    """A pipeline of these blocks."""
    (folder / "prompt.yaml").write_text(PROMPT)
    (folder / "pipeline.yaml").write_text(f"version: '1.0'\nblocks:\n{blocks}")
    return sdg.Pipeline.load(folder / "pipeline.yaml")


def jsonl(file: Path, rows: Iterable[Any]) -> Path:
    """A JSONL file."""
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def numbers(folder: Path, *wanted: int) -> Path:
    """An input of these numbers."""
    return jsonl(folder / "in.jsonl", [{"n": n} for n in wanted])


def checkpoint(folder: Path, rows: Iterable[Any]) -> Path:
    """A checkpoint folder of these rows."""
    return jsonl(folder / "checkpoint" / "data_checkpoint_1.jsonl", rows).parent


def made(*pairs: tuple[int, str]) -> list[dict[str, Any]]:
    """Finished rows."""
    return [{"n": n, "a": a} for n, a in pairs]


def rows_in(file: Path) -> list[tuple[int, str]]:
    """The output, in short."""
    return [(row["n"], row["a"]) for row in map(json.loads, file.read_text().splitlines())]


def teacher(*, bad: int | None = None) -> ScriptedTeacher:
    """Answers a number with its text; is unusable when asked about the ``bad`` one."""

    def reply(request: sdg.Request) -> Any:
        number = int(prompt_text(request).split("number ")[1].split()[0])
        return TeacherUnusable("gone") if number == bad else f"[A]{number}[/A]"

    return ScriptedTeacher(reply)


def notices(events: list[Event]) -> dict[str, str]:
    """The last notice of each code."""
    return {event.code: event.message for event in events if isinstance(event, Notice)}


@pytest.mark.parametrize("order", ["input", "none"])
async def test_rows_are_taken_over_and_not_asked_for(tmp_path: Path, order: Any) -> None:
    """Input rows with rows are settled with them, the others are asked for; all in input order."""
    folder = checkpoint(tmp_path, made((2, "x"), (2, "y"), (0, "z")))
    output, asked = tmp_path / "out.jsonl", teacher()
    report = await load(tmp_path).run(
        numbers(tmp_path, 0, 1, 2, 3), output, asked, import_checkpoint=folder, order=order
    )
    found = rows_in(output)
    assert (found if order == "input" else sorted(found)) == [
        (0, "z"),
        (1, "1"),
        (2, "x"),
        (2, "y"),
        (3, "3"),
    ]
    assert len(asked.requests) == 2
    assert (report.accepted, report.imported, report.rows) == (4, 2, 5)
    assert (report.blocks[0].records_in, report.pending) == (2, 0)
    summary = read_run(directory_of(output))
    assert summary.account is not None
    assert (summary.account.imported, summary.settled_below) == (2, 4)
    again = await load(tmp_path).run(tmp_path / "in.jsonl", output, asked, import_checkpoint=folder)
    assert (again.stopped, again.imported) == ("finished before", 2)


@pytest.mark.parametrize("order", ["input", "none"])
@pytest.mark.parametrize("bad", [0, 3, 5])
async def test_a_run_that_failed_goes_on(tmp_path: Path, order: Any, bad: int) -> None:
    """Nothing is taken over twice, equal input rows included, and no row is lost."""
    folder = checkpoint(tmp_path, made((1, "x"), (2, "y"), (4, "z")))
    source, output = numbers(tmp_path, 0, 1, 1, 2, 3, 4, 5, 1), tmp_path / "out.jsonl"
    pipeline = load(tmp_path)
    with pytest.raises(TeacherUnusable):
        await pipeline.run(source, output, teacher(bad=bad), import_checkpoint=folder, order=order)
    report = await pipeline.run(source, output, teacher(), import_checkpoint=folder, order=order)
    found = rows_in(output)
    wanted = [(0, "0"), (1, "x"), (2, "y"), (3, "3"), (4, "z"), (5, "5")]
    assert (found if order == "input" else sorted(found)) == wanted
    assert (report.accepted, report.filtered, report.imported) == (6, 2, 5)


async def test_what_a_person_should_know_is_told(tmp_path: Path) -> None:
    """Weaknesses before, what was equal or left over at the end; blocks that do not see these rows."""
    folder = checkpoint(tmp_path, made((1, "x"), (9, "y")))
    events: list[Event] = []
    await load(tmp_path, DISTINCT + VOTE).run(
        numbers(tmp_path, 1, 1),
        tmp_path / "out.jsonl",
        teacher(),
        import_checkpoint=folder,
        hook=events.append,
    )
    weaknesses = [
        event.message for event in events if isinstance(event, Notice) and event.code == "import_weakness"
    ]
    assert "Rows that are taken over do not pass drop_duplicates: later rows may repeat them." in weaknesses
    assert "Rows that are taken over do not pass vote, which sees the others." in weaknesses
    assert len(weaknesses) == len(set(weaknesses)) > 4
    told = notices(events)
    assert told["import_repeated"].startswith("1 input row equal to one before")
    assert told["import_unused"] == f"1 row of {folder} left out, which belong to no input row"


async def test_a_barrier_is_passed_by(tmp_path: Path) -> None:
    """Rows that are taken over have no vote and get none; also when the run goes on behind the barrier."""
    folder = checkpoint(tmp_path, made((0, "mine"), (2, "mine")))
    source, output = numbers(tmp_path, 0, 1, 2, 3), tmp_path / "out.jsonl"
    pipeline = load(tmp_path, ASK + VOTE)
    with pytest.raises(TeacherUnusable):
        await pipeline.run(source, output, teacher(bad=3), import_checkpoint=folder)
    report = await pipeline.run(source, output, teacher(), import_checkpoint=folder)
    assert rows_in(output) == [(0, "mine"), (1, "1"), (2, "mine"), (3, "1")]
    assert (report.accepted, report.imported, report.blocks[1].records_in) == (4, 2, 2)


async def test_renamed_columns_are_followed(tmp_path: Path) -> None:
    """As in full/knowledge: the input's column has its value in the rows under another name."""
    folder = checkpoint(tmp_path, [{"n": 7, "raw": 1, "q": 1}, {"n": 8, "raw": 1, "q": 2}])
    events: list[Event] = []
    output = tmp_path / "out.jsonl"
    report = await load(tmp_path, RENAME).run(
        numbers(tmp_path, 1, 2), output, None, import_checkpoint=folder, hook=events.append
    )
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {"n": 7, "raw": 1, "q": 1},
        {"n": 8, "raw": 1, "q": 2},
        {"raw": 2, "n": 2},
    ]
    assert report.imported == 1
    assert "import_unused" not in notices(events)


async def test_an_overwritten_column_is_named(tmp_path: Path) -> None:
    """Rows that the pipeline gave another value there are left over: how many, and which column it is."""
    folder = checkpoint(tmp_path, [{"n": 1, "a": "corrected"}, {"n": 1, "a": "as it was"}])
    source = jsonl(tmp_path / "in.jsonl", [{"n": 1, "a": "as it was"}])
    events: list[Event] = []
    report = await load(tmp_path).run(
        source, tmp_path / "out.jsonl", teacher(), import_checkpoint=folder, hook=events.append
    )
    assert (report.imported, report.rows) == (1, 1)
    assert notices(events)["import_unused"] == (
        f"1 row of {folder} left out, which belong to no input row: the pipeline writes to a, by which"
        " rows are recognised"
    )


async def test_another_checkpoint_is_another_run(tmp_path: Path) -> None:
    """Going on without it, with another, or beginning with it later is refused; --edited accepts it."""
    folder = checkpoint(tmp_path, made((1, "x")))
    source, output = numbers(tmp_path, 0, 1, 2), tmp_path / "out.jsonl"
    pipeline = load(tmp_path)
    with pytest.raises(TeacherUnusable):
        await pipeline.run(source, output, teacher(bad=2), import_checkpoint=folder)
    with pytest.raises(RunStateError, match=r'imported checkpoint was "1 file, .*", is not set'):
        await pipeline.run(source, output, teacher())
    checkpoint(tmp_path, made((1, "other")))
    with pytest.raises(RunStateError, match="imported checkpoint was"):
        await pipeline.look(source, output, import_checkpoint=folder)
    asked = teacher()
    await pipeline.run(source, output, asked, import_checkpoint=folder, edited=True)
    assert rows_in(output) == [(0, "0"), (1, "other"), (2, "2")]
    assert len(asked.requests) == 1
    plain = tmp_path / "plain.jsonl"
    await pipeline.run(source, plain, teacher())
    with pytest.raises(RunStateError, match=r'imported checkpoint was not set, is "1 file'):
        await pipeline.run(source, plain, teacher(), import_checkpoint=folder)


async def test_mistakes_are_told_before_anything_is_written(tmp_path: Path) -> None:
    """No folder, no file, a damaged row: the output of before stays, also with overwrite."""
    source, output = numbers(tmp_path, 0), tmp_path / "out.jsonl"
    output.write_text("precious\n")
    folder = checkpoint(tmp_path, [[1]])
    pipeline = load(tmp_path)
    for mistaken in (folder, tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError):
            await pipeline.run(source, output, teacher(), import_checkpoint=mistaken, overwrite=True)
    with pytest.raises(ConfigError, match="no such folder"):
        await pipeline.look(
            source, output, import_checkpoint=tmp_path / "none", keep=sdg.Keep(overwrite=True)
        )
    assert output.read_text() == "precious\n"


async def test_a_sink_and_an_iterable(tmp_path: Path) -> None:
    """Without a run directory rows are taken over as well."""
    folder = checkpoint(tmp_path, made((1, "x")))
    sink = ListSink()
    await load(tmp_path).run([{"n": 1}, {"n": 2}], sink, teacher(), import_checkpoint=folder)
    assert sink.rows == made((1, "x"), (2, "2"))


async def test_provenance_tells_that_no_call_was_made(tmp_path: Path) -> None:
    """A row that was taken over has its root and path, and cost nothing here."""
    folder = checkpoint(tmp_path, made((1, "x")))
    load(tmp_path)
    pipeline = sdg.Pipeline.load(tmp_path / "pipeline.yaml", sdg.Settings(provenance=True))
    output = tmp_path / "out.jsonl"
    await pipeline.run(numbers(tmp_path, 1), output, teacher(), import_checkpoint=folder)
    assert json.loads(output.read_text())["provenance"] == {"root": 0, "path": [0], "calls": []}


async def test_targets_and_limits_count_them(tmp_path: Path) -> None:
    """Rows that are taken over count towards a target, their input rows towards a limit."""
    folder = checkpoint(tmp_path, made((0, "x"), (0, "y"), (1, "z")))
    source, output = numbers(tmp_path, 0, 1, 2, 3), tmp_path / "out.jsonl"
    pipeline = load(tmp_path)
    limits = sdg.Limits(target=2)
    report = await pipeline.run(source, output, teacher(), import_checkpoint=folder, limits=limits)
    assert (report.stopped, report.rows >= 2) == ("target reached", True)
    report = await pipeline.run(source, output, teacher(), import_checkpoint=folder, limit=3)
    assert rows_in(output) == [(0, "x"), (0, "y"), (1, "z"), (2, "2")]
    assert (report.roots, report.imported) == (3, 2)
