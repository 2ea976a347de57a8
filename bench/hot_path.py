"""The hot path piece by piece: CPU time of what every record, call and settled root costs.

    python bench/hot_path.py                          # all cases, 7 repeats
    python bench/hot_path.py --only channel_hop journal_settle --repeat 15

Each case runs in a process of its own, on uvloop, warmed up once. One JSON line a case: microseconds of CPU
an operation (all threads of the process, so that a busy machine matters less), median and spread of the
repeats, and operations a second on one core. Prompts and rows are of 2 kB. ``lean_call`` asks
bench/canned.py, 64 in flight; ``teacher_call`` has a double instead of a network.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from canned import MODEL
from row_pipelines import ONE_ROW
from simulated import apart
from transport import DOCUMENT, REPLY, running

import sdg_stream as sdg
from sdg_stream.abc import CallShape, HttpReply, Request
from sdg_stream.blocks.wrapping import chat_wrapper
from sdg_stream.calls import Api, Choice, Completion
from sdg_stream.durable import begin
from sdg_stream.engine.chain import Chain
from sdg_stream.engine.channel import Channel
from sdg_stream.engine.stats import RunStats
from sdg_stream.engine.tracker import RootState
from sdg_stream.io.jsonl import JsonlSink, JsonlSource
from sdg_stream.ledger import Settled
from sdg_stream.prompts.parsing import TagParser
from sdg_stream.prompts.template import compile_template
from sdg_stream.record import Record
from sdg_stream.state.answers import Answers, RememberingTeacher
from sdg_stream.state.database import Database
from sdg_stream.state.opening import Keep, OpenedRun, Wanted
from sdg_stream.teacher.client import TeacherClient
from sdg_stream.teacher.lean import LeanBackend
from sdg_stream.teacher.routing import Endpoint
from sdg_stream.teacher.wire import decode_reply, encode_request

SHAPE = CallShape.make("completions", {"model": MODEL, "max_tokens": 16, "temperature": 0.7})
BODY = json.dumps(
    {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {"index": 0, "text": f"[S]{'word ' * 100}[/S][T]2[/T]", "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500},
    }
).encode()

Body = Callable[[], Awaitable[None]]


class Bench:
    """Takes the times of one case."""

    def __init__(self, repeat: int) -> None:
        self._repeat = repeat
        self.found: list[float] = []

    async def take(self, operations: int, body: Body) -> None:
        """Run ``body``, which does so many operations, again and again; microseconds of CPU an operation."""
        await body()
        for _ in range(self._repeat):
            begun = time.process_time()
            await body()
            self.found.append(1e6 * (time.process_time() - begun) / operations)


async def channel_hop(bench: Bench) -> None:
    """One record from a task to another through a channel."""
    record, count = Record(0, {}), 50_000

    async def body() -> None:
        channel = Channel()

        async def produce() -> None:
            for _ in range(count):
                await channel.send(record)
            channel.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            for _ in range(count):
                await channel.receive()

    await bench.take(count, body)


async def prompt_rendering(bench: Bench) -> None:
    """A template of two columns, and the chat template around it."""
    template = compile_template("You are a judge.\nBe strict.\n{{document}}\n{{question}} {{n}}")
    wrap = chat_wrapper(sdg.Context("judge"), family="mixtral", model_prompt=None, model=MODEL, used=True)
    columns = {"document": DOCUMENT, "question": "q", "n": 1}

    async def body() -> None:
        for _ in range(20_000):
            wrap(template.render(columns))

    await bench.take(20_000, body)


async def tag_parsing(bench: Bench) -> None:
    """Two columns from a reply of half a kB."""
    parser = TagParser(["[S]", "[T]"], ["[/S]", "[/T]"], ["judgment", "score"])
    text = json.loads(BODY)["choices"][0]["text"]

    async def body() -> None:
        for _ in range(50_000):
            parser.parse(text)

    await bench.take(50_000, body)


async def request_encoding(bench: Bench) -> None:
    """The body of a request."""

    async def body() -> None:
        for number in range(20_000):
            encode_request(Request(SHAPE, DOCUMENT, root=number))

    await bench.take(20_000, body)


async def reply_decoding(bench: Bench) -> None:
    """The choice and the usage of a reply."""

    async def body() -> None:
        for _ in range(50_000):
            decode_reply(BODY, SHAPE)

    await bench.take(50_000, body)


class Instant:
    """A teacher, and a backend, that answer at once."""

    model, api, slots = MODEL, "completions", 64

    def __init__(self) -> None:
        self._reply = HttpReply(200, {}, BODY)

    async def complete(self, request: Request) -> Completion:
        """The same answer."""
        del request
        return Completion([Choice(REPLY, "stop")], 400, 16, 1, "http://localhost/v1", 0.2)

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """The same reply."""
        del method, url, body, headers, timeout
        return self._reply

    async def aclose(self) -> None:
        """Nothing to close."""


class InstantTeacher(Instant):
    """The same, typed as a teacher."""

    api: Api = "completions"


async def answer_kept(bench: Bench) -> None:
    """What the call cache adds to a sampled call: its key, the look, the answer encoded; not the writing."""
    with tempfile.TemporaryDirectory() as folder:
        answers = Answers(Database(Path(folder) / "state.db"))
        teacher = RememberingTeacher(InstantTeacher(), answers)

        async def body() -> None:
            for root in range(20_000):
                await teacher.complete(Request(SHAPE, DOCUMENT, root=root))
                teacher.settled(root)
            answers.stage()
            answers.written()

        await bench.take(20_000, body)


async def journal_settle(bench: Bench) -> None:
    """A root with one row, from the event loop to the files: committed a hundred at a time."""
    row = JsonlSink("-").prepare({"document": DOCUMENT, "judgment": "good", "score": "2"})
    roots, count = iter(range(1_000_000)), 5_000
    with tempfile.TemporaryDirectory() as name:
        source = JsonlSource(io.BytesIO(b"{}\n"))

        async def sound() -> None:
            """The input is."""

        opened = await begin(
            source,
            Path(name) / "out.jsonl",
            Wanted(keep=Keep()),
            facts={"pipeline": "bench"},
            teacher=None,
            asking=[],
            check=sound,
        )
        assert isinstance(opened, OpenedRun)
        ledger = opened.ledger
        ledger.watch(RunStats("bench", []).account)

        async def body() -> None:
            for number in range(count):
                root = next(roots)
                await ledger.settle(Settled(root, "accepted", [row], [()], [], [], [], [[]], [1, 1, 0, 0]))
                if not number % 100:
                    await ledger.flush()
            await ledger.sync()

        await bench.take(count, body)
        await ledger.aclose("")
        await source.aclose()


async def jsonl_sink(bench: Bench) -> None:
    """A row made a line, and written with 255 others."""
    columns = {"document": DOCUMENT, "judgment": "good", "score": "2"}
    with tempfile.TemporaryDirectory() as folder:
        sink = JsonlSink(Path(folder) / "out.jsonl")
        await sink.open()

        async def body() -> None:
            for _ in range(40):
                await sink.put([sink.prepare(columns) for _ in range(256)])
                await sink.flush()

        await bench.take(40 * 256, body)
        await sink.aclose()


async def row_fusion(bench: Bench) -> None:
    """One record through five row blocks in one stage."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.yaml"
        file.write_text(ONE_ROW)
        plan = sdg.Pipeline.load(file).plan()
    [stage] = plan.stages
    RunStats("bench", [planned.stats for planned in plan.blocks])  # gives the blocks their places
    chain = Chain(stage.steps, {0: RootState(1, len(plan.blocks))}, _no_reject)

    async def body() -> None:
        for number in range(50_000):
            columns = {"text": "a sentence of an input row", "score": 7, "number": number}
            [_] = chain.run(columns, Record(0, columns))

    await bench.take(50_000, body)


def _no_reject(*_: Any) -> None:
    raise AssertionError


async def lean_call(bench: Bench) -> None:
    """A POST over the lean transport and the whole reply; the server is another process."""
    count, body_bytes = 8_000, encode_request(Request(SHAPE, DOCUMENT))
    headers = {"Content-Type": "application/json"}
    with apart(), running("canned") as url, apart(first=True):
        backend = LeanBackend()

        async def body() -> None:
            numbers = iter(range(count))

            async def worker() -> None:
                for _ in numbers:
                    await backend.send("POST", f"{url}/completions", body_bytes, headers=headers, timeout=60)

            async with anyio.create_task_group() as tasks:
                for _ in range(64):
                    tasks.start_soon(worker)

        await bench.take(count, body)
        await backend.aclose()


async def teacher_call(bench: Bench) -> None:
    """The teacher client with its retry loop, admission, routing and decoding."""
    client = TeacherClient(Instant(), [Endpoint("http://localhost/v1", models=[MODEL])], model=MODEL)

    async def body() -> None:
        for root in range(10_000):
            await client.complete(Request(SHAPE, DOCUMENT, root=root))

    await bench.take(10_000, body)


CASES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    case.__name__: case
    for case in (
        channel_hop,
        prompt_rendering,
        tag_parsing,
        request_encoding,
        reply_decoding,
        answer_kept,
        journal_settle,
        jsonl_sink,
        row_fusion,
        lean_call,
        teacher_call,
    )
}


def main() -> None:
    """Run each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=[*CASES], nargs="+", default=[*CASES])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--case", choices=[*CASES], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is None:
        for case in options.only:
            print(json.dumps(measured(case, options.repeat)), flush=True)
        return
    bench = Bench(options.repeat)
    anyio.run(CASES[options.case], bench, backend_options={"use_uvloop": True})
    middle = statistics.median(bench.found)
    line = {
        "case": options.case,
        "us": round(middle, 3),
        "spread_us": [round(min(bench.found), 3), round(max(bench.found), 3)],
        "per_s": round(1e6 / middle),
        "spread_per_s": [round(1e6 / pick(bench.found)) for pick in (max, min)],
    }
    print(json.dumps(line))


def measured(case: str, repeat: int) -> dict[str, Any]:
    """One case in a process of its own; its line."""
    command = [sys.executable, __file__, "--case", case, "--repeat", str(repeat)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    line: dict[str, Any] = json.loads(done.stdout)
    return line


if __name__ == "__main__":
    main()
