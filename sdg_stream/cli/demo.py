"""The demo: sample seeds, a shipped pipeline, a simulated teacher; ends with what to type next."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from itertools import islice
from pathlib import Path
from typing import Any

import click
import orjson

from ..catalog import pipelines_dir
from ..errors import OutputError
from ..observe.text import clean

__all__ = ["Demo", "own_command"]

_PIPELINE = "full/knowledge"
_OUTPUT = Path("sdg_stream_demo") / "rows.jsonl"
_SHOWN = 3


class Demo:
    """What a run without arguments runs, and what it says about it.

    Attributes:
        options: of ``run``, as they make the demo.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._seeds = pipelines_dir() / "examples" / "seeds" / "knowledge.jsonl"
        self.options: dict[str, Any] = {
            "pipeline": _PIPELINE,
            "input": str(self._seeds),
            "output": str(_OUTPUT),
            "overwrite": True,
            "simulate": True,
        }

    def open(self) -> None:
        """Say that this is a demo, and make the folder that it writes to.

        Raises:
            OutputError: that cannot be made.
        """
        self._say(
            f"Demo: sample seeds through the shipped pipeline {_PIPELINE}. The teacher is SIMULATED:",
            "its replies have the right form and plausible timing, but what they say means nothing.",
            "",
        )
        try:
            _OUTPUT.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {_OUTPUT.parent} cannot be made here: {error.strerror}") from error

    def close(self) -> None:
        """Show a few rows and what to type next."""
        self._say(f"The first rows of {_OUTPUT} (from the SIMULATED teacher):", "")
        with _OUTPUT.open("rb") as file:
            for line in islice(file, _SHOWN):
                row = orjson.loads(line)
                self._say(*_cut("Q", row.get("question")), *_cut("A", row.get("response")), "")
        self._say(
            "The same with a teacher of your own:",
            "",
            f"  {own_command()} run {_PIPELINE} --endpoint-url http://localhost:8000/v1 \\",
            f"      --input {shlex.quote(str(self._seeds))} --output rows.jsonl",
            "",
            f"Other pipelines: {own_command()} pipelines list",
        )

    def _say(self, *lines: str) -> None:
        if not self._quiet:
            for line in lines:
                click.echo(clean(line), err=True)


def own_command() -> str:
    """How this program can be started from here: by its name, if that is on the path, else as it was."""
    name, beside = shutil.which("sdg-stream"), Path(sys.executable).parent
    if name is not None and Path(name).parent == beside:
        return "sdg-stream"
    python = shutil.which("python")
    if python is not None and Path(python).parent == beside:
        return "python -m sdg_stream"
    here = Path.cwd()
    inside = beside.is_relative_to(here)
    return f"{shlex.quote(str((beside.relative_to(here) if inside else beside) / 'python'))} -m sdg_stream"


def _cut(label: str, value: Any) -> list[str]:
    """A text in at most three lines."""
    width = min(shutil.get_terminal_size().columns, 100)
    text = textwrap.shorten(clean(str(value)), width=3 * (width - 6), placeholder=" …")
    return textwrap.wrap(text, width=width, initial_indent=f"  {label}  ", subsequent_indent="     ")
