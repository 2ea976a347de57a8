"""bespokelabs-curator: one LLM object a stage, each over all rows of the stage before.

Settings: its own OpenAI client (leaner than its litellm one), ``max_concurrent_requests`` above the slots,
and its limits of requests and tokens a minute lifted (unlifted they are 200 and 100,000 against a server that
does not state its own). ``require_all_responses`` is off, so that one bad row does not cost the others. The
tokenizer that it wants to download is taken from litellm, which brings a copy.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from bespokelabs import curator  # type: ignore[import-not-found,unused-ignore]
from driving import Job, Stage, drive, filled

MAX_TOKENS = 2048
UNLIMITED = 100_000_000


class Asking(curator.LLM):  # type: ignore[misc,unused-ignore]
    """One stage."""

    stage: Stage

    def prompt(self, input: dict[str, Any]) -> str:  # noqa: A002 - the name is curator's
        """The prompt of a row."""
        return filled(self.stage.template, input)

    def parse(self, input: dict[str, Any], response: str) -> list[dict[str, Any]]:  # noqa: A002
        """The rows that come of a reply."""
        return [{**input, **new} for new in self.stage.parse(response)]


def run(job: Job) -> None:
    """Do the job, or go on from what was answered before."""
    rows: Any = list(job.rows())
    for stage in job.stages:
        asking = Asking(
            model_name=job.model,
            backend="openai",
            generation_params={"temperature": 0, "max_tokens": MAX_TOKENS},
            backend_params={
                "base_url": job.url,
                "max_concurrent_requests": job.concurrency,
                "max_requests_per_minute": UNLIMITED,
                "max_tokens_per_minute": UNLIMITED,
                "require_all_responses": False,
                "seconds_to_pause_on_rate_limit": 1,
            },
        )
        asking.stage = stage
        rows = asking(rows, working_dir=str(Path(job.folder) / stage.name)).dataset
    job.write(rows)


if __name__ == "__main__":
    import_module("litellm.litellm_core_utils.default_encoding")  # sets where the tokenizer lies
    drive(run)
