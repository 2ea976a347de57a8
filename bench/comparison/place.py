"""Where runs happen: servers in processes of their own, drivers in theirs, files in a folder for each."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from canned import MODEL
from driving import Job, Stage
from simulated import canned_teacher, served, stats

from sdg_stream.simulator.settings import SimulatorSettings

from . import PEERS
from .environments import quiet_environment
from .jobs import Outcome, run_process
from .tools import Tool
from .work import Row, write_rows

__all__ = ["Account", "Cannot", "Done", "Place", "Teacher"]

Account: TypeAlias = dict[str, float | int | str]
HERE = Path(__file__).parent
SETTLE_SECONDS = 5.0


class Cannot(Exception):
    """A tool did not do a case; says why."""


class Done(msgspec.Struct, kw_only=True):
    """A job that has ended.

    Attributes:
        seconds: of the work itself, as the driver counted them; of the process, if it died.
        wall: from the start of the process to its end.
        cpu: seconds of the work.
        peak_mb: most memory, children included.
        rows: in the output.
        code: exit code of the process; None if it ran out of time.
        said: what it said about something wrong.
    """

    seconds: float
    wall: float
    cpu: float
    peak_mb: float
    rows: int
    code: int | None
    said: str


class Teacher:
    """A simulated teacher that is running."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stats(self) -> dict[str, Any]:
        """What it has counted."""
        return stats(self.url)

    def settled(self) -> dict[str, Any]:
        """The same, once nothing is being answered any more."""
        until = time.monotonic() + SETTLE_SECONDS
        while (counted := self.stats())["open"] and time.monotonic() < until:
            time.sleep(0.05)
        return counted


class Place:
    """Where runs happen.

    Args:
        folder: for files; what one run leaves the next one clears away.
        pythons: the Python of each tool's environment.
    """

    def __init__(self, folder: Path, pythons: dict[str, Path]) -> None:
        self._folder = folder
        self._pythons = pythons

    def canned(self) -> AbstractContextManager[str]:
        """The URL of a server that answers at once."""
        return canned_teacher()

    @contextmanager
    def teacher(self, settings: SimulatorSettings) -> Iterator[Teacher]:
        """A fresh simulated teacher."""
        given = msgspec.json.encode(settings).decode()
        command = [sys.executable, "-P", str(HERE / "teacher.py"), given]
        with served(command) as url:
            yield Teacher(url)

    def command(self, tool: Tool, arguments: Sequence[str], limit: float) -> float:
        """Seconds that a Python process takes.

        Raises:
            Cannot: it failed.
        """
        outcome = self._process(tool, arguments, limit)
        if outcome.code != 0:
            raise Cannot(_why(outcome, limit))
        return outcome.seconds

    def job(
        self,
        tool: Tool,
        case: str,
        url: str,
        stages: list[Stage],
        rows: Iterable[Row],
        limit: float,
        *,
        again: bool = False,
        may_fail: bool = False,
        weigh: bool = False,
        kill_when: Callable[[], bool] | None = None,
    ) -> Done:
        """Have a tool do a job.

        Args:
            tool: who does it.
            case: decides its settings.
            url: of the server.
            stages: of the work.
            rows: the input.
            limit: seconds that it may take.
            again: go on in the folder that the last job has left.
            may_fail: an error is a result.
            weigh: watch its memory.
            kill_when: kill it once this is true; it is a result then whatever it left.

        Raises:
            Cannot: it failed, or rows are missing.
        """
        if not again:
            self._clear()
        setting = tool.setting(case)
        given = write_rows(rows, self._folder / "input.jsonl")
        output = self._folder / "output.jsonl"
        job = Job(
            url=url,
            model=MODEL,
            input=str(given),
            output=str(output),
            folder=str(self._folder / "state"),
            stages=stages,
            concurrency=setting.concurrency,
            options=setting.options,
        )
        file = self._folder / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        arguments = (str(PEERS / tool.driver), str(file))
        outcome = self._process(tool, arguments, limit, weigh=weigh, kill_when=kill_when)
        if outcome.code != 0 and not may_fail and kill_when is None:
            raise Cannot(_why(outcome, limit))
        return _done(outcome, output)

    def _process(
        self,
        tool: Tool,
        arguments: Sequence[str],
        limit: float,
        *,
        weigh: bool = False,
        kill_when: Callable[[], bool] | None = None,
    ) -> Outcome:
        home = self._folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        command = [str(self._pythons[tool.name]), *arguments]
        environment = quiet_environment(home)
        return run_process(command, environment, self._folder, limit, weigh=weigh, kill_when=kill_when)

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)


def _done(outcome: Outcome, output: Path) -> Done:
    line = outcome.line
    return Done(
        seconds=line.get("seconds", outcome.seconds),
        wall=outcome.seconds,
        cpu=line.get("cpu_s", 0.0),
        peak_mb=max(outcome.tree_mb, line.get("peak_mb", 0.0)),
        rows=_lines(output),
        code=outcome.code,
        said=str(line.get("error") or outcome.said),
    )


def _lines(file: Path) -> int:
    if not file.exists():
        return 0
    with file.open("rb") as opened:
        return sum(1 for line in opened if line.endswith(b"\n"))


def _why(outcome: Outcome, limit: float) -> str:
    if outcome.code is None:
        return f"did not end within {limit:.0f} s"
    return f"failed: {outcome.line.get('error') or outcome.said or f'exit code {outcome.code}'}"
