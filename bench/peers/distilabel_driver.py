"""distilabel: a pipeline of steps, each in a process of its own, batches going from one to the next.

Settings (``options``): ``batch`` rows of a step's batch, all of which are asked at once and waited for before
the next batch: larger ones keep the server fuller, until the client's hundred kept connections are too few.
The first step of a chain takes ``first_batch``. With a poison record it is the default of 50, since a call
that fails costs the rows of its batch. Retries are six. The pipeline's own cache is on where a job is to be
killed, off elsewhere.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distilabel.models import OpenAILLM  # type: ignore[import-not-found,unused-ignore]
from distilabel.pipeline import Pipeline  # type: ignore[import-not-found,unused-ignore]
from distilabel.steps import (  # type: ignore[import-not-found,unused-ignore]
    LoadDataFromDicts,
    Step,
    StepInput,
)
from distilabel.steps.tasks import TextGeneration  # type: ignore[import-not-found,unused-ignore]
from driving import Job, Stage, as_stage, drive, variables

MAX_TOKENS = 2048


class ParseReplies(Step):  # type: ignore[misc,unused-ignore]
    """Takes the columns of a stage out of its replies; records that are not fit go no further."""

    stage: list[Any]

    @property
    def inputs(self) -> list[str]:
        """What it reads."""
        return ["generation"]

    @property
    def outputs(self) -> list[str]:
        """What it adds."""
        return [tag.column for tag in as_stage(self.stage).tags]

    def process(self, inputs: StepInput) -> Iterator[list[dict[str, Any]]]:
        """The records of a batch."""
        stage = as_stage(self.stage)
        kept = ("generation", "model_name", "distilabel_metadata")
        rows = []
        for row in inputs:
            given = {name: value for name, value in row.items() if name not in kept}
            rows += [{**given, **new} for new in stage.parse(row["generation"] or "")]
        yield rows


def run(job: Job) -> None:
    """Do the job, or go on from the pipeline's cache."""
    options = job.options
    with Pipeline(name="comparison", cache_dir=str(Path(job.folder) / "cache")) as pipeline:
        step = LoadDataFromDicts(data=list(job.rows()), batch_size=options["batch"])
        for place, stage in enumerate(job.stages):
            batch = options["batch"] if place else options.get("first_batch", options["batch"])
            ask = asking(job, stage, batch)
            parse = ParseReplies(
                name=f"parse_{stage.name}", stage=list(stage), input_batch_size=options["batch"]
            )
            step >> ask >> parse
            step = parse
    found = pipeline.run(use_cache=bool(options.get("cache")))
    job.write(found["default"]["train"] if "default" in found else [])


def asking(job: Job, stage: Stage, batch: int) -> Any:
    """The step that asks the teacher."""
    llm = OpenAILLM(
        model=job.model,
        base_url=job.url,
        api_key=os.environ["OPENAI_API_KEY"],
        max_retries=6,
        generation_kwargs={"temperature": 0, "max_new_tokens": MAX_TOKENS},
    )
    return TextGeneration(
        name=f"ask_{stage.name}",
        llm=llm,
        template=stage.template,
        columns=variables(stage.template),
        input_batch_size=batch,
        add_raw_output=False,
        add_raw_input=False,
    )


if __name__ == "__main__":
    drive(run)
