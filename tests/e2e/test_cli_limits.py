"""Targets and budgets as typed, with a simulated teacher."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import sdg, write_project

pytestmark = pytest.mark.anyio

RUN = ("run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--simulate", "--progress", "none")
MAJORITY = """\
version: "1.0"
blocks:
  - name: vote
    type: SetToMajorityValueBlock
    config: {col_name: topic}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline with one call a row, and an input of 400 rows."""
    write_project(tmp_path)
    rows = (f'{{"topic": "tides {number}"}}\n' for number in range(400))
    (tmp_path / "in.jsonl").write_text("".join(rows))
    return tmp_path


async def test_a_target_ends_the_run_with_success(folder: Path) -> None:
    """40 rows were wanted: the run ends with them or a few more, and the input's rest is not read."""
    done = await sdg(folder, *RUN, "--target", "40")
    assert done.returncode == 0, done.stderr
    assert "stopped (target reached)" in done.stderr
    assert 40 <= len((folder / "out.jsonl").read_text().splitlines()) <= 60


async def test_a_token_budget_is_exit_code_7(folder: Path) -> None:
    """What is in flight is finished and saved; no root is left undecided."""
    done = await sdg(folder, *RUN, "--max-tokens-total", "2000")
    assert done.returncode == 7, done.stderr
    assert "the token budget ended the run" in done.stderr
    assert "0 pending" in done.stderr
    assert 1 <= len((folder / "out.jsonl").read_text().splitlines()) < 400


async def test_a_target_behind_a_barrier_is_refused_before_anything_is_asked(folder: Path) -> None:
    """No row would be finished before the whole input was read: exit 2, and the output is untouched."""
    (folder / "vote.yaml").write_text(MAJORITY)
    done = await sdg(folder, "run", "vote.yaml", *RUN[2:], "--target", "5")
    assert done.returncode == 2, done.stderr
    assert "waits for all records" in done.stderr
    assert not (folder / "out.jsonl").exists()
