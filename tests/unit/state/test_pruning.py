"""Throwing away kept answers: the rows stay, the room comes back, the lock is respected."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import teacher_that_fails_at, write_pipeline, write_rows

from sdg_stream.errors import RunStateError
from sdg_stream.state.directory import RunLock
from sdg_stream.state.pruning import prune_run, prune_shared
from sdg_stream.state.reading import directory_of, read_cache, read_run, shared_cache

pytestmark = pytest.mark.anyio

COUNT = 200


async def test_answers_are_gone_and_nothing_else(tmp_path: Path) -> None:
    """The database gets smaller by what is told; a finished run is still finished, an edit asks all again."""
    output, source = tmp_path / "out.jsonl", write_rows(tmp_path, COUNT)
    await write_pipeline(tmp_path).run(source, output, teacher_that_fails_at())
    rows, directory = output.read_bytes(), directory_of(output)
    before = directory.state.stat().st_size
    freed = prune_run(directory)
    assert freed == before - directory.state.stat().st_size > 0
    assert read_run(directory).cache.answers == 0
    teacher = teacher_that_fails_at()
    assert (await write_pipeline(tmp_path).run(source, output, teacher)).stopped == "finished before"
    assert teacher.requests == []
    assert output.read_bytes() == rows
    edited = write_pipeline(tmp_path, words="Answer well.")
    await edited.run(source, output, teacher, edited=True)
    assert len(teacher.requests) == COUNT
    assert prune_run(directory) > 0
    assert prune_run(directory) == 0


async def test_a_run_that_holds_the_lock_is_left_alone(tmp_path: Path) -> None:
    """Its answers stay, and who holds it is told."""
    output, source = tmp_path / "out.jsonl", write_rows(tmp_path, 3)
    await write_pipeline(tmp_path).run(source, output, teacher_that_fails_at())
    directory = directory_of(output)
    lock = RunLock(directory.folder)
    lock.acquire()
    with pytest.raises(RunStateError, match="is in use by process"):
        prune_run(directory)
    lock.release()
    assert read_run(directory).cache.answers == 3


async def test_a_shared_folder(tmp_path: Path) -> None:
    """Answers that several outputs share go the same way."""
    output, source = tmp_path / "out.jsonl", write_rows(tmp_path, COUNT)
    await write_pipeline(tmp_path).run(source, output, teacher_that_fails_at(), cache_dir=tmp_path / "cache")
    file = shared_cache(tmp_path / "cache")
    assert prune_shared(file) > 0
    assert read_cache(file).answers == 0


async def test_another_format_is_not_touched(tmp_path: Path) -> None:
    """What this version does not know it does not write to."""
    output, source = tmp_path / "out.jsonl", write_rows(tmp_path, 3)
    await write_pipeline(tmp_path).run(source, output, teacher_that_fails_at())
    directory = directory_of(output)
    directory.state.write_bytes(b"rubbish" * 1000)
    with pytest.raises(RunStateError, match="is damaged"):
        prune_run(directory)
    assert directory.state.read_bytes() == b"rubbish" * 1000
