"""Reading a run directory without disturbing anybody: every state that a run can be in, and every damage."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from run_folders import number_in, teacher_that_fails_at, write_pipeline, write_rows

import sdg_stream as sdg
from sdg_stream.errors import RunStateError, TeacherUnusable
from sdg_stream.state.directory import RunLock
from sdg_stream.state.reading import (
    KILLED,
    NOT_BEGUN,
    RUNNING,
    RunSummary,
    directory_of,
    read_cache,
    read_run,
    shared_cache,
)
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio


def read(path: Path) -> RunSummary:
    """The summary of a run."""
    return read_run(directory_of(path))


def change(output: Path, statement: str, *parameters: Any) -> None:
    """Change the database of a run behind its back."""
    with closing(sqlite3.connect(f"{output}.run/state.db", isolation_level=None)) as connection:
        connection.execute(statement, parameters)


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Without the rights of root, who may write everywhere."""
    own = os.geteuid()
    if not own:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)


async def run(folder: Path, count: int = 3, *, bad: tuple[int, ...] = (), **options: Any) -> Path:
    """A finished run; its output."""
    output = folder / "out.jsonl"
    source = write_rows(folder, count)
    await write_pipeline(folder).run(source, output, teacher_that_fails_at(*bad), **options)
    return output


async def test_a_finished_run(tmp_path: Path) -> None:
    """Account, session, tokens, cache, input and command; nothing is pending."""
    output = await run(tmp_path, bad=(1,), keep=sdg.Keep(command="sdg-stream run this"))
    found = read(output)
    assert (found.state, found.used_by, found.again) == ("finished", "", 0)
    assert found.account is not None
    assert (found.account.accepted, found.account.rejected, found.account.rows) == (2, 1, 2)
    assert found.account.blocks[0].rejected == {"unparsed_reply": 1}
    assert (found.settled_below, found.settled_beyond) == (3, 0)
    assert [session.ended for session in found.sessions] == ["finished"]
    assert (found.attempts, found.prompt_tokens, found.completion_tokens) == (3, 30, 6)
    assert (found.cache.answers, found.cache.bytes > 100) == (3, True)
    assert found.input == str(tmp_path / "in.jsonl")
    assert found.command == "sdg-stream run this"
    assert found.pipeline == str(tmp_path / "pipeline.yaml")
    assert found == read(Path(f"{output}.run"))


async def test_reading_changes_no_file(tmp_path: Path) -> None:
    """Every byte of every file is as before."""
    output = await run(tmp_path)

    def files() -> dict[str, bytes]:
        folder = Path(f"{output}.run")
        return {file.name: file.read_bytes() for file in folder.iterdir() if file.stat().st_size}

    before = files()
    read(output)
    after = files()
    after.pop("state.db-shm", None)  # of SQLite's readers; it holds nothing
    assert after == before


async def test_a_run_under_way_is_seen_and_not_disturbed(tmp_path: Path) -> None:
    """While the run holds the lock its state is running, with who runs it; it goes on as if nothing was."""
    output = tmp_path / "out.jsonl"
    seen: list[RunSummary] = []

    def reply(request: sdg.Request) -> str:
        if number_in(request) == 2:
            seen.append(read(output))
        return "[A]x[/A]"

    report = await write_pipeline(tmp_path).run(write_rows(tmp_path, 3), output, ScriptedTeacher(reply))
    assert report.accepted == 3
    assert [found.state for found in seen] == [RUNNING]
    assert f"on {socket.gethostname()}, since " in seen[0].used_by
    assert seen[0].account is None
    assert read(output).state == "finished"


async def test_a_session_that_failed_is_named_by_its_error(tmp_path: Path) -> None:
    """The error ends the session; the next one goes on, and both are there."""
    output, source = tmp_path / "out.jsonl", write_rows(tmp_path, 3)
    pipeline = write_pipeline(tmp_path)
    with pytest.raises(TeacherUnusable):
        await pipeline.run(source, output, teacher_that_fails_at(at_2=TeacherUnusable("gone")))
    assert read(output).state == "TeacherUnusable"
    await pipeline.run(source, output, teacher_that_fails_at())
    found = read(output)
    assert [session.ended for session in found.sessions] == ["TeacherUnusable", "finished"]
    assert [session.attempts for session in found.sessions] == [3, 1]
    assert (found.attempts, found.prompt_tokens) == (4, 40)


async def test_a_killed_session_is_one_without_an_end(tmp_path: Path) -> None:
    """Nobody has the lock, and no end was written; begun on another machine, nobody knows."""
    output = await run(tmp_path)
    change(output, "update sessions set ended = null")
    assert read(output).state == KILLED
    lock = Path(f"{output}.run/lock")
    lock.write_bytes(orjson.dumps([1, "elsewhere", 0]))
    assert read(output).state == "killed or running"
    assert read(output).used_by.startswith("process 1 on elsewhere, since 1970-01-01")
    lock.write_bytes(b"rubbish")
    assert read(output).state == KILLED


async def test_a_budget_is_how_a_session_ends(tmp_path: Path) -> None:
    """The end of a session is told in the words of the report."""
    output = await run(tmp_path, limits=sdg.Limits(max_candidates=2))
    found = read(output)
    assert found.state == "candidate cap"
    assert (found.settled_below, found.settled_beyond) == (2, 0)


async def test_an_edited_run_beside_the_output(tmp_path: Path) -> None:
    """Until it is finished, the account is still that of the output; what is pending is of the edited run."""
    output = await run(tmp_path)
    edited = write_pipeline(tmp_path, words="Answer well.")
    failing = teacher_that_fails_at(at_1=TeacherUnusable("gone"))
    with pytest.raises(TeacherUnusable):
        await edited.run(tmp_path / "in.jsonl", output, failing, edited=True, order="none")
    found = read(output)
    assert found.account is not None
    assert found.account.rows == 3
    assert found.edited is not None
    assert found.edited.roots == found.settled_below + found.settled_beyond < 3
    await edited.run(tmp_path / "in.jsonl", output, teacher_that_fails_at())
    assert read(output).edited is None


async def test_roots_that_are_run_again_are_counted(tmp_path: Path) -> None:
    """After a retry that failed, the roots whose turn did not come are to be run again still."""
    output = await run(tmp_path, bad=(0, 2))
    with pytest.raises(TeacherUnusable):
        await write_pipeline(tmp_path).run(
            tmp_path / "in.jsonl",
            output,
            teacher_that_fails_at(at_2=TeacherUnusable("gone"), at_0=TeacherUnusable("gone")),
            retry_rejected=True,
        )
    found = read(output)
    assert (found.again, found.settled_below, found.settled_beyond) == (2, 3, 0)


async def test_shared_answers(tmp_path: Path) -> None:
    """Answers of a cache folder are counted there; the run directory has none."""
    output = await run(tmp_path, cache_dir=tmp_path / "cache")
    assert read(output).cache.answers == 0
    assert read_cache(shared_cache(tmp_path / "cache")).answers == 3
    with pytest.raises(RunStateError, match=r"holds no answers \(calls.db\)"):
        shared_cache(tmp_path)


async def test_reading_where_nothing_can_be_written(tmp_path: Path) -> None:
    """In a folder of somebody else a run can be looked at; one with a WAL cannot, which is told."""
    output = await run(tmp_path)
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder, "out.jsonl.run")
        shutil.copytree(f"{output}.run", theirs)
        for path, mode in ((Path(folder), 0o555), (theirs, 0o555), (theirs / "state.db", 0o444)):
            path.chmod(mode)
        with as_somebody_else():
            assert read(theirs).state == "finished"
        theirs.chmod(0o755)
        (theirs / "state.db-wal").write_bytes(b"something")
        (theirs / "state.db-wal").chmod(0o444)
        theirs.chmod(0o555)
        with as_somebody_else(), pytest.raises(RunStateError, match=r"state.db cannot be read: "):
            read(theirs)
        for path in (Path(folder), theirs):
            path.chmod(0o755)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update meta set value = 99 where key = 'format'", "of format 99, .* a newer version"),
        ("update meta set value = 0 where key = 'format'", "of format 0, .* an older version"),
        ("update meta set value = 'x' where key = 'format'", "of format x, .* an older version"),
        ("delete from meta where key = 'format'", "no run has begun here"),
        ("drop table sessions", "is damaged .no such table: sessions"),
        ("update generations set account = '{]'", "is damaged"),
        ("update generations set account = '{\"roots\": []}'", "is damaged"),
        ("update sessions set usage = '[1]'", "is damaged"),
        ("update sessions set seconds = 'long'", "is damaged"),
    ],
)
async def test_a_damaged_or_foreign_database_is_told_in_words(
    tmp_path: Path, statement: str, words: str
) -> None:
    """Whatever is wrong with it, it is a RunStateError that names the file."""
    output = await run(tmp_path)
    change(output, statement)
    with pytest.raises(RunStateError, match=rf"out.jsonl.run/state.db.*{words}"):
        read(output)


@pytest.mark.parametrize("junk", [b"", b"rubbish" * 1000])
async def test_a_file_that_is_no_database(tmp_path: Path, junk: bytes) -> None:
    """An empty file, and one of something else."""
    output = await run(tmp_path)
    Path(f"{output}.run/state.db").write_bytes(junk)
    with pytest.raises(RunStateError, match=r"state\.db"):
        read(output)


async def test_pages_that_are_overwritten(tmp_path: Path) -> None:
    """A database whose later pages are rubbish is damaged, in words."""
    output = await run(tmp_path)
    file = Path(f"{output}.run/state.db")
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096))
    with pytest.raises(RunStateError, match="damaged"):
        read(output)


async def test_a_run_that_was_moved_knows_what_its_command_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever path it is looked at; one that was not moved has nothing to say."""
    (tmp_path / "old").mkdir()
    output = await run(tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    assert (read(output).typed_for, read(Path("out.jsonl")).typed_for) == ("", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").rename(tmp_path / "new")
    assert read(tmp_path / "new" / "out.jsonl").typed_for == str(output)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
async def test_a_run_file_with_an_odd_name_is_no_trouble(tmp_path: Path, name: str) -> None:
    """Whatever somebody has written there, the run can be looked at."""
    output = await run(tmp_path)
    noted = Path(f"{output}.run/run.json")
    noted.write_bytes(orjson.dumps({**orjson.loads(noted.read_bytes()), "output": name}))
    assert read(output).state == "finished"


async def test_a_run_file_that_somebody_changed_is_passed_over(tmp_path: Path) -> None:
    """It only says what is not known otherwise."""
    output = await run(tmp_path)
    Path(f"{output}.run/run.json").write_text("{")
    assert (read(output).state, read(output).command) == ("finished", "")


def test_a_session_that_has_not_begun(tmp_path: Path) -> None:
    """A run directory with a lock alone has no journal; one whose database is new has no session."""
    folder = tmp_path / "out.jsonl.run"
    folder.mkdir()
    lock = RunLock(folder)
    lock.acquire()
    with pytest.raises(RunStateError, match=r"out\.jsonl\.run holds no journal"):
        directory_of(tmp_path / "out.jsonl")
    lock.release()


async def test_no_session_in_a_new_database(tmp_path: Path) -> None:
    """Tables without a row are a run that has not begun."""
    output = await run(tmp_path)
    for table in ("sessions", "generations", "batches"):
        change(output, f"delete from {table}")
    assert (read(output).state, read(output).account) == (NOT_BEGUN, None)


async def test_where_there_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names runs that are near; odd paths are mistakes as well, not surprises."""
    await run(tmp_path)
    with pytest.raises(RunStateError, match=r"nope has no run directory.*these are in .*: out\.jsonl\.run"):
        directory_of(tmp_path / "nope")
    for path in (tmp_path, Path("/"), tmp_path / ("x" * 300), tmp_path / "in.jsonl" / "deeper"):
        with pytest.raises(RunStateError):
            directory_of(path)
    monkeypatch.chdir(f"{tmp_path}/out.jsonl.run")
    assert directory_of(Path()).output == tmp_path / "out.jsonl"
