"""What faults cost: whole runs on a simulated teacher that fails on purpose, beside runs without faults.

    python bench/faults.py                        # all four cases: four minutes
    python bench/faults.py --case mixed --calls 3000
    python bench/faults.py --case many --slots 512 --calls 6000

Each run is a pipeline of one LLMBlock (prompts rendered, replies parsed, rows written) against a server in a
process of its own. One JSON line a run; each case with ``--concurrency auto`` and with the server's slots.

mixed     2 % each of 429, 500, resets, hangs and bodies that end halfway. ``throughput`` is the answers a
          second over those of the run without faults, less the slots that failed attempts held meanwhile (a
          hang holds one for its deadline); with auto nothing is taken off, since it takes more slots. Both
          are taken from 1.5 deadlines on until the last call was begun: a hang at the end leaves the other
          slots idle whatever a client does.
outage    the server is killed a third of the way through and started again after 10 s.
refusals  10 % of the attempts get a 429 without Retry-After. ``goodput`` is held against the run without
          faults over the whole time, and ``goodput_settled`` over the time that is compared above.
many      512 slots and replies of 1 s: the share of slot time that the server was busy, from when all slots
          have been in use once until the last call was begun, and CPU per call of the asking process.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import anyio.to_thread
from simulated import stats

import sdg_stream as sdg
from sdg_stream.abc import Backend, Completion, HttpReply, Request
from sdg_stream.catalog import pipelines_dir
from sdg_stream.events import RunReport
from sdg_stream.teacher.connect import make_backend

Limit: TypeAlias = int | Literal["auto"]

SLOTS, MEAN, TIMEOUT, AWAY = 64, 0.2, 5.0, 10.0  # slots; seconds
SETTLED = 1.5 * TIMEOUT  # seconds after which as many hangs end as begin
LOGNORMAL = ("--latency", "lognormal", "--latency-seconds", str(MEAN), "--slots", str(SLOTS))
SEEDS = "task number"  # in every prompt of a run, and in none of the preflight
MIXED = [{"match": SEEDS, "rate": 0.02, "fault": fault} for fault in (429, 500, "reset", "hang", "truncated")]
REFUSALS = [{"match": SEEDS, "rate": 0.1, "fault": 429}]
BLOCK = f"""
version: "1.0"
blocks:
  - name: gen_responses
    type: LLMBlock
    config:
      config_path: {pipelines_dir()}/prompts/skills/simple_generate_qa_freeform.yaml
      output_cols: [output]
"""


class Wire:
    """A backend that notes when attempts failed: from, and until."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.aclose = backend.aclose
        self.lost: list[tuple[float, float]] = []

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """As the backend does."""
        begun, status = time.monotonic(), 0
        try:
            reply = await self._backend.send(method, url, body, headers=headers, timeout=timeout)
            status = reply.status
            return reply
        finally:
            if status != 200:
                self.lost.append((begun, time.monotonic()))


class Watching:
    """A teacher, and when each of its calls was begun and answered, in seconds of the monotonic clock."""

    def __init__(self, inner: sdg.Teacher) -> None:
        self._inner = inner
        self.begun: list[float] = []
        self.answered: list[float] = []
        self.most_attempts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def complete(self, request: Request) -> Completion:
        """Make a call."""
        self.begun.append(time.monotonic())
        completion = await self._inner.complete(request)
        self.answered.append(time.monotonic())
        self.most_attempts = max(self.most_attempts, completion.attempts)
        return completion


class Server:
    """A simulated teacher in a process of its own, which can be killed and started again."""

    def __init__(self, options: Sequence[str], faults: Sequence[Any], folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        file = folder / "faults.yaml"
        file.write_text(json.dumps(faults))
        self._command = [sys.executable, "-m", "sdg_stream", "simulate", "--port", str(self.port), *options]
        self._command += ["--faults", str(file)]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.start()

    def start(self) -> None:
        """Start it; it answers a moment later."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill it at once, with all its connections."""
        self._process.kill()
        self._process.wait()

    def stats(self) -> dict[str, Any]:
        """What it counted."""
        return stats(self.url)


class Run:
    """A run that is over.

    Attributes:
        report: its account.
        teacher: when its calls were begun and answered.
        cpu: seconds of this process.
        samples: when the server was looked at, each half a second, and its numbers then.
        lost: when each failed attempt began and ended.
        stats: the server's own numbers at the end.
    """

    def __init__(self, report: RunReport, teacher: Watching, cpu: float) -> None:
        self.report = report
        self.teacher = teacher
        self.cpu = cpu
        self.samples: list[tuple[float, dict[str, Any]]] = []
        self.lost: list[tuple[float, float]] = []
        self.stats: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        """From the first call to the last answer."""
        return self.teacher.answered[-1] - self.teacher.begun[0]

    @property
    def settled(self) -> tuple[float, float]:
        """From when as many hangs end as begin, until the last call was begun."""
        return self.teacher.begun[0] + SETTLED, self.teacher.begun[-1]

    @property
    def rate(self) -> float:
        """Calls answered a second in that time."""
        since, until = self.settled
        return sum(since < at <= until for at in self.teacher.answered) / (until - since)

    @property
    def lost_slots(self) -> float:
        """Slots that failed attempts held in that time, on average."""
        since, until = self.settled
        held = (min(end, until) - max(begin, since) for begin, end in self.lost)
        return sum(seconds for seconds in held if seconds > 0) / (until - since)

    def account(self, limit: Limit) -> dict[str, Any]:
        """What every case tells."""
        report, asked = self.report, self.report.teacher
        assert asked is not None
        return {
            "concurrency": limit,
            "calls": len(self.teacher.answered),
            "accepted": report.accepted,
            "rejected": report.rejected,
            "pending": report.pending,
            "seconds": round(self.seconds, 2),
            "failures": asked.failures,
            "most_attempts": self.teacher.most_attempts,
            "outages": asked.outages,
            "slots_at_end": asked.slots,
            "slots_used": round(asked.busy, 4),
        }


def main() -> None:
    """Run the cases and print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", choices=[*CASES], nargs="+", default=[*CASES])
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--slots", type=int, default=512, help="of the case 'many'")
    options = parser.parse_args()
    for name in options.case:
        for line in CASES[name](options):
            print(json.dumps({"case": name, **line}), flush=True)


def mixed(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Five kinds of fault at once."""
    for limit in _limits(SLOTS):
        sound = run(LOGNORMAL, (), limit, options.calls)
        yield {"faults": False, **sound.account(limit)}
        faulty = run(LOGNORMAL, MIXED, limit, options.calls)
        free = SLOTS if limit == "auto" else SLOTS - faulty.lost_slots
        corrected = sound.rate * free / SLOTS
        yield {
            "faults": faulty.stats["faults"],
            **faulty.account(limit),
            "calls_per_s_without": round(sound.rate, 1),
            "calls_per_s": round(faulty.rate, 1),
            "slots_lost": round(faulty.lost_slots, 1),
            "throughput": round(faulty.rate / corrected, 3),
        }


def outage(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A server that is killed and comes back."""
    for limit in _limits(SLOTS):
        sound = run(LOGNORMAL, (), limit, options.calls)
        away = run(LOGNORMAL, (), limit, options.calls, kill_at=options.calls // 3)
        lost = away.seconds - sound.seconds - AWAY
        yield {
            **away.account(limit),
            "without_s": round(sound.seconds, 2),
            "lost_beside_10_s": round(lost, 2),
        }


def refusals(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Scattered refusals that have nothing to do with the load."""
    for limit in _limits(SLOTS):
        sound = run(LOGNORMAL, (), limit, options.calls)
        refused = run(LOGNORMAL, REFUSALS, limit, options.calls)
        goodput = sound.seconds / refused.seconds
        yield {
            **refused.account(limit),
            "without_s": round(sound.seconds, 2),
            "goodput": round(goodput, 3),
            "goodput_settled": round(refused.rate / sound.rate, 3),
        }


def many(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """As many calls in flight as a large server takes."""
    slots = options.slots
    server = ("--latency", "fixed", "--latency-seconds", "1", "--slots", str(slots))
    for limit in _limits(slots):
        calls = options.calls if limit != "auto" else 4 * options.calls
        done = run(server, (), limit, calls)
        full = next((n for n, at in enumerate(done.teacher.answered) if n >= 2 * slots), 0)
        since, until = done.teacher.answered[full], done.teacher.begun[-1]
        if limit == "auto":  # it has a longer way: the second half
            since = (done.teacher.begun[0] + until) / 2
        within = [sample for sample in done.samples if since <= sample[0] <= until]
        (first, before), (last, after) = within[0], within[-1]
        busy = after["busy_slot_seconds"] - before["busy_slot_seconds"]
        yield {
            **done.account(limit),
            "busy": round(busy / (slots * (last - first)), 4),
            "busy_measured_s": round(last - first, 1),
            "calls_per_s": round(calls / done.seconds, 1),
            "cpu_ms_per_call": round(1000 * done.cpu / calls, 3),
        }


CASES = {"mixed": mixed, "outage": outage, "refusals": refusals, "many": many}


def _limits(slots: int) -> list[Limit]:
    return [slots, "auto"]


def run(
    options: Sequence[str], faults: Sequence[Any], limit: Limit, calls: int, kill_at: int | None = None
) -> Run:
    """A run on a fresh server that lives as long as the run."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options, faults, Path(folder))
        try:
            return anyio.run(
                _run, server, Path(folder), limit, calls, kill_at, backend_options={"use_uvloop": True}
            )
        finally:
            server.kill()


async def _run(server: Server, folder: Path, limit: Limit, calls: int, kill_at: int | None) -> Run:
    rows = [{"task_description": f"{SEEDS} {n}", "seed_question": f"What is {n}?", "seed_response": f"{n}."}
            for n in range(calls)]  # fmt: skip
    file = folder / "pipeline.yaml"
    file.write_text(BLOCK)
    pipeline = sdg.Pipeline.load(file, allow_paths=[pipelines_dir()])
    samples: list[tuple[float, dict[str, Any]]] = []
    wire = Wire(make_backend("auto", [server.url]))
    async with (
        sdg.connect(server.url, concurrency=limit, timeout=TIMEOUT, wait_ready=20, backend=wire) as client,
        anyio.create_task_group() as tasks,
    ):
        teacher = Watching(client)
        if kill_at is None:
            tasks.start_soon(_sample, server, samples)
        else:
            tasks.start_soon(_interrupt, server, teacher, kill_at)
        before = time.process_time()
        report = await pipeline.run(rows, folder / "out.jsonl", teacher)
        done = Run(report, teacher, time.process_time() - before)
        tasks.cancel_scope.cancel()
    done.samples, done.lost, done.stats = samples, wire.lost, server.stats()
    if report.rows != calls:
        print(f"{calls - report.rows} of {calls} rows are missing", file=sys.stderr)
    return done


async def _sample(server: Server, samples: list[tuple[float, dict[str, Any]]]) -> None:
    while True:
        stats = await anyio.to_thread.run_sync(server.stats)
        samples.append((time.monotonic(), stats))
        await anyio.sleep(0.5)


async def _interrupt(server: Server, teacher: Watching, calls: int) -> None:
    while len(teacher.answered) < calls:  # noqa: ASYNC110
        await anyio.sleep(0.02)
    server.kill()
    await anyio.sleep(AWAY)
    server.start()


if __name__ == "__main__":
    main()
