"""Run directories that earlier versions left, as they are kept in ``fixtures``, and the teacher they had.

A folder ``formatN`` holds one pipeline with its prompts, its input, everything its teacher says
(``replies.json``), and two outputs with their run directories: ``finished.jsonl``, and ``killed.jsonl``,
whose second session was killed. Nothing of it changes any more: what a version has released stays readable.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from anyio.abc import SocketStream

import sdg_stream as sdg
from sdg_stream.abc import Request
from sdg_stream.errors import RecordError
from sdg_stream.testing.scripted import Reply, ScriptedTeacher, prompt_text

__all__ = ["FIXTURES", "StoredRuns", "StoredTeacher", "rows_in", "run_folder"]

FIXTURES = Path(__file__).parent / "fixtures"
MODEL = "m"  # which the teacher of bare sockets lists, too

_ASKED = re.compile(r"(Topic|Question)\D*(\d+)")


class StoredTeacher(ScriptedTeacher):
    """Says what it said when the runs were made; null in its replies is a refusal.

    Attributes:
        replies: by what is asked, such as ``Topic 3`` or ``Question 10``.
        asked: what got an answer, in order.
    """

    def __init__(self, replies: Mapping[str, str | None]) -> None:
        super().__init__(self._answer, model=MODEL, slots=4)
        self.replies = replies
        self.asked: list[str] = []

    def _answer(self, request: Request) -> Reply:
        return self._reply_to(prompt_text(request))

    def _reply_to(self, prompt: str) -> str:
        found = _ASKED.search(prompt)
        assert found is not None, prompt
        reply = self.replies[" ".join(found.groups())]
        if reply is None:
            raise RecordError("request_refused", "not this one")
        self.asked.append(" ".join(found.groups()))
        return reply

    async def answer_post(self, stream: SocketStream, request: bytes) -> bool:
        """The same over HTTP; what the preflight asks is answered with anything."""
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        status, answer = "200 OK", dict[str, Any]()
        try:
            text = self._reply_to(body["prompt"]) if _ASKED.search(body["prompt"]) else "x"
            choices = [{"index": n, "text": text, "finish_reason": "stop"} for n in range(body.get("n", 1))]
            answer["choices"] = choices
        except RecordError as error:
            status, answer = "400 Bad Request", {"error": {"message": str(error), "code": 400}}
        data = orjson.dumps(answer)
        await stream.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        return True


class StoredRuns:
    """A copy of one of the folders."""

    def __init__(self, number: int, folder: Path) -> None:
        shutil.copytree(FIXTURES / f"format{number}", folder)
        self.folder = folder
        self.input = folder / "in.jsonl"
        self.finished = folder / "finished.jsonl"
        self.killed = folder / "killed.jsonl"
        self.replies: dict[str, str | None] = json.loads((folder / "replies.json").read_text("utf-8"))

    def pipeline(self) -> sdg.Pipeline:
        """Their pipeline, as its file is now."""
        return sdg.Pipeline.load(self.folder / "pipeline.yaml")

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one of its files."""
        text = (self.folder / name).read_text("utf-8")
        assert old in text
        (self.folder / name).write_text(text.replace(old, new), "utf-8")


def run_folder(output: Path) -> Path:
    """The run directory of an output."""
    return output.with_name(f"{output.name}.run")


def rows_in(output: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in an output's database; looking mends it, so it is done in a copy."""
    folder = run_folder(output)
    copy = shutil.copytree(folder, folder.with_name(f"{folder.name}.looked-at"))
    try:
        with closing(sqlite3.connect(copy / "state.db")) as database:
            return database.execute(query).fetchall()
    finally:
        shutil.rmtree(copy)
