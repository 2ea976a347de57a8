"""Row 72: the check that looks through all fault tests for the API key does find it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1]

LEAKS = '''
"""Tests that leak the key in many ways; and two that do not."""

import base64, gzip, json, logging, sqlite3, sys, zlib
from urllib.parse import quote

import pytest
from canary import CANARY


def test_leak_in_a_file(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "rows.jsonl").write_text(json.dumps({"key": CANARY}))


def test_leak_quoted(tmp_path):
    (tmp_path / "log").write_text(quote(CANARY, safe=""))


@pytest.mark.parametrize("shift", range(3))
def test_leak_in_base64(tmp_path, shift):
    (tmp_path / "log").write_bytes(base64.b64encode(b"user:"[:3 + shift] + CANARY.encode()))


def test_leak_of_a_part(tmp_path):
    (tmp_path / "log").write_text(CANARY[:26])


def test_leak_in_a_name(tmp_path):
    (tmp_path / quote(CANARY, safe="")).touch()


def test_leak_in_a_torn_packed_file(tmp_path):
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(CANARY.encode() + bytes(range(256)) * 99)[:-20])


def test_leak_over_a_chunks_end(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * ((1 << 20) - 10) + CANARY.encode())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("open_end", [False, True])
def test_leak_in_a_database(tmp_path, packed, open_end):
    database = sqlite3.connect(tmp_path / "state.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE calls (reply BLOB)")
    text = b"." * 5000 + CANARY.encode() + b"." * 5000
    database.execute("INSERT INTO calls VALUES (?)", (zlib.compress(text) if packed else text,))
    database.commit()
    if open_end:
        test_leak_in_a_database.kept = database
    else:
        database.close()


def test_leak_on_stdout():
    print(CANARY)


def test_leak_on_stderr():
    sys.stderr.write(CANARY)


def test_leak_in_a_debug_line():
    logging.getLogger("x").debug("sent %s", CANARY)


def test_leak_in_a_logged_error():
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("x").exception("oh")


class Carrier(Exception):
    def __repr__(self):
        return f"Carrier({CANARY})"


def test_leak_behind_an_error():
    with pytest.raises(KeyError):
        try:
            try:
                raise Carrier
            except Carrier:
                raise ValueError("fine")
        except ValueError as error:
            raise KeyError("fine") from error


def test_leak_in_a_note():
    with pytest.raises(ValueError):
        error = ValueError("fine")
        error.add_note(CANARY)
        raise error


def test_leak_in_a_field_of_one_of_several():
    with pytest.raises(ExceptionGroup):
        error = ValueError("fine")
        error.headers = {"Authorization": CANARY}
        raise ExceptionGroup("fine", [error])


def test_sound(tmp_path):
    (tmp_path / "log").write_text("nothing")
    print("nothing")
    with pytest.raises(ValueError):
        raise ValueError("nothing")


def test_sound_when_allowed(tmp_path, canary):
    (tmp_path / "settings.yaml").write_text(CANARY)
    canary.allow(tmp_path / "settings.yaml")
'''


def test_row_72_the_check_finds_a_key_wherever_it_is() -> None:
    """Each way of leaking it fails its test, and nothing else does."""
    with tempfile.TemporaryDirectory() as folder:  # not looked through itself: these leaks are meant
        told = _run(Path(folder))
    missed = {name for name, outcomes in told.items() if "leak" in name and outcomes == {"PASSED"}}
    assert missed == set()
    assert len(told) == 22
    assert told["test_sound"] == told["test_sound_when_allowed"] == {"PASSED"}


def _run(folder: Path) -> dict[str, set[str]]:
    """The outcomes of each test of ``LEAKS``."""
    (folder / "faults").mkdir()
    (folder / "faults" / "test_leaks.py").write_text(LEAKS)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(folder), "-p", "conftest"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-q", "-rA", "--show-capture=no", "--tb=line", str(folder)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    told: dict[str, set[str]] = {}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\S+)", done.stdout, re.MULTILINE):
        told.setdefault(name, set()).add(outcome)
    return told
