"""Rows 62 and 67 to 69 of the fault catalogue: clocks that jump, slow disks, and blocks with bugs."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from command_line import sdg

import sdg_stream
from sdg_stream.io.row_file import RowFile
from sdg_stream.state import journal

pytestmark = pytest.mark.anyio

PACKAGE = Path(sdg_stream.__file__).parent
COPY = """\
version: "1.0"
blocks:
  - name: copy
    type: DuplicateColumnsBlock
    config: {columns_map: {text: copy}}
"""
BUGGY = """\
version: "1.0"
blocks:
  - name: mine
    type: mine:Mine
    config: {}
"""
MINE = '''\
"""A block that does what its row says."""

import time

from sdg_stream import BlockConfig, RowBlock


class Mine(RowBlock[BlockConfig]):
    """Blocks, breaks or passes."""

    def apply(self, columns):
        if columns["do"] == "sleep":
            time.sleep(0.6)
        if columns["do"] == "break":
            raise ZeroDivisionError("a bug in a block")
        yield columns
'''


def pipeline(folder: Path, text: str) -> Path:
    """A pipeline file, and the module of the block that it may name."""
    (folder / "mine.py").write_text(MINE)
    file = folder / "p.yaml"
    file.write_text(text)
    return file


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """An input file."""
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("jump", [-3600.0, 86400.0])
async def test_row_62_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """An hour back or a day ahead in the middle of a run: the same rows, and seconds that are true."""
    source = write_rows(tmp_path, [{"text": str(number)} for number in range(500)])
    real, looked = time.time, 0

    def jumping() -> float:
        nonlocal looked
        looked += 1
        return real() + (jump if looked > 1 else 0.0)

    monkeypatch.setattr(time, "time", jumping)
    loaded = sdg_stream.Pipeline.load(pipeline(tmp_path, COPY))
    report = await loaded.run(source, tmp_path / "out.jsonl", None)
    assert report.rows == 500
    assert 0 <= report.seconds < 30


def test_row_62_nothing_is_timed_with_the_wall_clock() -> None:
    """Wall time is read for labels, and for the dates that servers give in headers; nowhere else."""
    labels = {"state/directory.py", "state/generations.py"}
    dates = {"teacher/rates.py", "teacher/wire.py"}
    wall = re.compile(r"\btime\.time\(|datetime\.now\(|utcnow\(")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for folder in ("engine", "teacher", "state", "blocks", "io")
        for path in (PACKAGE / folder).rglob("*.py")
        if wall.search(path.read_text(encoding="utf-8"))
    }
    assert found == labels | dates


async def test_row_67_a_slow_disk_holds_the_feed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes 20 ms a write: what is held stays within a quarter MiB and a root."""
    held: list[int] = []
    write, add = RowFile.write, journal.Journal.settle

    def slowly(self: RowFile, rows: Any) -> None:
        time.sleep(0.02)
        write(self, rows)

    async def settle(self: journal.Journal, settled: Any) -> None:
        await add(self, settled)
        held.append(sum(len(file.held.data) for file in self._files))

    monkeypatch.setattr(RowFile, "write", slowly)
    monkeypatch.setattr(journal.Journal, "settle", settle)
    source = write_rows(tmp_path, [{"text": "x" * 1000} for _ in range(3000)])
    loaded = sdg_stream.Pipeline.load(pipeline(tmp_path, COPY))
    report = await loaded.run(source, tmp_path / "out.jsonl", None)
    assert report.rows == 3000
    assert max(held) < journal.MAX_HELD_BYTES // 2 + 4096


async def test_row_68_a_bug_in_a_block_stops_the_run_and_names_it(tmp_path: Path) -> None:
    """Exit 1 with the traceback, block and root; what settled before is kept, and the mended block goes on.

    The catalogue would go on with other records; by design a bug stops the run, so that it is seen.
    """
    pipeline(tmp_path, BUGGY)
    rows = [{"do": "pass", "n": number} for number in range(5)] + [{"do": "break", "n": 5}]
    write_rows(tmp_path, rows)
    command = ("run", "p.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--plugins", ".")
    done = await sdg(tmp_path, *command)
    assert done.returncode == 1
    assert "ZeroDivisionError: a bug in a block" in done.stderr
    assert "in block 'mine' (mine:Mine), root 5" in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5
    (tmp_path / "mine.py").write_text(MINE.replace("raise ZeroDivisionError", "str"))
    done = await sdg(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["n"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == list(
        range(6)
    )


async def test_row_69_a_block_that_blocks_the_loop_is_named(tmp_path: Path) -> None:
    """time.sleep in a block: the run goes on, and a warning says which block, and what to do."""
    pipeline(tmp_path, BUGGY)
    write_rows(tmp_path, [{"do": "sleep", "n": 0}, {"do": "pass", "n": 1}])
    with anyio.fail_after(30):
        done = await sdg(tmp_path, "run", "p.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--plugins", ".")
    assert done.returncode == 0, done.stderr
    assert "block 'mine' held up the event loop" in done.stderr
    assert "to_thread" in done.stderr
