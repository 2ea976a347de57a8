"""Rows 40, 42 to 44 and 47 to 50 of the fault catalogue, as whole runs: what people see of odd inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import PROMPT, sdg, write_project

import sdg_stream
from sdg_stream.abc import Request
from sdg_stream.errors import ConfigError
from sdg_stream.io.jsonl import JsonlSource
from sdg_stream.testing.scripted import Reply, ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

KEEP = """\
version: "1.0"
blocks:
  - name: keep
    type: FilterByValueBlock
    config: {filter_column: a, filter_value: 1, operation: eq}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline that keeps the rows in which ``a`` is 1."""
    (tmp_path / "keep.yaml").write_text(KEEP)
    return tmp_path


async def run(folder: Path, data: bytes, *options: str) -> tuple[int, str, list[Any], list[Any]]:
    """Run ``keep.yaml`` on an input: exit code, what was said, rows, rejects."""
    (folder / "in.jsonl").write_bytes(data)
    done = await sdg(folder, "run", "keep.yaml", "-i", "in.jsonl", "-o", "out.jsonl", *options)
    return (
        done.returncode,
        done.stderr,
        rows_of(folder / "out.jsonl"),
        rows_of(folder / "out.jsonl.run/rejects.jsonl"),
    )


def rows_of(path: Path) -> list[Any]:
    """What a file of rows holds."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_rows_44_and_47_good_rows_of_a_bad_file_are_kept(folder: Path) -> None:
    """Byte order mark, CR LF, blank lines, no last line feed; each bad line is a reject with its number."""
    bad = b'[1]\n{"a":1\n{"a":NaN}\n{"a":99999999999999999999}\n'
    data = b'\xef\xbb\xbf{"a":1,"n":1}\r\n\r\n' + bad + b'\n{"a":1,"n":2}'
    code, said, rows, rejects = await run(folder, data, "--max-reject-rate", "1")
    assert (code, rows) == (0, [{"a": 1, "n": 1}, {"a": 1, "n": 2}])
    assert "roots     6 = 2 accepted + 0 filtered + 4 rejected + 0 pending" in said
    assert [reject["reason"] for reject in rejects] == ["bad_input"] * 4
    assert [reject["message"].partition(":")[0] for reject in rejects] == [
        "line 3",
        "line 4",
        "line 5",
        "line 6",
    ]


async def test_row_47_a_limit_on_bad_lines_ends_the_run(folder: Path) -> None:
    """The latest bad line is named, as the mistake in the input that it is."""
    (folder / "in.jsonl").write_bytes(b'{"a":1}\n' * 500 + b"x\nx\nx\n" + b'{"a":1}\n')
    pipeline = sdg_stream.Pipeline.load(folder / "keep.yaml")
    with pytest.raises(
        ConfigError, match=r"in\.jsonl:503: not JSON.* bad lines so far: 3, --max-bad-input is 2"
    ):
        await pipeline.run(JsonlSource(folder / "in.jsonl", max_bad=2), folder / "out.jsonl", None)
    assert len(rows_of(folder / "out.jsonl")) <= 500


async def test_row_48_a_missing_column_is_seen_before_anything_is_written(folder: Path) -> None:
    """The block that needs it, and the columns that there are; with all others that are missing, too."""
    code, said, rows, _ = await run(folder, b'{"b":1}\n')
    assert (code, rows) == (2, [])
    assert "keep.yaml:3: $.blocks[0]: needs the column 'a'" in said
    assert "the first row of in.jsonl has: b" in said


async def test_row_48_a_column_that_some_rows_lack_rejects_those(folder: Path) -> None:
    """What cannot be seen before is a matter of each row: missing, or of a kind that cannot be compared."""
    code, _, rows, rejects = await run(folder, b'{"a":1}\n{"b":1}\n{"a":1}\n')
    assert (code, rows) == (0, [{"a": 1}, {"a": 1}])
    assert [(reject["root"], reject["stage"], reject["reason"]) for reject in rejects] == [
        (1, "keep", "missing_column")
    ]


async def test_row_49_equal_rows_stay_two(folder: Path) -> None:
    """A row is known by its place in the input: what looks like an id means nothing; none are merged."""
    code, said, rows, _ = await run(folder, b'{"id":7,"a":1}\n{"id":7,"a":1}\n{"id":7,"a":1,"b":2}\n')
    assert (code, rows) == (0, [{"id": 7, "a": 1}, {"id": 7, "a": 1}, {"id": 7, "a": 1, "b": 2}])
    assert "roots     3 = 3 accepted" in said


@pytest.mark.parametrize("data", [b"", b"\n \n\n", b"\xef\xbb\xbf"])
async def test_row_50_an_empty_input_is_told_loudly(folder: Path, data: bytes) -> None:
    """It is no mistake, and leaves an empty output; but nobody can miss it."""
    code, said, rows, _ = await run(folder, data)
    assert (code, rows, (folder / "out.jsonl").read_bytes()) == (0, [], b"")
    assert "WARNING: the input holds no rows" in said


async def test_row_50_everything_filtered_is_told_with_the_funnel(folder: Path) -> None:
    """Exit code 3, unlike the catalogue's 0, so that scripts notice; and where the records were lost."""
    code, said, rows, _ = await run(folder, b'{"a":2}\n{"a":3}\n')
    assert (code, rows) == (3, [])
    assert "roots     2 = 0 accepted + 2 filtered + 0 rejected + 0 pending" in said
    assert "filtered at block keep (2 of 2)" in said
    assert "Exit code 3: no row was accepted." in said


async def test_row_40_a_template_in_a_row_is_sent_as_it_stands(tmp_path: Path) -> None:
    """Neither prompts nor replies that hold templates are ever rendered, nor what becomes of them."""
    write_project(tmp_path)
    topic, sent = "{{7*7}}{% include '/etc/passwd' %}", []

    def reply(request: Request) -> Reply:
        sent.append(prompt_text(request))
        return "{{ 7*'7' }}"

    async with sdg_stream.Pipeline.load(tmp_path / "ask.yaml").stream(
        [{"topic": topic}], ScriptedTeacher(reply)
    ) as results:
        assert [row async for row in results] == [{"topic": topic, "answer": "{{ 7*'7' }}"}]
    assert f"Tell me about {topic}." in sent[0]


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.yaml", "link.yaml", "prompts/../../secret.yaml"])
async def test_row_42_a_pipeline_reads_only_what_is_around_it(tmp_path: Path, path: str) -> None:
    """Absolute, climbing, by a link: refused with its place and the option that allows it, which works."""
    (tmp_path / "secret.yaml").write_text(PROMPT)
    folder = tmp_path / "mine"
    (folder / "prompts").mkdir(parents=True)
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    write_project(folder)
    (folder / "ask.yaml").write_text((folder / "ask.yaml").read_text().replace("prompt.yaml", path))
    done = await sdg(folder, "check", "ask.yaml")
    assert done.returncode == 2
    assert f"ask.yaml:5: $.blocks[0].config: '{path}' is " in done.stderr
    assert "outside of the pipeline's folder" in done.stderr
    assert "--allow-path" in done.stderr
    if path != "/etc/passwd":
        allowed = await sdg(folder, "check", "ask.yaml", "--allow-path", str(tmp_path))
        assert allowed.returncode == 0, allowed.stderr
        assert sdg_stream.Pipeline.load(folder / "ask.yaml", allow_paths=[tmp_path]).check() == []
