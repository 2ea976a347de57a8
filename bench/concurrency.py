"""``--concurrency auto`` beside fixed values, from a cold start, on servers of several sizes.

    python bench/concurrency.py                            # 8, 64, 256 and 300 slots: twenty minutes
    python bench/concurrency.py --slots 64 --seconds 20    # one of them, shorter

Each server is a simulated teacher in a process of its own: first come, first served, replies of lognormal
length (mean 200 ms, sigma 0.8), never a refusal. Asked are, each on a fresh server: ``auto`` with the
server's /metrics, ``auto`` without, and fixed limits of 1, 1.25 and 2 times the slots. One JSON line a case:
calls answered a second, over the whole time and in its second half; the share of slot time that the server
was busy, as it says; the limit at the end; CPU per call. At the end one line per server with auto over the
best fixed limit: at least 0.97 is the aim.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import anyio
from process_use import cpu_seconds
from simulated import page, simulated_teacher, stats

import sdg_stream as sdg
from sdg_stream.abc import Backend, CallShape, HttpReply, Request
from sdg_stream.teacher.connect import make_backend

ASKERS = 1200  # tasks that always have one more call to make: more than any limit


class WithoutMetrics:
    """A wire on which a server has no /metrics."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.aclose = backend.aclose

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """As the wire does, but for one page."""
        if url.endswith("/metrics"):
            return HttpReply(404, {}, b"")
        return await self._backend.send(method, url, body, headers=headers, timeout=timeout)


def main() -> int:
    """Run every case; 1 if auto is below the aim somewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=[8, 64, 256, 300])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--latency-seconds", type=float, default=0.2, help="mean of a reply")
    arguments = parser.parse_args()
    good = True
    for slots in arguments.slots:
        rates: dict[str, float] = {}
        limits: list[int | Literal["auto"]] = [slots, round(1.25 * slots), 2 * slots, "auto", "auto"]
        for number, limit in enumerate(limits):
            hidden = number == len(limits) - 1
            with simulated(slots, arguments.latency_seconds) as url:
                result = anyio.run(measure, url, limit, hidden, arguments.seconds)
            name = f"{limit}{' without metrics' if hidden else ''}"
            rates[name] = result["calls_per_s"]
            busy = result.pop("busy_slot_seconds") / (slots * arguments.seconds)
            print(json.dumps({"slots": slots, "limit": name, "busy": round(busy, 4), **result}), flush=True)
        best = max(rate for name, rate in rates.items() if not name.startswith("auto"))
        over = {name: round(rate / best, 4) for name, rate in rates.items() if name.startswith("auto")}
        good = good and min(over.values()) >= 0.97
        print(json.dumps({"slots": slots, "over_best_fixed": over}), flush=True)
    return 0 if good else 1


def simulated(slots: int, latency: float) -> AbstractContextManager[str]:
    """The URL of a fresh simulated teacher."""
    lengths = ("--latency", "lognormal", "--latency-seconds", str(latency))
    return simulated_teacher("--slots", str(slots), *lengths, "--reply", "A short reply.")


async def measure(url: str, limit: int | Literal["auto"], hidden: bool, seconds: float) -> dict[str, Any]:
    """Ask for so long, as many as the limit lets through."""
    backend: Backend = make_backend("auto", [url])
    if hidden:
        backend = WithoutMetrics(backend)
    answered: list[float] = []
    async with sdg.connect(url, concurrency=limit, backend=backend) as teacher:
        await anyio.to_thread.run_sync(page, url, "reset", "POST")
        shape = CallShape.make("completions", {"model": teacher.model, "max_tokens": 64})
        cpu, begun = cpu_seconds(), time.monotonic()

        async def ask(number: int) -> None:
            for turn in range(1_000_000):
                await teacher.complete(Request(shape, f"Question {turn} of asker {number}?"))
                answered.append(time.monotonic() - begun)

        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for number in range(ASKERS):
                    tasks.start_soon(ask, number)
        counted = await anyio.to_thread.run_sync(stats, url)
        report = teacher.report()
        return {
            "seconds": seconds,
            "calls_per_s": round(len(answered) / seconds, 2),
            "calls_per_s_second_half": round(2 * sum(at > seconds / 2 for at in answered) / seconds, 2),
            "busy_slot_seconds": counted["busy_slot_seconds"],
            "limit_at_end": report.slots,
            "changes": len(report.limit_history),
            "cpu_ms_per_call": round(1000 * (cpu_seconds() - cpu) / max(1, len(answered)), 3),
        }


if __name__ == "__main__":
    sys.exit(main())
