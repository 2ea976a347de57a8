"""A bare httpx loop: posts and decodes, one call a row. No state, no retries.

Settings: uvloop, orjson, a pool whose limits are the calls in flight, and as many tasks. httpx's pool gets
slower with every connection (it looks at all of them at each request), so at zero latency four are its best.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx  # type: ignore[import-not-found,unused-ignore]
import orjson
import uvloop
from driving import Job, drive, filled

MAX_TOKENS = 2048
KEEPALIVE_SECONDS = 4.0  # less than the server's, which closes idle connections after 5 s


async def run(job: Job) -> None:
    """Do the job with as many tasks as calls may be in flight."""
    [stage] = job.stages
    most = job.concurrency
    limits = httpx.Limits(
        max_connections=most, max_keepalive_connections=most, keepalive_expiry=KEEPALIVE_SECONDS
    )
    headers = {"Content-Type": "application/json"}
    rows = job.rows()
    with Path(job.output).open("wb") as file:  # noqa: ASYNC230 - rows go where the page cache is
        async with httpx.AsyncClient(limits=limits, timeout=None, headers=headers) as client:

            async def work() -> None:
                for row in rows:
                    message = {"role": "user", "content": filled(stage.template, row)}
                    asked = {"model": job.model, "messages": [message], "temperature": 0}
                    body = orjson.dumps({**asked, "max_tokens": MAX_TOKENS})
                    reply = await client.post(f"{job.url}/chat/completions", content=body)
                    reply.raise_for_status()
                    text = orjson.loads(reply.content)["choices"][0]["message"]["content"]
                    file.writelines(orjson.dumps({**row, **new}) + b"\n" for new in stage.parse(text))

            async with asyncio.TaskGroup() as tasks:
                for _ in range(job.concurrency):
                    tasks.create_task(work())


if __name__ == "__main__":
    drive(lambda job: uvloop.run(run(job)))
