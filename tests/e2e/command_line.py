"""Running the command line as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from canary import CANARY, Watch

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "sdg_stream")
ROWS = '{"topic": "tides", "number": 1}\n{"topic": "winds", "number": 2}\n{"topic": "rocks", "number": 3}\n'

PROMPT = """\
system: You are brief.
introduction: Name something.
principles: One sentence.
examples: ""
generation: |
  Tell me about {{topic}}. Begin with [Answer] and end with [End].
start_tags: [""]
end_tags: [""]
"""

PIPELINE = """\
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config:
      config_path: prompt.yaml
      output_cols: [answer]
      gen_kwargs: {max_tokens: 512}
"""


def write_project(folder: Path, *, start: str = "", end: str = "") -> None:
    """A pipeline ``ask.yaml`` that asks the teacher once a row, and its input ``in.jsonl``."""
    prompt = PROMPT.replace('start_tags: [""]', f'start_tags: ["{start}"]')
    (folder / "prompt.yaml").write_text(prompt.replace('end_tags: [""]', f'end_tags: ["{end}"]'))
    (folder / "ask.yaml").write_text(PIPELINE)
    (folder / "in.jsonl").write_text(ROWS)


def environment(**more: str) -> dict[str, str]:
    """The environment of the command, without any of the user's options in it, and with the canary key."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SDG_STREAM", "OPENAI"))
    }
    return {**kept, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100", "OPENAI_API_KEY": CANARY, **more}


async def sdg(
    folder: Path, *arguments: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run ``sdg-stream`` in a folder to its end; text in, text out."""
    with anyio.fail_after(30):
        done = await anyio.run_process(
            [*COMMAND, *arguments], input=stdin.encode(), check=False, cwd=folder, env=environment(**more)
        )
    if Watch.current is not None:
        Watch.current.saw("stdout of sdg-stream", done.stdout)
        Watch.current.saw("stderr of sdg-stream", done.stderr)
    return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


class Lines:
    """The lines of a process's stderr, as they come."""

    def __init__(self, process: Process) -> None:
        assert process.stderr is not None
        self._stream = TextReceiveStream(process.stderr)
        self._rest = ""

    async def next(self) -> str:
        """The next line; empty at the end."""
        while "\n" not in self._rest:
            try:
                self._rest += await self._stream.receive()
            except anyio.EndOfStream:
                return ""
        line, _, self._rest = self._rest.partition("\n")
        return line

    async def rest(self) -> str:
        """Everything until the end."""
        lines = []
        while line := await self.next():
            lines.append(line)
        return "\n".join(lines)

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Read JSON progress until a report is as wanted."""
        while True:
            event = json.loads(await self.next())
            if event["event"] == "progress" and condition(event["report"]):
                return

    async def until_word(self, word: str) -> None:
        """Read until a line has a word in it."""
        while word not in await self.next():
            pass
