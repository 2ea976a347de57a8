"""Runs a driver in a process of its own, with a time limit, and watches it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Outcome", "run_process"]

BEAT = 0.05  # seconds between two looks at a process
TELLING = [
    re.compile(words, re.IGNORECASE)
    for words in (r"\brejects?\b|\bdropped\b", r"poison|\b400\b", r"error|fail|exceed|refus")
]  # what tells most comes first


class Outcome(msgspec.Struct, kw_only=True):
    """How a process ended.

    Attributes:
        line: the JSON that it printed last.
        said: what it said last about something wrong; empty if nothing.
        seconds: from start to end, or until it was killed.
        code: its exit code; None if it ran out of time; negative is a signal.
        tree_mb: most memory that it and its children had together, pages that they share counted once.
    """

    line: dict[str, Any]
    said: str
    seconds: float
    code: int | None
    tree_mb: float


def run_process(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    limit: float,
    *,
    weigh: bool = False,
    kill_when: Callable[[], bool] | None = None,
) -> Outcome:
    """Run a command; whatever it has started is gone afterwards.

    Args:
        command: what to run.
        environment: all its variables.
        folder: for its output.
        limit: seconds after which it is killed.
        weigh: watch its memory.
        kill_when: asked again and again; once it is true, everything is killed.
    """
    begun = time.monotonic()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            command, stdout=out, stderr=err, env=dict(environment), cwd=folder, start_new_session=True
        )
    scale = Scale(process.pid) if weigh else None
    in_time = True
    try:
        while process.poll() is None:
            in_time = time.monotonic() - begun < limit
            if not in_time or (kill_when is not None and kill_when()):
                break
            time.sleep(BEAT)
        seconds = time.monotonic() - begun
    finally:
        _kill_group(process.pid)
        code = process.wait()
    out_text, err_text = (
        (folder / name).read_text(encoding="utf-8", errors="replace").replace(str(folder), "FOLDER")
        for name in ("stdout", "stderr")
    )
    return Outcome(
        line=_last_json(out_text),
        said=_last_words(f"{out_text}\n{err_text}"),
        seconds=seconds,
        code=code if in_time else None,
        tree_mb=scale.stop() if scale else 0.0,
    )


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _last_json(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue
            return found
    return {}


def _last_words(text: str) -> str:
    """The last line about something wrong, without colours; our own lines are JSON."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    lines = [line.strip() for line in re.split(r"[\r\n]", plain) if not line.startswith("{")]
    for telling in TELLING:
        found = [line for line in lines if telling.search(line)]
        if found:
            return found[-1]
    return ""


class Scale:
    """Weighs a session of processes, several times a second."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._peak = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The most that was seen, in MB."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            self._peak = max(self._peak, sum(map(_weight, _session(self._process))))


def _session(leader: int) -> list[int]:
    """All processes of a session: what a command has started, and what that has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(stat.parent.name))
    return found


def _weight(process: int) -> float:
    """Its proportional set size in MB; 0 if it has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(text.partition("\nPss:")[2].split()[0]) / 1024
