"""What a call costs with each transport: a bare aiohttp loop, our aiohttp backend, the lean backend.

    python bench/transport.py                        # 64 in flight, 3 repeats, both servers
    python bench/transport.py --server canned --calls 20000 --repeat 5

Cases: ``bare`` is an aiohttp loop that only posts and decodes; ``client`` is the teacher client with its
retry loop, admission and decoding; ``pipeline`` renders 2 kB prompts, parses the replies and writes the rows;
``whole`` does that as the command ``run`` does, from a file, with run directory (journal, call cache) and
plain progress, sampled (``greedy``: at temperature 0). They alternate in one process. The server runs in
another one, on a CPU of its own where there are two, and answers at once. The ``simulated`` teacher reads
each prompt, and so is the slower of the two; the ``canned`` server does not (bench/canned.py), so that the
client is what is measured. One JSON line a case, medians over the repeats: calls a second, the client's CPU
in ms a call, and both relative to the bare loop on the same server.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import orjson
from canned import MODEL
from process_use import cpu_seconds
from simulated import apart, canned_teacher, simulated_teacher

import sdg_stream as sdg
from sdg_stream.abc import Backend, CallShape, Request
from sdg_stream.io.jsonl import JsonlSink
from sdg_stream.observe.progress import PlainLines
from sdg_stream.teacher.client import TeacherClient
from sdg_stream.teacher.http import AiohttpBackend
from sdg_stream.teacher.lean import LeanBackend

DOCUMENT = "word " * 380
BACKENDS: dict[str, Callable[[], Backend]] = {"aiohttp": AiohttpBackend, "lean": LeanBackend}
PIPELINE = """
version: "1.0"
blocks:
  - name: judge
    type: LLMBlock
    config:
      config_path: prompt.yaml
      output_cols: [judgment, score]
      gen_kwargs: {max_tokens: 16, temperature: %s}
"""
PROMPT = """
system: You are a judge.
introduction: Judge the answer.
principles: Be strict.
examples: ""
generation: |
  {{document}}
  {{question}} {{n}}
start_tags: ["[S]", "[T]"]
end_tags: ["[/S]", "[/T]"]
"""

REPLY = "[S]It is good.[/S][T]2[/T]"

Case = Callable[["Setting"], Awaitable[None]]


class Setting:
    """What a case is run with."""

    def __init__(self, url: str, calls: int, concurrency: int, folder: Path) -> None:
        self.url = url
        self.calls = calls
        self.concurrency = concurrency
        self.folder = folder

    def write_files(self) -> None:
        """Pipelines and input."""
        (self.folder / "prompt.yaml").write_text(PROMPT)
        (self.folder / "greedy.yaml").write_text(PIPELINE % 0.0)
        (self.folder / "sampled.yaml").write_text(PIPELINE % 0.7)
        with (self.folder / "in.jsonl").open("wb") as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in self.rows())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Records that make a prompt of 2 kB."""
        return ({"document": DOCUMENT, "question": "q", "n": n} for n in range(self.calls))

    @asynccontextmanager
    async def teacher(self, transport: str) -> AsyncIterator[TeacherClient]:
        """The teacher behind one of the backends."""
        backend = BACKENDS[transport]()
        async with sdg.connect(
            self.url, model=MODEL, api="completions", concurrency=self.concurrency, backend=backend
        ) as teacher:
            yield teacher

    async def side_by_side(self, call: Callable[[int], Awaitable[None]]) -> None:
        """Make all calls, as many at a time as may be in flight."""
        numbers = iter(range(self.calls))

        async def worker() -> None:
            for number in numbers:
                await call(number)

        async with anyio.create_task_group() as tasks:
            for _ in range(self.concurrency):
                tasks.start_soon(worker)


async def bare(setting: Setting) -> None:
    """Only aiohttp."""
    url, headers = f"{setting.url}/completions", {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(number: int) -> None:
            asked = {"model": MODEL, "max_tokens": 16, "temperature": 0, "prompt": f"{DOCUMENT}{number}"}
            async with session.post(url, data=orjson.dumps(asked), headers=headers) as reply:
                orjson.loads(await reply.read())

        await setting.side_by_side(call)


def client(transport: str) -> Case:
    """The teacher client on one of the backends."""

    async def run(setting: Setting) -> None:
        shape = CallShape.make("completions", {"model": MODEL, "max_tokens": 16, "temperature": 0})
        async with setting.teacher(transport) as teacher:

            async def call(number: int) -> None:
                await teacher.complete(Request(shape, f"{DOCUMENT}{number}", root=number))

            await setting.side_by_side(call)

    return run


def pipeline(transport: str) -> Case:
    """A whole run on one of the backends: a call and a row for each record."""

    async def run(setting: Setting) -> None:
        loaded = sdg.Pipeline.load(setting.folder / "greedy.yaml")
        sink = JsonlSink(setting.folder / "plain.jsonl")
        await sink.open()
        async with setting.teacher(transport) as teacher:
            await loaded.run(setting.rows(), sink, teacher)

    return run


def whole(transport: str, pipeline: str = "sampled") -> Case:
    """A whole run from a file into a run directory, with progress."""

    async def run(setting: Setting) -> None:
        loaded = sdg.Pipeline.load(setting.folder / f"{pipeline}.yaml")
        source, output = setting.folder / "in.jsonl", setting.folder / "out.jsonl"
        async with setting.teacher(transport) as teacher:
            screen = PlainLines(io.StringIO())
            report = await loaded.run(source, output, teacher, overwrite=True, hook=screen)
        assert report.rows == setting.calls

    return run


CASES: dict[str, Case] = {
    "bare": bare,
    "client_aiohttp": client("aiohttp"),
    "client_lean": client("lean"),
    "pipeline_aiohttp": pipeline("aiohttp"),
    "pipeline_lean": pipeline("lean"),
    "whole_aiohttp": whole("aiohttp"),
    "whole_lean": whole("lean"),
    "whole_lean_greedy": whole("lean", "greedy"),
}


def main() -> None:
    """Run the cases on each server and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--server", choices=["simulated", "canned"], nargs="+", default=["simulated", "canned"]
    )
    parser.add_argument("--case", choices=[*CASES], nargs="+", default=[*CASES])
    parser.add_argument("--calls", type=int, default=8000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for server in options.server:
        found = compare(server, options.case, options.calls, options.concurrency, options.repeat)
        for line in lines(server, found):
            print(json.dumps(line), flush=True)


def compare(
    server: str, cases: Sequence[str], calls: int, concurrency: int, repeat: int
) -> dict[str, list[tuple[float, float]]]:
    """Calls a second and CPU in ms a call, for each case and repeat; the cases take turns."""
    found: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
    with apart(), running(server) as url, apart(first=True), tempfile.TemporaryDirectory() as name:
        setting = Setting(url, calls, concurrency, Path(name))
        setting.write_files()
        for _ in range(repeat):
            for case, results in found.items():
                results.append(measure(CASES[case], setting))
    return found


def measure(case: Case, setting: Setting) -> tuple[float, float]:
    """Calls a second, and the CPU of this process in ms a call, setting up included."""
    cpu, begun = cpu_seconds(), time.monotonic()
    anyio.run(case, setting, backend_options={"use_uvloop": True})
    return setting.calls / (time.monotonic() - begun), 1000 * (cpu_seconds() - cpu) / setting.calls


def lines(server: str, found: dict[str, list[tuple[float, float]]]) -> Iterator[dict[str, Any]]:
    """A line for each case: medians, and their ratios to those of the bare loop where it was run."""
    medians = {
        case: (statistics.median(calls for calls, _ in results), statistics.median(cpu for _, cpu in results))
        for case, results in found.items()
    }
    bare = medians.get("bare")
    for case, (calls, cpu) in medians.items():
        line: dict[str, Any] = {
            "server": server,
            "case": case,
            "calls_s": round(calls),
            "cpu_ms": round(cpu, 4),
            "spread_cpu_ms": [round(pick(cpu for _, cpu in found[case]), 4) for pick in (min, max)],
        }
        if bare is not None:
            ratios = sorted(one[0] / other[0] for one, other in zip(found[case], found["bare"], strict=True))
            line |= {
                "calls_over_bare": round(statistics.median(ratios), 3),
                "spread_calls_over_bare": [round(ratios[0], 3), round(ratios[-1], 3)],
                "cpu_over_bare": round(cpu / bare[1], 2),
            }
        yield line


def running(server: str) -> AbstractContextManager[str]:
    """A server in a process of its own; its URL."""
    if server == "simulated":
        return simulated_teacher("--latency", "zero", "--reply", REPLY)
    return canned_teacher(REPLY)


if __name__ == "__main__":
    main()
