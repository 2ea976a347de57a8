"""A whole ``generate``: how busy it keeps the teacher, beside one leaf node at a time; and what it holds.

    python bench/generate.py                     # --case busy: 20 leaf nodes, together and one by one
    python bench/generate.py --case many         # 130 leaf nodes: memory and descriptors stay flat

``busy``: 8 knowledge leaf nodes with documents in git repositories, 6 grounded and 6 freeform skills, through
``full``, on a simulated teacher (64 slots, lognormal service times, mean 500 ms, sigma 0.8) in a process of
its own. ``busy`` is the share of its slots that were taken, by its own account, looked at ten times a
second, from the first sample asked to the beginning of the drain tail: when the last request came that had
not been asked before. ``busy_by_tenths`` has the ten tenths of that time. ``together`` works on all leaf
nodes at once, ``by_leaf`` on one at a time, its benchmark with it.
``many``: 100 skills and 30 knowledge leaf nodes of small documents; this process is looked at four times a
second, and memory and descriptors must not be more in the last quarter than in the second.
``calls`` are those that the teacher got, ``asked`` those that a library makes which sends every prompt of
every record. One JSON line a case.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import msgspec
import yaml
from anyio.to_thread import run_sync as in_thread
from process_use import cpu_seconds, peak_mb
from simulated import page, simulated_teacher, stats
from soak import look

import sdg_stream as sdg
from sdg_stream.config.settings import Settings
from sdg_stream.generation.generation import Generation
from sdg_stream.generation.report import GenerationReport
from sdg_stream.simulator.call_log import CallLine

SLOTS = 64
LOOK_SECONDS = {"teacher": 0.1, "self": 0.25}
CHUNK_WORDS = 240  # about what a chunk of 500 tokens holds
WORDS = ("tide", "moon", "harbour", "current", "sand", "wind", "salt", "shore", "depth", "wave", "gull")


class Trace:
    """Numbers that were seen at moments: ``points`` are (seconds of the monotonic clock, number)."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def at(self, moment: float) -> float:
        """The number at a moment, on the line between its neighbours."""
        for (before, low), (after, high) in pairwise(self.points):
            if before <= moment <= after:
                return low + (high - low) * (moment - before) / (after - before)
        return self.points[0 if moment < self.points[0][0] else -1][1]

    def share(self, begin: float, end: float) -> float:
        """The share of all slots that were busy, if these are slot seconds."""
        return round((self.at(end) - self.at(begin)) / (SLOTS * (end - begin)), 4)


def main() -> None:
    """Run the cases that are wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", choices=["busy", "many"], nargs="+", default=["busy"])
    parser.add_argument("--pipeline", default="full")
    parser.add_argument("--scale", type=float, default=1.0, help="of the documents' lengths")
    parser.add_argument("--latency-seconds", type=float, default=0.5, help="the mean")
    parser.add_argument("--concurrency", default=str(SLOTS + 8), help="a number, or auto")
    parser.add_argument("--only", choices=["together", "by_leaf"], help="of busy")
    parser.add_argument("--leaves", type=int, nargs=2, metavar=("SKILLS", "KNOWLEDGE"), default=[100, 30])
    options = parser.parse_args()
    for case in options.case:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (busy if case == "busy" else many)(folder, options)


def busy(folder: Path, options: argparse.Namespace) -> None:
    """Twenty leaf nodes together, and one by one."""
    lengths = [round(options.scale * chunks) for chunks in (4, 6, 8, 10, 12, 14, 18, 24)]
    write_taxonomy(folder / "taxonomy", lengths, grounded=6, freeform=6)
    found = {}
    for name, at_once in (("together", 32), ("by_leaf", 1)):
        if options.only in (None, name):
            found[name] = measured(folder, name, options, at_once=at_once)
            print(json.dumps(found[name]), flush=True)
    if len(found) == 2:
        ratio = found["by_leaf"]["makespan_s"] / found["together"]["makespan_s"]
        print(json.dumps({"case": "busy", "by_leaf_over_together": round(ratio, 3)}), flush=True)


def many(folder: Path, options: argparse.Namespace) -> None:
    """Many leaf nodes; memory and descriptors of this process."""
    skills, knowledge = options.leaves
    write_taxonomy(folder / "taxonomy", [1] * knowledge, grounded=skills // 2, freeform=skills - skills // 2)
    memory, files = Trace(), Trace()

    def look_at_self() -> None:
        rss, descriptors = look(os.getpid())
        memory.points.append((time.monotonic(), rss))
        files.points.append((time.monotonic(), descriptors))

    found = measured(folder, "many", options, at_once=32, and_look=look_at_self)
    quarters = {
        name: [max(part) for part in _quarters([number for _, number in trace.points])]
        for name, trace in (("memory_mb", memory), ("descriptors", files))
    }
    print(json.dumps({**found, "peak_mb": round(peak_mb(), 1), "by_quarters": quarters}), flush=True)
    assert quarters["memory_mb"][3] < 1.1 * quarters["memory_mb"][1] + 5, quarters
    assert quarters["descriptors"][3] <= quarters["descriptors"][1] + 8, quarters


def _quarters(numbers: list[float]) -> Iterator[list[float]]:
    size = max(1, len(numbers) // 4)
    yield from (numbers[size * index : size * (index + 1)] for index in range(4))


# ---------------------------------------------------------------- one job


def measured(
    folder: Path,
    name: str,
    options: argparse.Namespace,
    *,
    at_once: int,
    and_look: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """One job on a teacher of its own: how long it took, what it asked, how busy that kept the teacher."""
    log = folder / f"{name}.log"
    latency = ("--latency", "lognormal", "--latency-seconds", str(options.latency_seconds))
    with simulated_teacher("--slots", str(SLOTS), *latency, "--log", str(log)) as url:
        trace = Trace()
        job = (folder, name, url, options, at_once, trace, and_look)
        report, used, seconds = anyio.run(_job, *job, backend_options={"use_uvloop": True})
        counted = stats(url)
    calls = [msgspec.json.decode(line, type=CallLine) for line in log.read_bytes().splitlines()]
    calls = [call for call in calls if call.arrived >= counted["first_at"]]  # without the probe
    begin, drain, end = counted["first_at"], max(call.arrived for call in calls), counted["last_at"]
    tenths = [begin + (drain - begin) * tenth / 10 for tenth in range(11)]
    assert not report.failed, report.failed
    assert report.run.teacher is not None
    return {
        "case": "busy" if name != "many" else name,
        "how": name,
        "leaf_nodes": len(report.leaves),
        "rows": report.run.rows,
        "calls": len(calls),
        "asked": report.run.teacher.calls,
        "concurrency": options.concurrency,
        "makespan_s": round(end - begin, 2),
        "drain_s": round(end - drain, 2),
        "before_first_call_s": round(begin - used["began"], 2),
        "after_last_call_s": round(used["began"] + seconds - end, 2),
        "busy": trace.share(begin, drain),
        "busy_with_drain": trace.share(begin, end),
        "busy_by_tenths": [trace.share(*tenth) for tenth in pairwise(tenths)],
        "cpu_ms_a_call": round(1000 * used["cpu"] / len(calls), 3),
    }


async def _job(
    folder: Path,
    name: str,
    url: str,
    options: argparse.Namespace,
    at_once: int,
    trace: Trace,
    and_look: Callable[[], None],
) -> tuple[GenerationReport, dict[str, float], float]:
    concurrency = options.concurrency if options.concurrency == "auto" else int(options.concurrency)
    generation = await in_thread(
        lambda: Generation.load(
            folder / "taxonomy",
            folder / name,
            pipeline=options.pipeline,
            settings=Settings(model_family="mixtral"),
            local_repos=True,
            documents_cache=folder / f"{name}-documents",
            at_once=at_once,
        )
    )
    async with sdg.connect(url, concurrency=concurrency) as teacher:
        await in_thread(page, url, "reset", "POST")  # forget the probe
        cpu, began = cpu_seconds(), time.monotonic()
        async with _watched(url, trace, and_look):
            report = await generation.run(teacher)
        seconds, cpu = time.monotonic() - began, cpu_seconds() - cpu
    return report, {"began": began, "cpu": cpu}, seconds


@asynccontextmanager
async def _watched(url: str, trace: Trace, and_look: Callable[[], None]) -> AsyncIterator[None]:
    """Look at the teacher, and at something else, inside the block."""

    async def teacher() -> None:
        while True:
            before = time.monotonic()
            counted = await in_thread(stats, url)
            trace.points.append(((before + time.monotonic()) / 2, counted["busy_slot_seconds"]))
            await anyio.sleep(LOOK_SECONDS["teacher"])

    async def this_process() -> None:
        while True:
            await in_thread(and_look)
            await anyio.sleep(LOOK_SECONDS["self"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(teacher)
        tasks.start_soon(this_process)
        yield
        tasks.cancel_scope.cancel()


# ---------------------------------------------------------------- the taxonomy


def write_taxonomy(folder: Path, documents: list[int], *, grounded: int, freeform: int) -> None:
    """Leaf nodes of three types, five seed examples each; ``documents`` are lengths in chunks."""
    for number, chunks in enumerate(documents):
        repo = folder.parent / "repos" / str(number)
        commit = write_repository(repo, number, chunks)
        pairs = [{"question": f"What of part {part}?", "answer": f"Part {part}."} for part in range(3)]
        leaf = {
            "version": 3, "created_by": "ann", "domain": "Oceanography", "document_outline": f"Tide {number}",
            "document": {"repo": f"file://{repo}", "commit": commit, "patterns": ["*.md"]},
            "seed_examples": [
                {"context": f"Passage {n} of {number}.", "questions_and_answers": pairs} for n in range(5)
            ],
        }  # fmt: skip
        write_leaf(folder / f"knowledge/science/tides_{number}", leaf)
    for number in range(grounded + freeform):
        seeds = [{"question": f"Write about {n}.", "answer": f"{n} of {number}!"} for n in range(5)]
        if number < grounded:
            seeds = [{"context": f"On {n} of {number}.", **seed} for n, seed in enumerate(seeds)]
        task = f"Write a haiku of kind {number}."
        leaf = {"version": 3, "created_by": "ann", "task_description": task, "seed_examples": seeds}
        write_leaf(folder / f"compositional_skills/writing/haiku_{number}", leaf)


def write_leaf(folder: Path, leaf: dict[str, Any]) -> None:
    """Write a ``qna.yaml``."""
    folder.mkdir(parents=True)
    (folder / "qna.yaml").write_text(yaml.safe_dump(leaf, sort_keys=False, width=10_000), encoding="utf-8")


def write_repository(folder: Path, seed: int, chunks: int) -> str:
    """A git repository with one document; its commit."""
    folder.mkdir(parents=True)
    with (folder / "tides.md").open("w", encoding="utf-8") as file:
        for chunk in range(chunks):
            words = [WORDS[(seed + 7 * chunk + 3 * n + n * n) % len(WORDS)] for n in range(CHUNK_WORDS)]
            file.write(f"# Chapter {chunk} of {seed}\n\n")
            file.writelines(
                f"{' '.join(words[at : at + 20])} {seed}-{chunk}-{at}.\n\n"
                for at in range(0, CHUNK_WORDS, 20)
            )
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "tides")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    asked = ["git", "rev-parse", "HEAD"]
    return subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
