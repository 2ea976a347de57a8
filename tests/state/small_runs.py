"""Small runs with everything that makes remembering hard: fan-out, duplicates, filters, rejects, a barrier.

The teacher's reply is a pure function of the request, so what a run must come to is known: the *golden* rows.
Everything runs on one thread and the beats are as short as turns of the event loop, so that a run of a dozen
roots is many batches, and the same ones each time.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

import sdg_stream as sdg
from sdg_stream.abc import Completion, Request
from sdg_stream.engine import run as engine_run
from sdg_stream.engine import stats
from sdg_stream.errors import RecordError
from sdg_stream.events import RunReport
from sdg_stream.testing.scripted import Reply, ScriptedTeacher, prompt_text

__all__ = ["ALL", "Project", "Result", "SmallTeacher", "counts", "deterministic", "drive", "some"]

T = TypeVar("T")

ALL = bool(os.environ.get("SDG_STREAM_TEST_ALL"))
"""Whether every point, offset and seed is to be tried; else an even choice of them, which takes seconds."""


def some(points: Sequence[T], most: int) -> Sequence[T]:
    """All of the points, or an even choice of them with the first and the last one."""
    if ALL or len(points) <= most:
        return points
    return [points[round(index * (len(points) - 1) / (most - 1))] for index in range(most)]


BLOCKS = """
  - name: ask
    type: LLMBlock
    config: {config_path: ask.yaml, output_cols: [question], model_prompt: "", gen_kwargs: {temperature: 1}}
    drop_duplicates: [question]
"""
BARRIER = """
  - name: even
    type: SetToMajorityValueBlock
    config: {col_name: kind}
"""
JUDGE = """
  - name: judge
    type: LLMBlock
    config: {config_path: judge.yaml, output_cols: [score], model_prompt: "", gen_kwargs: {temperature: 0}}
  - name: keep
    type: FilterByValueBlock
    config: {filter_column: score, filter_value: 0, operation: gt, convert_dtype: int}
"""
PROMPT = """
system: ""
introduction: ""
principles: ""
examples: ""
generation: "%s"
start_tags: ["[%s]"]
end_tags: ["[/%s]"]
"""


class SmallTeacher(ScriptedTeacher):
    """Three questions at most for a topic, some of them known; a score for a question, some refused.

    ``mended`` answers what it refuses else. ``answered`` counts the requests that got a reply.
    """

    def __init__(self, *, mended: bool = False) -> None:
        super().__init__(self._answer, slots=4)
        self.mended = mended
        self.answered = 0
        self._under_way = 0

    async def complete(self, request: Request) -> Completion:
        """Answer after a while that depends on the request, so that roots overtake each other."""
        self._under_way += 1
        for _ in range(int(re.findall(r"\d+", prompt_text(request))[0]) % 5 + 3 * self._under_way):
            await checkpoint()
        self._under_way -= 1
        return await super().complete(request)

    def _answer(self, request: Request) -> Reply:
        text = prompt_text(request)
        number = int(re.findall(r"\d+", text)[0])
        if "Topic" in text:
            if number % 6 == 5 and not self.mended:
                raise RecordError("unparsed_reply", "nothing said")
            self.answered += 1
            return "".join(f"[Q]{(number // 3) * 10 + i}?[/Q]" for i in range(number % 4)) or "[Q]none 7[/Q]"
        if number % 7 == 3 and not self.mended:
            raise RecordError("request_refused", "no")
        self.answered += 1
        return f"[S]{(number * 7 + len(text)) % 5}[/S]"


class Result(NamedTuple):
    """What a run gave: its report, and how many calls were answered in it."""

    report: RunReport
    calls: int


class Project:
    """A pipeline, an input and an output in a folder."""

    def __init__(self, folder: Path, *, roots: int = 12, barrier: bool = False, suffix: str = "") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.input = folder / "in.jsonl"
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        self.output = self.data / f"out.jsonl{suffix}"
        self.run_folder = self.data / f"out.jsonl{suffix}.run"
        self.rejects = self.run_folder / "rejects.jsonl"
        self.barrier = barrier
        self.write_pipeline()
        self.write_input(roots)

    def write_pipeline(self, judge: str = "Question {{question}}") -> None:
        """The pipeline file and its prompts; ``judge`` is the text of the last one."""
        blocks = BLOCKS + (BARRIER if self.barrier else "") + JUDGE
        (self.folder / "pipeline.yaml").write_text(f'version: "1.0"\nblocks:\n{blocks}', encoding="utf-8")
        for name, text, tag in (("ask", "Topic {{topic}}", "Q"), ("judge", judge, "S")):
            (self.folder / f"{name}.yaml").write_text(PROMPT % (text, tag, tag), encoding="utf-8")
        self.pipeline = sdg.Pipeline.load(self.folder / "pipeline.yaml")

    def write_input(self, roots: int) -> None:
        """So many rows; what is there stays as it is."""
        self.roots = roots
        rows = [{"topic": n, "kind": "abaa"[n % 4]} for n in range(roots)]
        self.input.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def run(self, teacher: SmallTeacher | None = None, **keep: Any) -> Result:
        """One session."""
        teacher = teacher or SmallTeacher()
        before = teacher.answered
        report = drive(self.pipeline.run, self.input, self.output, teacher, **keep)
        return Result(report, teacher.answered - before)

    def text(self) -> bytes:
        """What the output says: itself, or what is packed in it."""
        data = self.output.read_bytes() if self.output.exists() else b""
        return unpacked(data) if self.output.suffix == ".gz" else data

    def answers(self) -> int:
        """How many answers are kept."""
        with closing(sqlite3.connect(self.run_folder / "state.db")) as database:
            return int(database.execute("select count(*) from calls").fetchone()[0])


def unpacked(data: bytes) -> bytes:
    """What a gzip file says as far as it goes; its last member may be torn anywhere."""
    text = b""
    while data:
        member = zlib.decompressobj(wbits=31)
        text += member.decompress(data)
        data = member.unused_data
    return text


def counts(report: RunReport) -> dict[str, Any]:
    """What a report counts, that does not depend on how many sessions the run took."""
    found = {name: getattr(report, name) for name in _COUNTS}
    for block in report.blocks:
        found[block.name] = (
            block.records_in,
            block.records_out,
            block.filtered,
            block.duplicates,
            dict(block.rejected),
        )
    return found


_COUNTS = ("roots", "accepted", "filtered", "rejected", "pending", "roots_with_rejects", "rows", "rejects")


@contextmanager
def deterministic(*, beats: int = 4, turns: int = 1) -> Iterator[None]:
    """Threads' work is done at once, every sleep is so many turns of the event loop, and clocks count looks.

    So a session does the same each time: it commits with each sleep, and syncs with each ``beats``th commit.
    """

    async def at_once(work: Callable[..., T], *args: Any, **_: Any) -> T:
        await checkpoint()
        return work(*args)

    async def turn(_: float) -> None:
        for _ in range(turns):
            await checkpoint()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_thread, "run_sync", at_once)
        patch.setattr(anyio, "sleep", turn)
        patch.setattr(anyio, "current_time", partial(next, count(0.0, 0.001)))
        patch.setattr(stats, "time", SimpleNamespace(monotonic=partial(next, count(0.0, 0.001))))
        patch.setattr(engine_run, "SYNC_SECONDS", engine_run.FLUSH_SECONDS * beats)
        yield


def drive(work: Callable[..., Awaitable[T]], *args: Any, **more: Any) -> T:
    """Run a coroutine function on an event loop of its own."""
    return anyio.run(partial(work, *args, **more), backend_options={"use_uvloop": True})
