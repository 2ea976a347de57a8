"""instructlab-sdg: the pipeline as a thread pool over batches of input rows, in lists of prompts.

Settings (``options``): ``batch_size`` rows a thread and prompts a request, and ``workers`` threads, tuned for
each case: large batches and few threads where the server answers at once, small batches and many threads
where replies are long. ``dataset_num_procs`` is None, since its default of 8 forks a pool of processes in
every filter. Checkpoints are written where a job is to be killed (``checkpoints``), as their default is off.
"""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset  # type: ignore[import-not-found,unused-ignore]
from driving import Job, drive
from instructlab.sdg.pipeline import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    Pipeline,
    PipelineContext,
)
from openai import OpenAI  # type: ignore[import-not-found,unused-ignore]
from pipeline_files import write_pipeline


def run(job: Job) -> None:
    """Do the job, or go on from its checkpoints."""
    context = PipelineContext(
        OpenAI(base_url=job.url, api_key="EMPTY"),
        model_family="mixtral",
        model_id=job.model,
        dataset_num_procs=None,
        batch_size=job.options["batch_size"],
        batch_num_workers=job.options["workers"],
        checkpoint_dir=str(Path(job.folder) / "checkpoints") if job.options.get("checkpoints") else None,
    )
    pipeline = Pipeline.from_file(context, str(write_pipeline(job)))
    job.write(pipeline.generate(Dataset.from_list(list(job.rows())), "job"))


if __name__ == "__main__":
    drive(run)
