"""sdg_stream itself: the pipeline from file to file, with journal, call cache and rows synced each second.

Settings: the defaults, but for ``concurrency``, which is the teacher's slots and one in eight more, so that a
slot that becomes free finds a call waiting; uvloop, as the command line has it. Everything is counted from
reading the pipeline on: connecting, with its look at the server, and closing included.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from driving import Job, drive
from pipeline_files import write_pipeline

from sdg_stream import Pipeline, connect  # loads what they need now, before the clock runs


async def run(job: Job) -> None:
    """Do the job, or go on with it."""
    pipeline = Pipeline.load(write_pipeline(job))
    async with connect(job.url, model=job.model, concurrency=job.concurrency) as teacher:
        report = await pipeline.run(Path(job.input), Path(job.output), teacher)
    if report.rejected:
        print(f"{report.rejected} of {report.roots} records have rejects, see rejects.jsonl", file=sys.stderr)


if __name__ == "__main__":
    drive(lambda job: anyio.run(run, job, backend_options={"use_uvloop": True}))
