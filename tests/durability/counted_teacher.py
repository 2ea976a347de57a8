"""A simulated teacher as a process of its own, and what its log tells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import msgspec

from sdg_stream.simulator.call_log import CallLine

__all__ = ["COMMAND", "Teacher", "bought", "environment", "left_alone", "simulated"]

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "sdg_stream")
REFUSED = 400
BROKEN = ("reset", "hang", "html", "truncated", "torn_json", "bad_encoding")  # faults that leave no answer

_decoder = msgspec.json.Decoder(CallLine)


def environment() -> dict[str, str]:
    """The environment of the commands, without the options of whoever runs this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SDG_STREAM")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"}


class Teacher:
    """A teacher that is running; ``calls`` are those that have ended, in that order, once they are read."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.calls: list[CallLine] = []
        self._log = log
        self._read = 0
        self._rest = b""

    def read(self) -> list[CallLine]:
        """Read what was added to the log; gives what is new."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        new = [_decoder.decode(line) for line in lines]
        self.calls += new
        return new

    def quiet(self) -> None:
        """Wait until no call is open: what a killed process had asked is noticed as gone."""
        while True:
            with urlopen(f"{self.url.removesuffix('/v1')}/stats", timeout=10) as reply:
                if not msgspec.json.decode(reply.read())["open"]:
                    break
        self.read()


def bought(call: CallLine) -> bool:
    """Whether a call was answered, so that its answer was worth keeping."""
    return call.status == 200 and call.fault not in BROKEN


def left_alone(call: CallLine) -> bool:
    """Whether whoever had made a call went away before its answer."""
    return call.status == 0 and call.fault not in BROKEN


@contextmanager
def simulated(folder: Path, *options: str) -> Iterator[Teacher]:
    """Run ``simulate`` with the faults of the folder inside the block."""
    log = folder / "calls.jsonl"
    log.unlink(missing_ok=True)
    command = [*COMMAND, "simulate", "--port", "0", "--faults", "faults.yaml", "--log", log.name, *options]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            first = process.stderr.readline()
            yield Teacher(next(word for word in first.split() if word.startswith("http://")), log)
        finally:
            process.terminate()
