"""Who uses a run directory: told by the lock file and the system, without a try at the lock."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from sdg_stream.state import holder
from sdg_stream.state.directory import RunLock
from sdg_stream.state.holder import parse_holder, use_of


def write_lock(folder: Path, process: int) -> Path:
    """A lock file as a process of this machine leaves it."""
    file = folder / "lock"
    file.write_bytes(orjson.dumps([process, socket.gethostname(), 0.0]))
    return file


def ended_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("listed", [True, False])
def test_a_lock_that_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool) -> None:
    """Its process is named, where the system lists locks and where it does not."""
    if not listed:
        monkeypatch.setattr(holder, "_LOCKS", tmp_path / "none")
    lock = RunLock(tmp_path)
    lock.acquire()
    found, use = use_of(tmp_path / "lock")
    assert found is not None
    assert (found.process, found.host, use) == (os.getpid(), socket.gethostname(), "yes")
    lock.release()


def test_a_process_that_has_its_number_now_is_another(tmp_path: Path) -> None:
    """A live process without any lock is not taken for the one that was killed."""
    if not Path("/proc/locks").exists():
        pytest.skip("this system does not list its locks")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert use_of(write_lock(tmp_path, process.pid))[1] == "no"


@pytest.mark.parametrize("listed", [True, False])
def test_a_process_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool) -> None:
    """Nobody uses it, whatever the file says; numbers that no process has are no surprise."""
    if not listed:
        monkeypatch.setattr(holder, "_LOCKS", tmp_path / "none")
    for process in (ended_process(), 0, -1, 2**62):
        assert use_of(write_lock(tmp_path, process))[1] == "no"


NOTHING = [
    b"",
    b"[1]",
    b"[1, 2, 3, 4]",
    b'["x", "y", 3]',
    b"null",
    b"\xff",
    b"[1, {}, []]",
    b'[1, "h", 1e300]',
]


@pytest.mark.parametrize("text", NOTHING)
def test_a_lock_file_that_says_nothing(tmp_path: Path, text: bytes) -> None:
    """Empty, damaged, or none at all."""
    assert parse_holder(text) is None
    (tmp_path / "lock").write_bytes(text)
    assert use_of(tmp_path / "lock") == (None, "no")
    assert use_of(tmp_path / "none") == (None, "no")
