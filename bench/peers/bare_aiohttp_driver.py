"""A bare aiohttp loop: the ceiling of what asyncio and a well-known client can do. No state, no retries.

Settings: uvloop, orjson, one session whose connector has no limit of its own, as many tasks as calls may be
in flight. A chain is followed record by record, the deepest first.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import orjson
import uvloop
from driving import Job, drive, filled

MAX_TOKENS = 2048
KEEPALIVE_SECONDS = 4.0  # less than the server's, which closes idle connections after 5 s


class Loop:
    """Asks for records, deepest first, until none are left."""

    def __init__(self, job: Job, session: aiohttp.ClientSession, file: BinaryIO) -> None:
        self.job = job
        self.session = session
        self.file = file
        self.rows: Iterator[dict[str, Any]] = job.rows()
        self.open: list[tuple[int, int, dict[str, Any]]] = []  # stage, negative; order of arrival; record
        self.arrived = 0
        self.asking = 0
        self.changed = asyncio.Event()

    def next(self) -> tuple[int, dict[str, Any]] | None:
        """The record to ask about: of the deepest stage the oldest, else a new one from the input."""
        if self.open:
            depth, _, record = heapq.heappop(self.open)
            return -depth, record
        row = next(self.rows, None)
        return None if row is None else (0, row)

    async def work(self) -> None:
        """Ask until nothing is left and nobody else asks."""
        while True:
            found = self.next()
            if found is not None:
                self.asking += 1
                await self.ask(*found)
                self.asking -= 1
                self.changed.set()
            elif not self.asking:
                return
            else:
                self.changed.clear()
                await self.changed.wait()

    async def ask(self, depth: int, row: dict[str, Any]) -> None:
        """One call, and what comes of it."""
        stage = self.job.stages[depth]
        message = {"role": "user", "content": filled(stage.template, row)}
        asked = {"model": self.job.model, "messages": [message], "temperature": 0, "max_tokens": MAX_TOKENS}
        url = f"{self.job.url}/chat/completions"
        headers = {"Content-Type": "application/json"}
        async with self.session.post(url, data=orjson.dumps(asked), headers=headers) as reply:
            reply.raise_for_status()
            text = orjson.loads(await reply.read())["choices"][0]["message"]["content"]
        for record in stage.parse(text):
            if depth + 1 < len(self.job.stages):
                heapq.heappush(self.open, (-depth - 1, self.arrived, {**row, **record}))
                self.arrived += 1
            else:
                self.file.write(orjson.dumps({**row, **record}) + b"\n")


async def run(job: Job) -> None:
    """Do the job with as many tasks as calls may be in flight."""
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS)
    with Path(job.output).open("wb") as file:  # noqa: ASYNC230 - rows go where the page cache is
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            loop = Loop(job, session, file)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(job.concurrency):
                    tasks.create_task(loop.work())


if __name__ == "__main__":
    drive(lambda job: uvloop.run(run(job)))
